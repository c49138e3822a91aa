//! What a primary and its sidecar say to each other over the unix socket they share.
//!
//! The primary serves `<run>/sidecar.sock` (HTTP/1.1, JSON); the sidecar calls. Peers are checked by their user id.
//! Ciphertext goes through files of the volume, never through the socket; keys and bucket credentials go through neither.
//!
//! | request | answer | meaning |
//! |---|---|---|
//! | `POST /v1/hello` [`Hello`] | [`Shard`] | the sidecar says who it is; whose volume this is |
//! | `GET /v1/dirty?boot=B&after=N` | [`DirtyBatch`] | waits up to 20 s for commits after cursor N |
//! | `GET /v1/policies?after=N` | [`PolicyBatch`] | waits up to 20 s for other policies or runs than those of cursor N |
//! | `POST /v1/hold` [`HoldRequest`] | [`Hold`] | writers of one database wait until CHECKPOINT, RELEASE or the deadline |
//! | `POST /v1/checkpoint` [`Checkpoint`] | [`Checkpointed`] | folds the WAL in, if nothing moved since the hold |
//! | `POST /v1/release` [`Token`] | - | ends a hold |
//! | `POST /v1/snapshot` [`SnapshotRequest`] | [`Snapshot`] | `VACUUM INTO` staging, verified with the key |
//! | `POST /v1/archived` `[`[`Archived`]`]` | - | what is safe in the bucket |
//! | `POST /v1/adopt` [`Adopt`] | [`Adopted`] | renames a restored folder into place |
//! | `POST /v1/purge` [`Purge`] | [`Purged`] | removes every file of a mailbox that the directory has given up |
//! | `PUT /v1/report` [`report::Report`] | - | what the sidecar says of itself; the primary shows it to the operator |
//!
//! A refusal is [`Refusal`] with status 409 (the state is another one: look again), 404 (no such mailbox), 423 (locked:
//! the key is not here, or the mailbox is fenced), 429 (one is running already), 503 (try later) or 507 (no space).
//!
//! [`operator`] is another conversation: what the operator and a primary say to each other.

mod dirty;
mod hold;
pub mod operator;
mod policy;
mod purge;
pub mod report;
mod restore;
mod snapshot;
mod wal;

pub use dirty::{Archived, Commit, Database, Dirty, DirtyBatch};
pub use hold::{Checkpoint, Checkpointed, Hold, HoldRequest, Token};
pub use policy::{PolicyBatch, RunAssignment};
pub use purge::{Purge, PurgeRecord, PurgeStep, Purged, PurgedFile};
pub use restore::{Adopt, AdoptMode, AdoptRecord, AdoptStep, Adopted};
pub use snapshot::{Snapshot, SnapshotRequest};
pub use wal::{Salts, WalChecksum, WalPosition, WalRecord};

use model::{BootId, ServerId, ShardId, Term};
use serde::{Deserialize, Serialize};

/// Version of what is spoken; both sides are of one release, or of one release and the one before it.
pub const VERSION: u32 = 1;

/// The sidecar presents itself; first of all after every connect and whenever the primary's boot id has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hello {
    /// See [`VERSION`].
    pub version: u32,
    /// This start of the sidecar: 32 hexadecimal digits.
    pub run: String,
    /// Public half (Ed25519, 32 bytes in base64) of the key that signs the archive. The primary puts it into keysets.
    pub signer: String,
}

/// Whose volume it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shard {
    /// See [`VERSION`].
    pub version: u32,
    /// Which MailServer.
    pub server: ServerId,
    /// Which of its shards.
    pub shard: ShardId,
    /// The volume's own identity (`identity.json`).
    pub volume: String,
    /// Under which ownership.
    pub term: Term,
    /// This start of the primary.
    pub boot: BootId,
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// For people and logs.
    pub error: String,
}
