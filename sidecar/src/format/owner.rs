//! `shard-<n>/owner/<term>.json`: who owns a shard from a term on. The highest term wins.

use jiff::Timestamp;
use model::{ServerId, ShardId, Term};
use serde::{Deserialize, Serialize};

use super::SignerKey;
use super::document::Document;

/// The owner of a shard, in its own words. It is signed with the key it names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// [`super::FORMAT`].
    pub format: u32,
    /// Which MailServer.
    pub server: ServerId,
    /// Which of its shards.
    pub shard: ShardId,
    /// The volume's own identity: a clone of it with the same term is seen by this.
    pub volume: String,
    /// From which ownership on.
    pub term: Term,
    /// The start of the sidecar that wrote it.
    pub run: String,
    /// The key that signs everything of this term.
    pub signer: SignerKey,
    /// When.
    pub time: Timestamp,
}

impl Document for Owner {
    const KIND: &'static str = "owner";
}
