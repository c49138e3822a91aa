//! Following the commits of a writing connection.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use control::Salts;
use rusqlite::Connection;
use sys::wal::CommitFrames;

use super::{wal_of, word};
use crate::StoreError;
use crate::archive::Noter;

/// Follows the commits of one writing connection.
pub(crate) struct Tail {
    path: PathBuf,
    frames: CommitFrames,
    /// Open since the first commit: salts are read after each, because any of them may have begun a new life.
    file: Option<File>,
}

impl Tail {
    /// Watches the connection. After it no `PRAGMA wal_autocheckpoint` may come.
    pub fn watch(connection: &Connection, database: &Path) -> Result<Self, StoreError> {
        Ok(Self { path: wal_of(database), frames: sys::wal::watch(connection)?, file: None })
    }

    /// How many frames the WAL has, if there was a commit since the last call.
    pub fn committed(&self) -> Option<u32> {
        self.frames.take()
    }

    /// Tells of the commit that ended at that frame just now.
    pub fn tell(&mut self, noter: &Noter, frame: u32, commit: u64) {
        match self.salts() {
            Ok(salts) => noter.note(salts, frame, commit),
            // The commit stands, and a scan finds what no notice told of.
            Err(error) => tracing::warn!(wal = %self.path.display(), %error, "a commit could not be told of"),
        }
    }

    fn salts(&mut self) -> io::Result<Salts> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(File::open(&self.path)?),
        };
        let mut salts = [0; 8];
        file.read_exact_at(&mut salts, 16)?;
        Ok([word(&salts, 0), word(&salts, 4)])
    }
}
