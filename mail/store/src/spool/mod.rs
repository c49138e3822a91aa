//! The spool of a mailbox: mail sealed to an owner who is not here, one plain SQLite file per mailbox.
//!
//! The file holds nothing readable: ids, sizes, times, fingerprints (keyed by the shard key) and sealed bytes.
//!
//! Invariants:
//! * [`Spool::insert`] answers after the commit is fsynced; what it called stored is there after any crash.
//! * A delivery id is in `waiting` at most once, and rows leave in the order they came.
//! * A row leaves only by [`Spool::remove`], after the mailbox commit that took it. A crash in between offers it again,
//!   and the mailbox, which recorded the delivery id in that commit, takes it only once.
//! * A fingerprint suppresses an equal delivery for [`FINGERPRINT_LIFE`], until it is settled.
//! * The sum of waiting sizes is exact: quota is checked in the transaction that inserts.
//!
//! What a crash leaves: an empty file (tables are made at the next opening), or rows that the mailbox has already.
//!
//! Handles open when something is asked and close when too many are open; a mailbox that never got mail while locked
//! has no file, and asking about it makes none.

mod database;
mod handle;
mod registry;

pub use handle::Spool;
pub use registry::{SpoolLimits, Spools};

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use model::{DeliveryId, TxId};

/// How long an unsettled fingerprint suppresses an equal delivery. Senders retry for five days (RFC 5321 section
/// 4.5.4.1).
pub const FINGERPRINT_LIFE: Duration = Duration::from_hours(7 * 24);

/// A sealed message to be kept.
#[derive(Debug, Clone)]
pub struct NewWaiting {
    /// Taken into the mailbox exactly once.
    pub delivery: DeliveryId,
    /// The SMTP transaction it came in.
    pub txid: TxId,
    /// Fingerprint; none for mail without Message-ID, which is never suppressed.
    pub fp: Option<[u8; 32]>,
    /// Octets it will count in the mailbox.
    pub size: u64,
    /// Acceptance.
    pub at: Timestamp,
    /// The sealed bytes.
    pub sealed: Bytes,
    /// Most octets of mailbox and spool together; none = no limit.
    pub limit: Option<u64>,
}

/// What became of a [`NewWaiting`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// On disk.
    Stored,
    /// It, or an equal delivery that was not settled, is here already.
    Duplicate,
    /// It would exceed the limit; nothing was kept.
    OverQuota,
}

/// A row of the spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Names the row in [`Spool::remove`] and [`Spool::set_aside`].
    pub id: i64,
    /// See [`NewWaiting::delivery`].
    pub delivery: DeliveryId,
    /// See [`NewWaiting::txid`].
    pub txid: TxId,
    /// See [`NewWaiting::fp`].
    pub fp: Option<[u8; 32]>,
    /// Its sender knows that we have it: the fingerprint suppresses nothing more.
    pub settled: bool,
    /// See [`NewWaiting::size`].
    pub size: u64,
    /// See [`NewWaiting::at`].
    pub at: Timestamp,
    /// The sealed bytes.
    pub sealed: Vec<u8>,
}

/// A message that could not be stored, kept for a person to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aside {
    /// Of the delivery it came from.
    pub delivery: DeliveryId,
    /// Octets of the message.
    pub size: u64,
    /// Why it is here.
    pub reason: String,
    /// When it was set aside.
    pub at: Timestamp,
}

/// What a spool holds, and what the mailbox held when it was last open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SpoolState {
    /// Messages waiting.
    pub waiting: u64,
    /// Their octets.
    pub bytes: u64,
    /// Messages set aside.
    pub aside: u64,
    /// Settled transactions that the mailbox has not been told of.
    pub settles: u64,
    /// Octets in the mailbox when it was last open.
    pub mailbox_bytes: u64,
    /// Messages in it.
    pub mailbox_messages: u64,
}

#[cfg(test)]
mod tests;
