//! Snapshots: whole, compact, verified copies, still encrypted with the mailbox's key.

use model::MailboxId;
use serde::{Deserialize, Serialize};

/// Asks for a snapshot. Refused with 423 while the key is not here (upload a base instead), 429 while another one runs,
/// 507 without space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotRequest {
    /// Which mailbox.
    pub mailbox: MailboxId,
    /// The commit number of the last snapshot: if nothing was committed since, none is made (and [`Snapshot::file`] is absent).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unless: Option<u64>,
}

/// A snapshot that was opened with the key and found sound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// Its name in `staging/`; the sidecar removes it after the upload, the primary at its start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the file, 64 hexadecimal digits.
    pub sha256: String,
    /// The commit number it represents, read from the copy.
    pub commit: u64,
    /// Schema version of the copy.
    pub schema: i64,
    /// Messages in it.
    pub messages: u64,
}
