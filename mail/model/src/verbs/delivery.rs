//! Mail from an MX to a shard.

use std::net::IpAddr;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Failure;
use crate::{MailboxId, TxId};

/// One message for some mailboxes of one shard; the bytes as received, before our trace headers, follow as a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deliver {
    /// Equal on every internal retry, and in [`Settle`].
    pub txid: TxId,
    /// Who sent it, and how it came.
    pub envelope: Envelope,
    /// One for each mailbox.
    pub recipients: Vec<Recipient>,
    /// Octets of the message.
    pub size: u64,
}

/// What SMTP said about a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// MAIL FROM without brackets; empty for the null path.
    pub mail_from: String,
    /// The client's EHLO name.
    pub helo: String,
    /// The client's address.
    pub peer: IpAddr,
    /// When the last byte came in: INTERNALDATE.
    pub received: Timestamp,
}

/// One mailbox the message is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// Which mailbox.
    pub mailbox: MailboxId,
    /// RCPT TO as it was given; part of the fingerprint.
    pub rcpt_to: String,
    /// `Return-Path`, `Delivered-To`, `Received`, ...: put before the message. Not part of the fingerprint.
    pub trace: Bytes,
}

/// The fate of one recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Accepted {
    /// On disk: in the mailbox, or sealed in its spool.
    Stored,
    /// Was there already: a retry of mail whose 250 was never read.
    Duplicate,
    /// Not stored.
    Failed(Failure),
}

/// The client has proved that it read the 250 of these: their fingerprints may go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settle {
    /// Transactions of the same MX, with the mailboxes of this shard they were stored in.
    pub transactions: Vec<(TxId, Vec<MailboxId>)>,
}
