//! The sidecar as a process: it follows the primary and ships what it hears of.
//!
//! ```text
//! POST /v1/hello, GET /v1/dirty, GET /v1/policies ----+
//! a look at every WAL, now and then ------------------+--> agenda --> turns (a mailbox each, a few at a time)
//! a mailbox that failed, or whose WAL is due ---------+                 |
//!                 report, archived, metrics <---------------------------+
//! ```
//!
//! * A mailbox has one turn at a time; what is heard meanwhile makes another one. Turns share nothing but the bucket.
//! * Nothing is shipped to a destination before its owner marker says that this shard, volume and term own the archives.
//! * Notices are hints. After a start of either side every WAL is looked at, and again at every [`Tuning::scan_seconds`].
//! * A bucket that is away costs nothing but time: turns are repeated, later and later, and WALs grow until the primary folds
//!   them in without asking. The report says how old the oldest commit is that is not archived.
//! * Snapshots ([`snapshots`]) and retention ([`keeper`]) have clocks of their own; what takes long of them is done beside the
//!   turns of a mailbox.
//! * The process holds no key of a mailbox and cannot open one; bucket credentials are nowhere else.
//!
//! Start with [`run`].

mod agenda;
mod backup;
mod board;
mod claim;
mod client;
mod config;
mod destination;
mod fold;
mod follow;
mod keeper;
mod metrics;
mod purge;
mod restore;
mod roster;
mod run;
mod runs;
mod scan;
mod schedules;
mod signer;
mod snapshots;
mod turn;
mod untold;
mod verify;
mod work;

pub use client::{Client, ClientError};
pub use config::{Config, Tuning};
pub use run::{ProcessError, run};
