//! The front ends' process: listeners, TLS, login, live sessions, and the wires to the primaries.
//!
//! A secondary holds no data. Start with [`run`]; `imap` shows how a login becomes an attached session and how that
//! outlives a restart of its primary, `mx` how a message reaches its shards.
//!
//! Invariants:
//! * Keys of live sessions are shielded in memory and never written; passwords live as long as one login.
//! * An unreachable shard is never an unknown user or a wrong password.
//! * Every task is owned and ends with the process's token; clients are told before the wires close.

mod config;
mod directory;
mod error;
mod imap;
mod listener;
mod mx;
mod run;
mod shards;
#[cfg(test)]
mod testing;

pub use config::{Config, Listen, Shard};
pub use error::SecondaryError;
pub use run::{Endpoints, run};
