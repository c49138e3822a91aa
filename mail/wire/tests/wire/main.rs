//! The wire over loopback: real TCP, real TLS, both libraries' WebSockets; a shard and a secondary that are small but do
//! what they say.

// Helpers are tests too; clippy knows only functions marked as tests.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod calls;
mod hostile;
mod push;
mod reconnect;
mod secondary;
mod shard;
mod streams;
mod world;
