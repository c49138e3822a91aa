//! ADOPT: a restored mailbox is put into its place by the primary, who alone writes to `mailboxes/`.

use model::MailboxId;
use serde::{Deserialize, Serialize};

/// How a restored mailbox takes its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AdoptMode {
    /// The target has no keys and no mail; it gets those of the source.
    NewMailbox,
    /// The target keeps its keys; its spool is merged by delivery id; its files go to `replaced/`.
    InPlace,
}

/// `staging/<folder>/{mailbox.sqlite,spool.sqlite,keys.json}` is whole and synced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Adopt {
    /// Names this restore: a repeat of one that was done answers the same again.
    pub run: String,
    /// The folder's name in `staging/`.
    pub folder: String,
    /// The mailbox it becomes.
    pub mailbox: MailboxId,
    /// How.
    pub mode: AdoptMode,
    /// Commit number the mailbox was restored to; 0 where there is no mailbox database, only waiting mail.
    pub commit: u64,
}

/// `adopted.json` in a mailbox's folder: the restore that was last put into this place. Written by the primary; whoever archives
/// the mailbox sees by it that its files are others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdoptRecord {
    /// Version of this file; 1.
    pub format: u32,
    /// What was asked.
    #[serde(flatten)]
    pub asked: Adopt,
    /// How far it is.
    pub step: AdoptStep,
    /// Where the replaced files are, below the data folder; none where there were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<String>,
}

/// How far an adoption is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AdoptStep {
    /// Nothing has its new place yet.
    Begun,
    /// What is replaced is out of the way.
    Moved,
    /// All has its new place.
    Done,
}

/// It is in place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Adopted {
    /// Where the replaced files are kept, below the data folder, if there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<String>,
}
