//! Mailboxes and spools as whoever archives them sees them: bytes of files, and notices.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod commits;
#[path = "../mailbox/fixture.rs"]
#[allow(dead_code, reason = "shared with the other tests")]
mod fixture;
mod spool;
mod volume;
mod wal;
