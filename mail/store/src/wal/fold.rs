//! Folding a WAL into its database.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use control::{WalPosition, WalRecord};
use rusqlite::Connection;

use super::{FRAME_HEADER, HEADER, record_of, wal_of, word};
use crate::StoreError;

/// `format` of a [`WalRecord`].
const FORMAT: u32 = 1;
/// The position in a WAL that has nothing: a file without a header names no life.
const EMPTY: WalPosition = WalPosition { salts: [0, 0], frame: 0, checksum: [0, 0] };

/// Frames in the WAL, and how many of them are in the main file as well.
pub(crate) fn progress(connection: &Connection) -> Result<(u32, u32), StoreError> {
    let counts = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
    let (frames, folded) = connection.query_row("PRAGMA wal_checkpoint(NOOP)", [], counts)?;
    // Minus one where the database has no WAL.
    Ok((frames.max(0) as u32, folded.max(0) as u32))
}

/// Where the WAL ends. Meant for whoever keeps writers away.
pub(crate) fn end(connection: &Connection, database: &Path) -> Result<WalPosition, StoreError> {
    let (frame, _) = progress(connection)?;
    let path = wal_of(database);
    let read = || position(&File::open(&path)?, frame);
    read().map_err(|source| files::FilesError::Io { action: "read", path: path.clone(), source }.into())
}

fn position(wal: &File, frame: u32) -> io::Result<WalPosition> {
    if frame == 0 && wal.metadata()?.len() < HEADER {
        return Ok(EMPTY);
    }
    let mut header = [0; HEADER as usize];
    wal.read_exact_at(&mut header, 0)?;
    let salts = [word(&header, 16), word(&header, 20)];
    if frame == 0 {
        return Ok(WalPosition { salts, frame, checksum: [word(&header, 24), word(&header, 28)] });
    }
    let mut last = [0; FRAME_HEADER as usize];
    let size = FRAME_HEADER + u64::from(word(&header, 8));
    wal.read_exact_at(&mut last, HEADER + u64::from(frame - 1) * size)?;
    Ok(WalPosition { salts, frame, checksum: [word(&last, 16), word(&last, 20)] })
}

/// Folds the WAL in and starts a new one, after it has been recorded where this one ends, and whether whoever archives it
/// has `copied` all of it. Writers are kept away by the caller; `commit` is the commit number now. Answers `false` if readers
/// were in the way.
pub(crate) fn fold(connection: &Connection, database: &Path, commit: u64, copied: bool) -> Result<bool, StoreError> {
    let end = end(connection, database)?;
    if end.frame > 0 {
        files::fault::point("wal.record.before");
        record(database, end, commit, copied)?;
        files::fault::point("wal.record.after");
    }
    // Behind a reader it would block writers for seconds; it is tried again later instead.
    connection.execute_batch("PRAGMA busy_timeout = 0;")?;
    files::fault::point("store.checkpoint.before");
    let busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
    files::fault::point("store.checkpoint.after");
    connection.execute_batch("PRAGMA busy_timeout = 5000;")?;
    Ok(busy? == 0)
}

/// Writes the record of how this life of the WAL ended.
fn record(database: &Path, end: WalPosition, commit: u64, copied: bool) -> Result<(), StoreError> {
    let path = record_of(database);
    let before: Option<WalRecord> = match std::fs::read(&path) {
        Ok(json) => Some(serde_json::from_slice(&json).map_err(|_| StoreError::Corrupt("the record of a WAL"))?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(source) => return Err(files::FilesError::Io { action: "read", path, source }.into()),
    };
    let epoch = before.map_or(1, |before| before.epoch + u64::from(before.end.salts != end.salts));
    let record = WalRecord { format: FORMAT, epoch, end, commit, copied };
    let json = serde_json::to_vec(&record).map_err(|_| StoreError::Corrupt("the record of a WAL"))?;
    Ok(files::durable::write(&path, &json)?)
}

#[cfg(test)]
mod tests;
