//! The objects of an archive.
//!
//! | object | is | type |
//! |---|---|---|
//! | owner marker | who wrote a shard's archives from a term on, and the public key that signs them | [`Owner`] |
//! | manifest | what an archive consists of, and its gaps; each names the hash of the one before | [`Manifest`] |
//! | base | a copy of a database's main file | [`BaseHeader`] |
//! | segment | frames of whole commits of its WAL | [`SegmentHeader`] |
//! | keys | `keys.json`, as it is | - |
//! | snapshot | a compact, verified copy, and its note | [`SnapshotNote`] |
//!
//! Objects are immutable. [`Name`] says how they are called. Bases and segments are [`envelope`]s: a signed header that
//! tells hash and size of the payload behind it, and the hash of the header before it, so nobody but the shard can make,
//! reorder or leave out one unseen. Markers and manifests are signed documents ([`document`]).
//!
//! Whatever is wrong with an object is a [`Damage`], which names it.

mod damage;
pub mod document;
pub mod envelope;
mod hash;
mod manifest;
mod name;
mod owner;
mod signing;

pub use damage::{Damage, Fault};
pub use envelope::{BaseHeader, Codec, Header, Payload, Point, SegmentHeader};
pub use hash::{Hashing, Sha256};
pub use manifest::{BaseRef, Gap, Head, Manifest, Predecessor, Reason, SnapshotNote, SnapshotRecord};
pub use name::{DataFile, Name, SnapshotPart, mailbox_prefix, timeline_prefix};
pub use owner::Owner;
pub use signing::{Signature, Signer, SignerKey};

/// Version of everything here.
pub const FORMAT: u32 = 1;
