//! directory.sqlite: the routes a shard was last given, keyed with the shard key, so that it serves after a restart
//! while whoever pushes them is away.
//!
//! Invariants:
//! * [`DirectoryFile::save`] answers after the commit is fsynced.
//! * The stored generation never goes back: an older directory is refused in the transaction that would store it.
//!
//! A file that the shard key does not open is an error, never an empty directory: absence never means removal.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use model::{Bindings, Directory, Generation};
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior, params};

use crate::StoreError;

/// `user_version` this code reads and writes.
const FORMAT: i64 = 2;

/// Format 1. One row: the directory is read and replaced as a whole.
const TABLES: &str = "
    CREATE TABLE directory(
        id INTEGER PRIMARY KEY CHECK(id = 0), epoch INTEGER NOT NULL, seq INTEGER NOT NULL, json BLOB NOT NULL);";
/// Format 2: the bindings beside the directory that was made with them.
const BINDINGS: &str = "
    ALTER TABLE directory ADD COLUMN bindings BLOB NOT NULL DEFAULT '{}';
    PRAGMA user_version = 2;";

/// The open file. All methods block.
pub struct DirectoryFile {
    connection: Mutex<Connection>,
}

impl DirectoryFile {
    /// Opens the file with the shard key; it is made if it is missing. Its folder must exist.
    pub fn open(path: &Path, shard_key: &[u8; 32]) -> Result<Self, StoreError> {
        // A full disk takes no new file, and needs none.
        if !crate::open::is_there(path)? {
            files::durable::create(path, b"")?;
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        sys::sqlite::start()?;
        let connection = Connection::open_with_flags(path, flags)?;
        sys::sqlite::key(&connection, shard_key)?;
        connection.execute_batch(
            "PRAGMA cipher_log_level = NONE;
             PRAGMA busy_timeout = 5000;
             PRAGMA journal_mode = WAL;
             PRAGMA synchronous = FULL;
             PRAGMA temp_store = MEMORY;",
        )?;
        let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        match found {
            FORMAT => {}
            0 => connection.execute_batch(&format!("BEGIN IMMEDIATE; {TABLES} {BINDINGS} COMMIT;"))?,
            1 => connection.execute_batch(&format!("BEGIN IMMEDIATE; {BINDINGS} COMMIT;"))?,
            _ => return Err(StoreError::Format { what: "directory.sqlite", found, known: FORMAT }),
        }
        Ok(Self { connection: Mutex::new(connection) })
    }

    /// The directory and its bindings as they were last saved.
    pub fn load(&self) -> Result<Option<(Directory, Bindings)>, StoreError> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let read = |row: &rusqlite::Row<'_>| {
            // Text where the row is older than the column.
            let bindings = row.get_ref(1)?.as_bytes()?.to_vec();
            Ok((row.get::<_, Vec<u8>>(0)?, bindings))
        };
        let row = connection.query_row("SELECT json, bindings FROM directory", [], read).optional()?;
        let Some((directory, bindings)) = row else { return Ok(None) };
        let corrupt = |_| StoreError::Corrupt("directory.sqlite");
        let directory = serde_json::from_slice(&directory).map_err(corrupt)?;
        Ok(Some((directory, serde_json::from_slice(&bindings).map_err(corrupt)?)))
    }

    /// Replaces both, unless what is there is newer: then nothing changes, and the answer is `false`.
    pub fn save(&self, directory: &Directory, bindings: &Bindings) -> Result<bool, StoreError> {
        let json = serde_json::to_vec(directory).map_err(|_| StoreError::Corrupt("a directory"))?;
        let bindings = serde_json::to_vec(bindings).map_err(|_| StoreError::Corrupt("bindings"))?;
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let read = |row: &rusqlite::Row<'_>| {
            Ok(Generation { epoch: row.get::<_, i64>(0)? as u64, seq: row.get::<_, i64>(1)? as u64 })
        };
        let stored = tx.query_row("SELECT epoch, seq FROM directory", [], read).optional()?;
        if stored.is_some_and(|stored| stored > directory.generation) {
            return Ok(false);
        }
        let Generation { epoch, seq } = directory.generation;
        tx.execute(
            "INSERT OR REPLACE INTO directory(id, epoch, seq, json, bindings) VALUES(0, ?, ?, ?, ?)",
            params![epoch as i64, seq as i64, json, bindings],
        )?;
        files::fault::point("directory.commit.before");
        tx.commit()?;
        files::fault::point("directory.commit.after");
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
