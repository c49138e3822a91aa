//! The write-ahead log of a database that this process writes: where it ends, and how it is folded in.
//!
//! * Nothing folds a WAL in but [`fold`], which first writes durably where it ended (`<db>.wal.json`, see
//!   [`control::WalRecord`]). A crash in between leaves a record whose life goes on: it says so by its salts.
//! * A checkpoint that has caught up with the WAL, whatever its mode, lets the next writer begin the WAL anew. So there is
//!   none without a record.
//! * `-wal` is read through a descriptor of our own. That is allowed for this file only: closing a descriptor of the main
//!   file or of `-shm` would drop SQLite's locks.

mod fold;
mod tail;

pub(crate) use fold::{end, fold};
pub(crate) use tail::Tail;

use std::path::{Path, PathBuf};

use crate::open::with_suffix;

/// Octets of a WAL's header.
const HEADER: u64 = 32;
/// Octets of a frame's header.
const FRAME_HEADER: u64 = 24;

/// The path of a database's WAL.
pub(crate) fn wal_of(database: &Path) -> PathBuf {
    with_suffix(database, "-wal")
}

/// The path of the record of how a database's WAL ended: `mailbox.wal.json` beside `mailbox.sqlite`.
pub(crate) fn record_of(database: &Path) -> PathBuf {
    database.with_extension("wal.json")
}

/// Octets of a database's WAL; none where there is no file.
pub(crate) fn size_of(database: &Path) -> u64 {
    std::fs::metadata(wal_of(database)).map_or(0, |found| found.len())
}

/// A big-endian number of a header.
fn word(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}
