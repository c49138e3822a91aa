//! Positions in a write-ahead log, and the durable record of how one ended.

use serde::{Deserialize, Serialize};

/// The salts of a WAL: they change with every reset, so they name one life of it (see [`WalRecord::epoch`]).
pub type Salts = [u32; 2];

/// SQLite's running checksum after a frame.
pub type WalChecksum = [u32; 2];

/// A place in one life of a WAL: behind frame `frame`, which ends a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WalPosition {
    /// Which life.
    pub salts: Salts,
    /// Frames before it; 0 = the WAL is empty.
    pub frame: u32,
    /// The running checksum there; that of the header for frame 0.
    pub checksum: WalChecksum,
}

/// `mailbox.wal.json` and `spool.wal.json`: written durably by the primary before every checkpoint that lets the WAL be
/// reset. Without it, or with `copied` false, or with a position that the archive has not reached, what the next life of the
/// WAL builds on is not in the archive: that is a gap, and only a new base ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WalRecord {
    /// Version of this file; 1.
    pub format: u32,
    /// Counts the lives of this database's WAL; this record ends life `epoch`, and the next has the next number. A WAL
    /// without a record is in life 1.
    pub epoch: u64,
    /// Where that life ended. If the WAL still has these salts, the checkpoint did not reset it: the life goes on.
    pub end: WalPosition,
    /// Commit number at its end.
    pub commit: u64,
    /// True if the sidecar had every frame of it on disk before the checkpoint.
    pub copied: bool,
}
