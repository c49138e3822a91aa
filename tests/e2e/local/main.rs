//! Black-box tests of `sealpost up`: real processes, real sockets, real clients, real `kill -9`.
//!
//! Every test starts its own server on a state folder and ports of its own. Tests that need a program (`curl`, `swaks`,
//! `mbsync`, `npm`, `openssl`, `python3`) say so and pass without it, unless `SEALPOST_REQUIRE_TOOLS=1`: then its absence
//! fails them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::format_push_string, reason = "tests read better with it")]

mod harness;

mod archive;
mod buckets;
mod certificates;
mod clients;
mod corpus;
mod crashes;
mod declared_runs;
mod errors;
mod export;
mod fences;
mod first_light;
mod hostile;
mod lifecycle;
mod live;
mod migration;
mod networks;
mod nothing_seen;
mod purge;
mod reconnects;
mod restarts;
mod restore;
mod restore_ends;
mod scopes;
mod secrets;
mod snapshots;
mod soak;
mod storage;
mod syncs;
mod unreachable;
mod up;
