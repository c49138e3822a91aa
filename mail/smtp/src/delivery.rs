//! The seam between SMTP and the shards.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use model::verbs::{Accepted, Envelope, Recipient};
use model::{Directory, MailboxId, TxId};

/// Where mail goes once SMTP has taken it. One value serves all connections; clones share what is behind it.
pub trait Delivery: Clone + Send + Sync + 'static {
    /// The complete directory, or none: then every RCPT is answered with 451.
    fn directory(&self) -> Option<Arc<Directory>>;

    /// Stores the message; one result per recipient, in their order. What is reported as stored is on disk.
    /// Dropping the future (a time limit) means nothing more than that its result is not wanted.
    fn deliver(&self, message: Message) -> impl Future<Output = Vec<Accepted>> + Send;

    /// The client has proved that it read the 250 of that transaction, stored in those mailboxes. Must not block; may
    /// be lost.
    fn settle(&self, txid: TxId, mailboxes: &[MailboxId]);
}

/// A message received in full and found acceptable.
///
/// It is handed over whole, not as a stream: whether it may be stored (NUL, bare CR or LF, size, loops) is known only
/// at its end, and a retry towards a shard needs the bytes again. Its memory is bounded by the size limit and paid for
/// from [`crate::Budget`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Minted for this transaction; equal on every internal retry.
    pub txid: TxId,
    /// What SMTP said about it.
    pub envelope: Envelope,
    /// One for each mailbox, none twice. Its shard is in the directory.
    pub recipients: Vec<Recipient>,
    /// The bytes as received, without our own `Authentication-Results`; trace headers are in
    /// [`Recipient::trace`]. The fingerprint is made of these.
    pub body: Vec<Bytes>,
    /// Octets in `body`.
    pub size: u64,
}
