//! A mailbox as its sessions see it, on real files.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod changes;
mod durability;
mod figures;
mod fixture;
mod folders;
mod messages;
mod model_test;
mod offline;
mod search;
