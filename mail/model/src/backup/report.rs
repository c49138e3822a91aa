//! What is told of a run while it is at work, and for ever after.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

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
        }
    }
}
