//! What touches the volume outside SQLite: durable writes, the lock that keeps a second process away, and a reader of
//! write-ahead logs.
//!
//! Start with [`durable::write`], or with [`wal::Wal`]. Nothing here knows what is in a file; nothing here opens a database.
//! [`fault`] makes a process fail at a named moment, in tests.

pub mod durable;
mod error;
pub mod fault;
mod lock;
pub mod wal;

pub use error::FilesError;
pub use lock::{LockFile, lock_exclusive};
