//! Between the operator and a primary, as JSON over mutual TLS.

use jiff::Timestamp;
use model::backup::Policies;
use model::{Bindings, BootId, Directory, Generation, MailboxId, ServerId, ShardId, Term};
use serde::{Deserialize, Serialize};

use crate::RunAssignment;
use crate::report::Report;

/// Body of `PUT /v1/directory` and answer to `GET /v1/directory`: the routes, and the memory they were compiled from.
///
/// Every shard keeps both, so that whoever compiles the next directory needs no memory of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Push {
    /// The whole directory.
    pub directory: Directory,
    /// The bindings it was made with. Secondaries never see them.
    pub bindings: Bindings,
}

/// Body of `PUT /v1/policies`: what is to be backed up, and what runs are wanted now. The primary hands it to its sidecar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wanted {
    /// All of them; those that are gone hold no more.
    pub policies: Policies,
    /// One that is gone was cancelled.
    #[serde(default)]
    pub runs: Vec<RunAssignment>,
}

/// The sidecar of a shard, as its primary sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SidecarStatus {
    /// Its last sign of life; none since the primary started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard: Option<Timestamp>,
    /// What it said of itself last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Report>,
}

/// Answer to `GET /v1/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Which MailServer.
    pub server: ServerId,
    /// Which of its shards.
    pub shard: ShardId,
    /// Under which ownership.
    pub term: Term,
    /// Which start of the process.
    pub boot: BootId,
    /// The directory in force; none before the first push ever.
    pub generation: Option<Generation>,
    /// Attached sessions.
    pub sessions: u64,
    /// Connected secondaries.
    pub secondaries: u64,
    /// Every mailbox of this shard in the directory.
    pub mailboxes: Vec<MailboxStatus>,
    /// What a person should know or do.
    #[serde(default)]
    pub findings: Vec<String>,
    /// Who archives it.
    #[serde(default)]
    pub sidecar: SidecarStatus,
}

/// One mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MailboxStatus {
    /// Which.
    pub id: MailboxId,
    /// Its owner can log in, and mail can be sealed to it.
    pub keyed: bool,
    /// Messages waiting for the owner.
    pub waiting: u64,
    /// Messages that could not be stored.
    pub aside: u64,
    /// It was restored, and its pages are looked at when its key comes next.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unchecked: bool,
    /// Its files are closed, and stay so until the directory says otherwise. What waits is what was known before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fenced: bool,
    /// Why its spool cannot be read; mail for it is refused for now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}
