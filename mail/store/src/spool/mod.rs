//! The spool of a mailbox: mail sealed to an owner who is not here, one plain SQLite file per mailbox.
//!
//! The file holds nothing readable: ids, sizes, times, fingerprints (keyed by the shard key) and sealed bytes.
//!
//! Invariants:
//! * [`Spool::insert`] answers after the commit is fsynced; what it called stored is there after any crash.
//! * A delivery id is in `waiting` at most once, and rows leave in the order they came.
//! * A row is marked by [`Spool::took`] after the mailbox commit that took it. A crash in between offers it again, and the
//!   mailbox, which recorded the delivery id in that commit, takes it only once.
//! * A marked row counts no more and is not offered. It leaves at once where nobody archives the mailbox, otherwise when
//!   that commit is archived: until then an archive that ends before the commit needs the row.
//! * A fingerprint suppresses an equal delivery for [`FINGERPRINT_LIFE`], until it is settled; the last that brought the
//!   message, and what began before it, always (see `deliver`).
//! * After anything failed nothing is written until the WAL has been folded in and started anew without errors: what was not
//!   synced then never will be, though it can be read. After a start the WAL is written once more before anything is added.
//! * The sum of waiting sizes is exact: quota is checked in the transaction that inserts.
//!
//! What a crash leaves: an empty file (tables are made at the next opening), or rows that the mailbox has already.
//!
//! Handles open when something is asked and close when too many are open; a mailbox that never got mail while locked
//! has no file, and asking about it makes none.

pub(crate) mod database;
mod handle;
mod merge;
mod registry;

pub(crate) use handle::OpenSpool;
pub use handle::Spool;
pub(crate) use merge::{merge, open};
pub use registry::{SpoolLimits, Spools};

use std::time::{Duration, Instant};

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
    /// When the transaction had all of it, by the clock of its MX.
    pub began: Timestamp,
    /// Acceptance.
    pub at: Timestamp,
    /// The sealed bytes.
    pub sealed: Bytes,
    /// Most octets of mailbox and spool together; none = no limit.
    pub limit: Option<u64>,
    /// Whoever sent it has been told by then that it was not taken, and may send it again: it must not come in later.
    pub until: Option<Instant>,
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
    /// Its turn came too late; nothing was kept.
    TooLate,
}

/// A row of the spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Names the row in [`Spool::took`] and [`Spool::set_aside`].
    pub id: i64,
    /// See [`NewWaiting::delivery`].
    pub delivery: DeliveryId,
    /// See [`NewWaiting::txid`].
    pub txid: TxId,
    /// See [`NewWaiting::fp`].
    pub fp: Option<[u8; 32]>,
    /// Its sender knows that we have it: the fingerprint suppresses nothing more.
    pub settled: bool,
    /// Of the last transaction that brought it: see [`NewWaiting::began`].
    pub began: Timestamp,
    /// See [`NewWaiting::size`].
    pub size: u64,
    /// See [`NewWaiting::at`].
    pub at: Timestamp,
    /// The sealed bytes.
    pub sealed: Vec<u8>,
}

/// Rows that the mailbox has taken and an archive may still need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Taken {
    /// How many there are.
    pub rows: u64,
    /// The last mailbox commit that took any of them; 0 = there are none.
    pub last: u64,
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
