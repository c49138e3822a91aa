//! What was committed, and what of it is safe.

use jiff::Timestamp;
use model::{BootId, MailboxId};
use serde::{Deserialize, Serialize};

use crate::Salts;

/// A database of a mailbox, or its keyset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Database {
    /// `mailbox.sqlite`, encrypted.
    Mailbox,
    /// `spool.sqlite`: sealed mail.
    Spool,
    /// `keys.json`; its commit number is the keyset's version.
    Keys,
}

impl Database {
    /// Its name in paths: `mailbox`, `spool`, `keys`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mailbox => "mailbox",
            Self::Spool => "spool",
            Self::Keys => "keys",
        }
    }
}

/// One commit: a transaction that ends at a frame of the WAL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Its last frame, counted from 1.
    pub frame: u32,
    /// Commits since the file was made, this one included. The file holds the same number.
    pub commit: u64,
    /// The primary's clock right after it.
    pub time: Timestamp,
}

/// Commits of one database. Notices are hints: they may be lost with a crash of either side, and a scan makes up for them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dirty {
    /// Which mailbox.
    pub mailbox: MailboxId,
    /// Which file of it.
    pub database: Database,
    /// The life of the WAL; absent for [`Database::Keys`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salts: Option<Salts>,
    /// Commits since the cursor, oldest first. When there are too many, some are left out; never the last.
    pub commits: Vec<Commit>,
}

/// Answer to `GET /v1/dirty`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DirtyBatch {
    /// The start of the primary that counts; another one than asked for = begin with a scan.
    pub boot: BootId,
    /// Ask with it next.
    pub cursor: u64,
    /// What changed since, a database at most once (twice where its WAL was reset in between).
    pub dirty: Vec<Dirty>,
}

/// Every commit of a database up to this one is in the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archived {
    /// Which mailbox.
    pub mailbox: MailboxId,
    /// Which file of it.
    pub database: Database,
    /// The commit number.
    pub commit: u64,
}
