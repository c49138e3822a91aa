//! Snapshots: whole, compact copies of a mailbox, still encrypted with its key, and proved to open with it.
//!
//! 1. The key is at hand: it is that of an open mailbox.
//! 2. The writer's turn is taken,
//! 3. and the WAL is folded in if all of it is archived (otherwise whoever archives would lose it; the copy reads through the
//!    WAL and needs no checkpoint). Then the writers go on.
//! 4. `VACUUM INTO` on a connection of its own: inside a transaction it fails, under the writer's lock it would stop delivery.
//! 5. The copy is opened with the key: every page's code, the structure, the version, the counts.
//! 6. Its commit number is read from it, and its SHA-256 made.
//! 7. The caller hands it over, or removes it.
//!
//! What a crash leaves: a file in `staging/`, swept at the next start.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crypto::Sha256;
use files::fault;
use rusqlite::Connection;

use crate::mailbox::Core;
use crate::open::{self, Use};
use crate::state::State;
use crate::{Mailbox, StoreError, schema};

/// Octets read at a time for the hash.
const PIECE: usize = 1 << 20;
/// Cache of a connection that reads everything once, in KiB.
const CACHE: u32 = 8 << 10;

/// A copy that was opened with the key and found sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// Octets.
    pub size: u64,
    /// Of the file.
    pub sha256: [u8; 32],
    /// The commit it represents.
    pub commit: u64,
    /// Version of its tables.
    pub schema: i64,
    /// Messages in it.
    pub messages: u64,
}

/// What became of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Snapshotted {
    /// It is there.
    Made(Copied),
    /// Nothing was committed since the commit that the caller named.
    Unchanged(u64),
}

impl Mailbox {
    /// Copies the mailbox to that path, which is made, unless its commit number is `unless`. On failure nothing is left.
    pub async fn snapshot(&self, to: PathBuf, unless: Option<u64>) -> Result<Snapshotted, StoreError> {
        let core = self.core().clone();
        core.open_writer().await?;
        if unless == Some(core.commits()) {
            return Ok(Snapshotted::Unchanged(core.commits()));
        }
        core.fold_if_archived().await?;
        fault::point("snapshot.folded.after");
        let made = tokio::task::spawn_blocking(move || {
            copy(&core, &to).inspect_err(|_| {
                // What failed says why; a file that stays is swept at the next start.
                let _ = remove(&to);
            })
        });
        Ok(Snapshotted::Made(made.await.map_err(|_| StoreError::Stopped)??))
    }
}

fn copy(core: &Arc<Core>, to: &Path) -> Result<Copied, StoreError> {
    remove(to)?;
    // Made here and not by SQLite, so that it has our mode.
    files::durable::create(to, b"")?;
    let used = core.take_into_use()?;
    let source = core.open_own(Use::Write)?;
    source.execute_batch(&format!("PRAGMA cache_size = -{CACHE};"))?;
    source.execute("VACUUM INTO ?", [to.to_string_lossy()])?;
    drop((source, used));
    fault::point("snapshot.copied.after");
    files::durable::sync_file(to)?;
    let (commit, schema, messages) = verify(&core.open_copy(to, Use::Read)?)?;
    fault::point("snapshot.verified.after");
    for aside in [open::with_suffix(to, "-wal"), open::with_suffix(to, "-shm")] {
        files::durable::remove(&aside)?;
    }
    let (size, sha256) =
        digest(to).map_err(|source| files::FilesError::Io { action: "read", path: to.to_owned(), source })?;
    fault::point("snapshot.hashed.after");
    Ok(Copied { size, sha256, commit, schema, messages })
}

/// Removes a copy and what lies beside it.
fn remove(copy: &Path) -> Result<(), StoreError> {
    for suffix in ["", "-journal", "-wal", "-shm"] {
        files::durable::remove(&open::with_suffix(copy, suffix))?;
    }
    Ok(())
}

/// Commit number, version and messages of a copy that is whole.
fn verify(copy: &Connection) -> Result<(u64, i64, u64), StoreError> {
    check(copy)?;
    let state = State::load(copy)?;
    let count: i64 = copy.query_row("SELECT count(*) FROM msg", [], |row| row.get(0))?;
    if count as u64 != state.messages {
        return Err(StoreError::Corrupt("the copy of a mailbox"));
    }
    Ok((state.commits, schema::VERSION, state.messages))
}

/// Looks at every page: its code (which needs the key), and the structure.
pub(crate) fn check(connection: &Connection) -> Result<(), StoreError> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version != schema::VERSION {
        return Err(StoreError::Format { what: "mailbox.sqlite", found: version, known: schema::VERSION });
    }
    let mut codes = connection.prepare("PRAGMA cipher_integrity_check")?;
    if codes.exists([])? {
        return Err(StoreError::Corrupt("a page of a mailbox"));
    }
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found == "ok" { Ok(()) } else { Err(StoreError::Corrupt("the structure of a mailbox")) }
}

fn digest(path: &Path) -> std::io::Result<(u64, [u8; 32])> {
    let (mut file, mut hash, mut size) = (File::open(path)?, Sha256::new(), 0);
    let mut piece = vec![0; PIECE];
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok((size, hash.finish()));
        }
        hash.update(&piece[..read]);
        size += read as u64;
    }
}
