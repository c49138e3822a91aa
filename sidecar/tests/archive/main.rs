//! Real databases, shipped into a bucket in memory and put together again.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

extern crate sealpost_sidecar as sidecar;

mod commits;
mod damage;
mod faults;
mod owners;
mod restores;
mod retention;
mod snapshots;
mod volume;
