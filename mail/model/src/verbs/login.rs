//! Keysets and attaching: how a session gets its mailbox opened.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::{BootId, MailboxId, SessionId, ShardId, SlotId, Term};

/// What an app password may do. Policy, not cryptography: who holds the DEK could do anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// IMAP.
    Imap,
    /// POP3.
    Pop3,
    /// SMTP submission.
    Submission,
    /// Slots, export, purge.
    Owner,
}

/// Answer to a keyset query. For an unknown address a fake of the same form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeysetReply {
    /// The mailbox (a made-up one for a fake).
    pub mailbox: MailboxId,
    /// `keys.json` as it is on the volume.
    pub keys: ByteBuf,
    /// IMAP is allowed by `access`, and the mailbox is not suspended.
    pub allowed: bool,
    /// The answer to this attempt is to be held back so long, in milliseconds.
    #[serde(default)]
    pub wait_ms: u64,
    /// There were failures before, so the shard wants to know of a success too.
    #[serde(default)]
    pub suspect: bool,
}

/// Brings a session's key to the primary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attach {
    /// Minted by the secondary at login; the same after every reconnect.
    pub session: SessionId,
    /// Which mailbox.
    pub mailbox: MailboxId,
    /// The slot that opened the keyset.
    pub slot: SlotId,
    /// `version` of the keyset it was opened with; older than the last change of that slot is refused.
    pub keys_version: u64,
    /// Fresh for each attach.
    pub nonce: [u8; 16],
    /// The DEK, sealed to the primary's hand-over key.
    pub sealed_dek: ByteBuf,
}

/// The session is attached until it detaches, its lease ends (30 s without a ping) or the primary restarts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    /// Messages waiting in the spool at that moment.
    pub waiting: u64,
    /// Who answered; part of the hand-over's AAD.
    pub shard: ShardId,
    /// See [`Term`].
    pub term: Term,
    /// See [`BootId`].
    pub boot: BootId,
}
