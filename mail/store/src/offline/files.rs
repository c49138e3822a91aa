//! The files of one mailbox, where somebody has put them.

use std::fmt::Write as _;
use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crypto::Dek;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::open::{is_there, with_suffix};
use crate::wal::wal_of;
use crate::{KeysFile, StoreError};

/// What SQLite needs beside a main file to find its last commit. `-shm` is made anew.
const COMPANIONS: [&str; 3] = ["", "-wal", "-journal"];

/// A folder with `keys.json`, `mailbox.sqlite` and `spool.sqlite`, each of the databases maybe with its WAL: a mailbox's
/// folder of a volume that no server serves, or what was fetched from a bucket.
#[derive(Debug, Clone)]
pub struct Files {
    folder: PathBuf,
}

impl Files {
    /// Looks whether the folder is one of a mailbox: [`StoreError::NoKeys`] where it has no `keys.json`, and an error
    /// where a WAL lies there without its database.
    pub fn find(folder: &Path) -> Result<Self, StoreError> {
        let found = Self { folder: folder.to_owned() };
        if !is_there(&folder.join("keys.json"))? {
            return Err(StoreError::NoKeys);
        }
        for (path, what) in [
            (found.mailbox(), "mailbox.sqlite is missing beside its WAL: the mailbox"),
            (found.spool(), "spool.sqlite is missing beside its WAL: the spool"),
        ] {
            if !is_there(&path)? && is_there(&wal_of(&path))? {
                return Err(StoreError::Corrupt(what));
            }
        }
        Ok(found)
    }

    /// The keyset's bytes.
    pub fn keys(&self) -> Result<Vec<u8>, StoreError> {
        KeysFile::new(self.folder.join("keys.json")).read()?.ok_or(StoreError::NoKeys)
    }

    /// Path of the mailbox's database.
    pub fn mailbox(&self) -> PathBuf {
        self.folder.join("mailbox.sqlite")
    }

    /// Path of the spool.
    pub fn spool(&self) -> PathBuf {
        self.folder.join("spool.sqlite")
    }

    /// Opens the mailbox's main file with the key and reads its first page, without writing anything anywhere. `false`
    /// where there is no database: its owner has never logged in. [`StoreError::WrongKey`] where the key is another one's.
    pub fn prove(&self, dek: &Dek) -> Result<bool, StoreError> {
        let path = self.mailbox();
        if !is_there(&path)? {
            return Ok(false);
        }
        sys::sqlite::start()?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(immutable(&path), flags)?;
        sys::sqlite::key(&connection, dek.bytes())?;
        connection.execute_batch("PRAGMA cipher_log_level = NONE;")?;
        match connection.query_row("PRAGMA schema_version", [], |row| row.get::<_, i64>(0)) {
            Ok(_) => Ok(true),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => Err(StoreError::WrongKey),
            Err(error) => Err(error.into()),
        }
    }

    /// Copies both databases as they are. Fails where somebody writes to them meanwhile.
    pub(super) fn copy(&self, mailbox: &Path, spool: &Path) -> Result<(), StoreError> {
        let mut seen = Vec::new();
        for (from, to) in [(self.mailbox(), mailbox), (self.spool(), spool)] {
            for suffix in COMPANIONS {
                let (from, to) = (with_suffix(&from, suffix), with_suffix(to, suffix));
                let state = state_of(&from)?;
                if state.is_some() {
                    copy_one(&from, &to)?;
                }
                seen.push((from, state));
            }
        }
        for (path, before) in seen {
            if state_of(&path)? != before {
                return Err(StoreError::Busy);
            }
        }
        Ok(())
    }
}

/// The path as a URI that tells SQLite to take the file as it is: no locks, no `-shm`, no WAL.
fn immutable(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => uri.push(char::from(*byte)),
            other => drop(write!(uri, "%{other:02x}")),
        }
    }
    uri + "?immutable=1"
}

/// Size and time of the last change; none where there is no such file.
fn state_of(path: &Path) -> Result<Option<(u64, Option<SystemTime>)>, StoreError> {
    let state = |found: Metadata| (found.len(), found.modified().ok());
    match fs::metadata(path) {
        Ok(found) => Ok(Some(state(found))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(failed("look at", path, source)),
    }
}

/// Made anew with our mode, whatever the mode of the original; shares its blocks where the file system can.
fn copy_one(from: &Path, to: &Path) -> Result<(), StoreError> {
    files::durable::create(to, b"")?;
    let mut source = File::open(from).map_err(|e| failed("read", from, e))?;
    let mut target = fs::OpenOptions::new().write(true).open(to).map_err(|e| failed("write", to, e))?;
    io::copy(&mut source, &mut target).map_err(|e| failed("copy", from, e))?;
    Ok(())
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> StoreError {
    files::FilesError::Io { action, path: path.to_owned(), source }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_any_bytes_becomes_a_uri() {
        assert_eq!(immutable(Path::new("/a b/c?d#e%f.sqlite")), "file:/a%20b/c%3fd%23e%25f.sqlite?immutable=1");
    }
}
