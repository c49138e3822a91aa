//! What a primary is told at its start.

use std::net::SocketAddr;
use std::path::PathBuf;

use model::{ServerId, ShardId, Term};
use serde::{Deserialize, Serialize};

/// Configuration of one process. Paths only: no secret is in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// Which MailServer.
    pub server: ServerId,
    /// Which of its shards.
    pub shard: ShardId,
    /// Under which ownership.
    pub term: Term,
    /// The volume.
    pub data: PathBuf,
    /// Where wire and control endpoints listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Certificate, key and CA for both.
    pub identity: tls::IdentityFiles,
    /// A file of exactly 32 random bytes, this shard's own. The volume cannot be used with another.
    pub shard_key: PathBuf,
    /// A file of exactly 32 random bytes, the same for all shards of the server: makes fake keysets.
    pub server_secret: PathBuf,
    /// Path of the unix socket on which the sidecar is answered; none = nothing is archived. At most 107 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sidecar: Option<PathBuf>,
    /// What may be changed, and rarely is.
    #[serde(default)]
    pub tuning: Tuning,
}

/// Limits with a default that fits.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Tuning {
    /// Mail is refused when the volume has less free space than this share of it, in percent.
    pub floor_percent: u64,
    /// Mail is refused when the volume has less free space than this, in bytes.
    pub floor_bytes: u64,
    /// Most bytes of one message.
    pub max_message_size: u64,
    /// Most bytes of mail being received, all together.
    pub memory: u64,
    /// Most sessions of one mailbox at a time: each costs some 20 KiB here and at its front end.
    pub sessions_per_mailbox: usize,
    /// How long after its start a shard asks every connected IMAP secondary for a key, in milliseconds: sessions that
    /// outlived a restart have not all come back by then.
    pub ask_all_ms: u64,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            floor_percent: 5,
            floor_bytes: 256 << 20,
            max_message_size: 100 << 20,
            memory: 512 << 20,
            sessions_per_mailbox: 4_096,
            ask_all_ms: 5_000,
        }
    }
}
