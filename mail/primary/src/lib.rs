//! The owner of a shard: the only process that opens its mailboxes, accepts its mail, and answers its secondaries.
//!
//! Start with [`run`], the story of a start; then [`shard`] for what there is, [`wire_service`] for what secondaries
//! ask, [`delivery`] for where mail goes, [`control`] for what the operator pushes, [`fences`] for what stays closed, [`sidecar`] for whoever archives it.
//!
//! Invariants:
//! * One process per volume (an exclusive lock), and only on the volume of its own server and shard ([`identity`]).
//! * Mail is acknowledged after fsync, in the mailbox or sealed in its spool ([`delivery`]).
//! * A DEK is in memory only while a session lives, shielded ([`sessions`]); it never touches the disk or a log.
//! * Nothing is removed because it is absent somewhere ([`directory`]).

pub mod config;
pub mod control;
pub mod delivery;
pub mod directory;
mod error;
pub mod fences;
mod guesses;
pub mod identity;
pub mod keysets;
mod metrics;
pub mod sessions;
pub mod shard;
pub mod sidecar;
mod space;
mod start;
#[cfg(test)]
mod testing;
pub mod wire_service;

pub use config::{Config, Tuning};
pub use error::PrimaryError;
pub use start::{Endpoints, run};
