//! HOLD and CHECKPOINT: writers wait while the sidecar copies the last frames, then the WAL is folded in.

use model::MailboxId;
use serde::{Deserialize, Serialize};

use crate::{Database, WalPosition};

/// Asks that nobody writes to one database for a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HoldRequest {
    /// Which mailbox.
    pub mailbox: MailboxId,
    /// Which database; never [`Database::Keys`].
    pub database: Database,
    /// After so many milliseconds the primary releases by itself; at most 2,000.
    pub deadline_ms: u32,
}

/// Names a hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// 32 hexadecimal digits.
    pub token: String,
}

/// Writers wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// 32 hexadecimal digits.
    pub token: String,
    /// Where the WAL ends.
    pub end: WalPosition,
    /// Commit number there.
    pub commit: u64,
}

/// Everything up to `end` is copied and synced: the WAL may be folded in. Refused (409) where the hold is over or `end` is
/// not what the hold said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Of the hold.
    pub token: String,
    /// As the hold said.
    pub end: WalPosition,
}

/// What came of it. The hold is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpointed {
    /// False where a reader was in the way: try later.
    pub done: bool,
}
