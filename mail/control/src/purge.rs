//! PURGE: a mailbox's files are removed by the primary, who alone writes to `mailboxes/`.

use jiff::Timestamp;
use model::MailboxId;
use serde::{Deserialize, Serialize};

/// Removes a mailbox from the volume. Refused with 409 while the directory has it, or does not know it as purged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Purge {
    /// The run that asks; a repeat of one that was done answers the same again.
    pub run: String,
    /// Which mailbox.
    pub mailbox: MailboxId,
}

/// Nothing of it is on the volume, but for `purged/<id>.json` and what the sidecar keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Purged {
    /// Files that were removed.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Mailboxes with the same keys.
    #[serde(default)]
    pub copies: Vec<MailboxId>,
}

/// `purged/<id>.json`: what was removed of a mailbox, written down before it is. As long as it is there no folder is made for that
/// id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PurgeRecord {
    /// Version of this file; 1.
    pub format: u32,
    /// Which mailbox.
    pub mailbox: MailboxId,
    /// How far it is.
    pub step: PurgeStep,
    /// When it was begun.
    pub begun: Timestamp,
    /// When nothing was left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<Timestamp>,
    /// Every file that was there.
    pub files: Vec<PurgedFile>,
    /// Mailboxes that had the same keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<MailboxId>,
}

/// A file that was removed, or is to be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PurgedFile {
    /// Below the data folder.
    pub name: String,
    /// Its bytes when the purge began.
    pub bytes: u64,
}

/// How far a purge is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PurgeStep {
    /// Some of it may be there.
    Begun,
    /// None of it is.
    Done,
}
