//! What is on the volume: a WAL, its record, the size of the main file. Nothing is opened but these.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use control::{Salts, WalChecksum, WalPosition, WalRecord};
use files::FilesError;
use files::wal::{Position, Wal};

use super::{Line, ShipError};
use crate::format::DataFile;

/// Looks at two files that change one behind the other, until both belong together.
const LOOKS: usize = 5;

/// A database on the volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its WAL; none where there is none, or no header in it.
    pub log: Option<Log>,
    /// How the life before ended, or how far this one was folded in.
    pub record: Option<WalRecord>,
    /// Bytes of the main file.
    pub size: u64,
    /// The commit before the first frame of this life, where it was needed and could be found out.
    pub begins: Option<u64>,
}

/// A WAL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// Its life.
    pub salts: Salts,
    /// Bytes of a page.
    pub page_size: u32,
    /// The running checksum before its first frame.
    pub start: WalChecksum,
    /// True if it still has the frame that the line is behind.
    pub holds: bool,
    /// Bytes of the file.
    pub size: u64,
}

impl Seen {
    /// Which life of the WAL it is in now, and a place in it whose commit number is known.
    pub fn life(&self) -> (u64, Option<(u32, u64)>) {
        match (&self.record, &self.log) {
            (None, _) => (1, None),
            (Some(record), Some(log)) if log.salts == record.end.salts => {
                (record.epoch, Some((record.end.frame, record.commit)))
            }
            (Some(record), _) => (record.epoch + 1, Some((0, record.commit))),
        }
    }

    /// The place before the first frame.
    pub fn start(&self) -> WalPosition {
        self.log.map_or(super::line::NOWHERE, |log| WalPosition { salts: log.salts, frame: 0, checksum: log.start })
    }
}

/// The main file.
pub fn main_of(folder: &Path, file: DataFile) -> PathBuf {
    folder.join(format!("{}.sqlite", file.database().name()))
}

fn log_of(folder: &Path, file: DataFile) -> PathBuf {
    folder.join(format!("{}.sqlite-wal", file.database().name()))
}

fn record_of(folder: &Path, file: DataFile) -> PathBuf {
    folder.join(format!("{}.wal.json", file.database().name()))
}

/// Looks at a database of a mailbox's folder; none where there is no such file.
pub fn look(folder: &Path, file: DataFile, line: Option<&Line>) -> Result<Option<(Seen, Option<Wal>)>, ShipError> {
    let mut before = record(folder, file)?;
    for _ in 0..LOOKS {
        let main = main_of(folder, file);
        let size = match fs::metadata(&main) {
            Ok(meta) => meta.len(),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(FilesError::Io { action: "read", path: main, source }.into()),
        };
        let wal = Wal::open(&log_of(folder, file))?;
        let log = wal.as_ref().map(|wal| log(wal, line)).transpose()?;
        let after = record(folder, file)?;
        if after == before {
            let begins = match (&wal, &after, line) {
                (Some(wal), Some(record), Some(line)) => begins(wal, record, line)?,
                _ => None,
            };
            return Ok(Some((Seen { log, record: after, size, begins }, wal)));
        }
        before = after;
    }
    Err(ShipError::Restless { path: main_of(folder, file) })
}

/// A life that goes on, although its end was recorded, hides how the one before ended. Then only the numbers of commits say
/// whether the line has come to that end.
fn begins(wal: &Wal, record: &WalRecord, line: &Line) -> Result<Option<u64>, FilesError> {
    if wal.header().salts != record.end.salts || line.epoch + 1 != record.epoch {
        return Ok(None);
    }
    let commits = wal.commits_after(&wal.start(), u64::MAX)?;
    let before = commits.iter().filter(|commit| commit.frame <= record.end.frame).count();
    Ok(record.commit.checked_sub(before as u64))
}

fn log(wal: &Wal, line: Option<&Line>) -> Result<Log, FilesError> {
    let header = wal.header();
    let holds = match line {
        Some(line) => wal.holds(&position(line.at))?,
        None => false,
    };
    let (salts, page_size, start) = (header.salts, header.page_size, header.checksum);
    Ok(Log { salts, page_size, start, holds, size: wal.size()? })
}

/// The same place, as the reader of WALs has it.
pub fn position(at: WalPosition) -> Position {
    Position { salts: at.salts, frame: at.frame, checksum: at.checksum }
}

fn record(folder: &Path, file: DataFile) -> Result<Option<WalRecord>, ShipError> {
    let path = record_of(folder, file);
    match fs::read(&path) {
        Ok(json) => match serde_json::from_slice::<WalRecord>(&json) {
            Ok(record) if record.format == 1 => Ok(Some(record)),
            _ => Err(ShipError::Record { path }),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FilesError::Io { action: "read", path, source }.into()),
    }
}
