//! What a secondary is told at its start.

use std::net::SocketAddr;

use model::{ServerId, ShardId};
use serde::{Deserialize, Serialize};

/// Configuration of one process. Paths only: no secret is in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// Which MailServer.
    pub server: ServerId,
    /// The name used in greetings and trace headers.
    pub hostname: String,
    /// Every shard of the server.
    pub shards: Vec<Shard>,
    /// Certificate, key and CA for the wire.
    pub identity: tls::IdentityFiles,
    /// Certificate and key that clients see.
    pub public: tls::PublicFiles,
    /// Which protocol to speak.
    pub listen: Listen,
}

/// Where a primary is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Shard {
    /// Its number.
    pub id: ShardId,
    /// Where its wire listens: `host:port`.
    pub address: String,
}

/// The listeners of a role; port 0 takes a free one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Listen {
    /// `secondary --role imap`
    Imap {
        /// TLS from the first byte (RFC 8314).
        imaps: SocketAddr,
        /// STARTTLS.
        imap: SocketAddr,
        /// Clear text with LOGIN, for measurements; refused unless on loopback.
        plain: Option<SocketAddr>,
    },
    /// `secondary --role mx`
    Mx {
        /// SMTP with STARTTLS.
        smtp: SocketAddr,
    },
}
