//! The only unsafe code of Sealpost: memory that holds keys, memory that held mail, and SQLite's raw key.
//!
//! Everything public is safe to call. Every unsafe block says why it is sound; nothing else in the workspace may have one.
//!
//! * [`LockedKey`] - 32 bytes in a page of their own: locked, not dumped, wiped.
//! * [`ZeroOnFree`] - the global allocator of the executable: freed memory holds nothing.
//! * [`sqlite`] - the same for SQLite's allocator, and keys as bytes instead of SQL text.
//! * [`wal`] - where commits end in the WAL.
//! * [`process`] - no core files, no debugger, children that do not outlive their parent.

// The workspace denies unsafe code; this crate is where it lives.
#![allow(unsafe_code)]
#![warn(clippy::undocumented_unsafe_blocks)]

mod alloc;
mod arena;
pub mod process;
pub mod sqlite;
pub mod wal;

pub use alloc::ZeroOnFree;
#[cfg(debug_assertions)]
pub use alloc::keep_freed_memory;
pub use arena::{ArenaReport, LockedKey};
pub use process::{HardenReport, die_with_parent, harden_process};

/// What the operating system or SQLite refused.
#[derive(Debug, thiserror::Error)]
pub enum SysError {
    /// No memory could be mapped for a key.
    #[error("cannot map a page for key material")]
    Map(#[source] std::io::Error),
    /// SQLite was in use before its allocator could be replaced.
    #[error("SQLite refused its allocator (result code {0}): it was used before the allocator was installed")]
    Allocator(i32),
    /// SQLite is too old to be trusted with mail.
    #[error("SQLite {found} is too old: {oldest} is needed (3051003 is 3.51.3)")]
    Version {
        /// What this executable holds, as SQLite numbers its versions.
        found: i32,
        /// The oldest that will do.
        oldest: i32,
    },
    /// SQLite or SQLCipher did not start.
    #[error("SQLite did not start (result code {0})")]
    Start(i32),
    /// SQLCipher did not take the key.
    #[error("SQLCipher refused the key (result code {0})")]
    Key(i32),
    /// SQLite did not take a hook.
    #[error("SQLite refused a hook (result code {0})")]
    Hook(i32),
    /// A connection setting was refused.
    #[error("SQLite refused a connection setting")]
    Setting(#[source] rusqlite::Error),
    /// A process attribute could not be set.
    #[error("the system refused {attribute}")]
    Process {
        /// Which one.
        attribute: &'static str,
        /// The refusal.
        #[source]
        source: std::io::Error,
    },
}
