//! What touches the volume outside SQLite: durable writes and the lock that keeps a second process away.
//!
//! Start with [`durable::write`]. Nothing here knows what is in a file; nothing here opens a database.

pub mod durable;
mod error;
mod lock;

pub use error::FilesError;
pub use lock::{LockFile, lock_exclusive};
