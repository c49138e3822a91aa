//! What leaves the volume: an archive of every mailbox, written and read without any key of a mailbox.
//!
//! Start with [`format`] for what an archive consists of, [`bucket`] for where it is kept, [`ship`] for how it gets there,
//! [`assemble`] for the way back, [`catalog`] for a look at a bucket from outside, [`process`] for the process that does it all
//! the time.
//!
//! Nothing here can open a mailbox: this crate knows no keysets, no SQLite, no passwords.

pub mod assemble;
pub mod bucket;
pub mod catalog;
pub mod format;
pub mod process;
pub mod ship;

pub use process::run;
