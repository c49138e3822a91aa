//! What a sidecar says of itself: every few seconds, and at once when a condition changes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use model::MailboxId;
pub use model::backup::RunReport;
use serde::{Deserialize, Serialize};

/// The whole report; replaces the one before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The start of the sidecar that speaks.
    pub run: String,
    /// When.
    pub time: Timestamp,
    /// One entry per policy in force.
    pub policies: BTreeMap<String, PolicyReport>,
    /// Mailboxes about which a person must know something.
    pub troubles: Vec<Trouble>,
    /// Runs this sidecar works on or has finished and the operator still wants.
    pub runs: Vec<RunReport>,
    /// Snapshots that wait, the one being made first.
    pub queue: Vec<MailboxId>,
}

/// How one policy fares on this shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyReport {
    /// The destination answers and lets us write.
    pub reachable: Finding,
    /// Everything older than `maxLagSeconds` is archived.
    pub within_rpo: Finding,
    /// Retention ran when it should have.
    pub retention: Finding,
    /// The last restore test succeeded.
    pub verified: Finding,
    /// Age in seconds of the oldest commit that is not in the bucket; 0 = everything is.
    pub lag_seconds: u64,
    /// Bytes of WAL and outbox that wait for the bucket.
    pub pending_bytes: u64,
    /// Mailboxes under the policy on this shard.
    pub mailboxes: u64,
    /// Ends of the last good segment upload, snapshot, retention pass, restore test.
    pub last_upload: Option<Timestamp>,
    /// See `last_upload`.
    pub last_snapshot: Option<Timestamp>,
    /// See `last_upload`.
    pub last_retention: Option<Timestamp>,
    /// See `last_upload`.
    pub last_verify: Option<Timestamp>,
    /// When the next snapshot is due; in the past while it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_snapshot: Option<Timestamp>,
    /// Snapshots that are due, the one being made included.
    #[serde(default)]
    pub queued: u64,
}

/// One aspect of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// `None` = not known yet.
    pub status: Option<bool>,
    /// One CamelCase word from the vocabulary of conditions.
    pub reason: String,
    /// What is the matter, and the next step for a person.
    pub message: String,
}

/// What happened to the archive of one mailbox. Stays until it is mended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// Which mailbox.
    pub mailbox: MailboxId,
    /// `Gap`, `Fork`, `Damaged`, `Behind`, `SnapshotFailed`.
    pub reason: String,
    /// For people.
    pub message: String,
    /// When it was noticed.
    pub since: Timestamp,
}
