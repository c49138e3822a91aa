//! What is told of a run while it is at work, and for ever after.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::MailboxId;

/// How a run fares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunReport {
    /// `Run::id`.
    pub id: String,
    /// Under which executor id.
    pub executor: String,
    /// Last sign of life.
    pub heartbeat: Timestamp,
    /// When it began.
    pub started: Timestamp,
    /// `None` while it runs.
    pub succeeded: Option<bool>,
    /// One CamelCase word.
    pub reason: String,
    /// For people.
    pub message: String,
    /// Done of all, in bytes.
    pub progress: (u64, u64),
    /// What was made or restored.
    pub archive: Option<String>,
    /// The commit a restore reached.
    pub reached_commit: Option<u64>,
    /// The time a restore reached.
    pub reached_time: Option<Timestamp>,
    /// When it ended.
    pub completed: Option<Timestamp>,
    /// Where the files are that a restore in place has replaced, below the data folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<String>,
    /// What a purge has removed, and what it could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purged: Option<PurgeReport>,
}

/// What a purge has removed, counted, and what is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PurgeReport {
    /// Which mailbox.
    pub mailbox: MailboxId,
    /// Files of the volume that are gone.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Every bucket that was looked through.
    pub buckets: Vec<PurgedBucket>,
    /// Mailboxes of this shard with the same keys: restores have put copies of its mail there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<MailboxId>,
    /// Where archives of it are that could not be reached, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elsewhere: Vec<String>,
}

/// What a purge has done in one bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PurgedBucket {
    /// The BackupPolicy it belongs to.
    pub policy: String,
    /// What it calls itself.
    pub bucket: String,
    /// Objects that are gone.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Older versions of them that are gone, where the bucket keeps such; counted anew by each attempt.
    #[serde(default)]
    pub versions: u64,
    /// Objects that are still there, if only in an older version.
    #[serde(default)]
    pub remaining: u64,
    /// The first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// Why, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

impl RunReport {
    /// Of a run that nobody has worked on.
    pub fn pending(id: String, executor: String, now: Timestamp) -> Self {
        Self {
            id,
            executor,
            heartbeat: now,
            started: now,
            succeeded: None,
            reason: "Pending".to_owned(),
            message: String::new(),
            progress: (0, 0),
            archive: None,
            reached_commit: None,
            reached_time: None,
            completed: None,
            replaced: None,
            purged: None,
        }
    }
}
