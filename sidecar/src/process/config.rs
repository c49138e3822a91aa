//! What a sidecar is told at its start.

use std::path::PathBuf;

use model::{ServerId, ShardId};
use serde::{Deserialize, Serialize};

/// Configuration of one process. Paths only: no secret is in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// Which MailServer.
    pub server: ServerId,
    /// Which of its shards.
    pub shard: ShardId,
    /// The volume. Written to are only `sidecar/`, `outbox/` and `staging/` of it.
    pub data: PathBuf,
    /// The primary's socket.
    pub socket: PathBuf,
    /// A folder with the credentials of every policy's bucket: `<policy>.accessKeyId` and so on.
    pub credentials: PathBuf,
    /// What may be changed, and rarely is.
    #[serde(default)]
    pub tuning: Tuning,
}

/// Limits with a default that fits.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Tuning {
    /// Mailboxes that are shipped at a time. Each takes a connection to the bucket and 8 MiB at most.
    pub turns: usize,
    /// A WAL of so many bytes is folded in at once. Smaller: more checkpoints; larger: reopening a mailbox takes longer.
    pub fold_bytes: u64,
    /// One that is smaller is folded in after so many seconds.
    pub fold_seconds: u64,
    /// The volume has little space when less than so many bytes are free: then WALs are folded in from 1 MiB on.
    pub floor_bytes: u64,
    /// Tails of WALs that wait for the bucket take so many bytes at most; past it nothing is folded in.
    pub outbox_bytes: u64,
    /// Seconds between two looks at every WAL.
    pub scan_seconds: u64,
    /// Seconds between two reports to the primary.
    pub report_seconds: u64,
    /// Retention removes nothing; the log says what it would remove.
    pub dry_retention: bool,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            turns: 8,
            fold_bytes: 16 << 20,
            fold_seconds: 3600,
            floor_bytes: 512 << 20,
            outbox_bytes: 1 << 30,
            scan_seconds: 60,
            report_seconds: 2,
            dry_retention: false,
        }
    }
}
