//! `keys.json` on the volume: compare-and-swap by version, the last three versions kept.
//!
//! Invariants:
//! * A keyset once there is replaced by its successor only: [`KeysFile::update`] names the version it replaces.
//! * A crash leaves the old or the new file, whole. `keys.json.1` is the version before, `keys.json.2` the one before that.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;

use crate::StoreError;

/// A larger file is no keyset.
const MAX_SIZE: u64 = 1 << 20;

/// One mailbox's `keys.json`. All methods block.
#[derive(Debug, Clone)]
pub struct KeysFile {
    path: PathBuf,
}

/// Updates read, compare and write: one at a time in this process, which is the only one that writes.
static UPDATES: Mutex<()> = Mutex::new(());

impl KeysFile {
    /// The keyset at that path, see `Layout::keys`. Touches nothing.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The bytes; none where there is no keyset.
    pub fn read(&self) -> Result<Option<Vec<u8>>, StoreError> {
        read(&self.path)
    }

    /// Writes the first keyset; [`StoreError::KeysExist`] where there is one.
    pub fn create(&self, json: &[u8]) -> Result<(), StoreError> {
        version_of(json)?;
        if let Some(folder) = self.path.parent() {
            files::durable::create_dir_all(folder)?;
        }
        files::fault::point("keys.install.before");
        let created = files::durable::create(&self.path, json)?;
        files::fault::point("keys.install.after");
        if created { Ok(()) } else { Err(StoreError::KeysExist) }
    }

    /// Replaces version `expected`; [`StoreError::KeysChanged`] where another one is there.
    pub fn update(&self, expected: u64, json: &[u8]) -> Result<(), StoreError> {
        let _one = UPDATES.lock().unwrap_or_else(PoisonError::into_inner);
        version_of(json)?;
        let path = &self.path;
        let present = read(path)?.ok_or(StoreError::NoKeys)?;
        let found = version_of(&present)?;
        if found != expected {
            return Err(StoreError::KeysChanged { expected, found });
        }
        if let Some(previous) = read(&numbered(path, 1))? {
            files::durable::write(&numbered(path, 2), &previous)?;
        }
        files::durable::write(&numbered(path, 1), &present)?;
        Ok(files::durable::write(path, json)?)
    }
}

fn numbered(path: &Path, n: u8) -> PathBuf {
    path.with_file_name(format!("keys.json.{n}"))
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let fail = |source| files::FilesError::Io { action: "read", path: path.to_owned(), source };
    match std::fs::metadata(path) {
        Ok(found) if found.len() > MAX_SIZE => Err(StoreError::Corrupt("keys.json")),
        Ok(_) => Ok(Some(std::fs::read(path).map_err(fail)?)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(fail(e).into()),
    }
}

/// All that this file knows of a keyset.
fn version_of(json: &[u8]) -> Result<u64, StoreError> {
    #[derive(Deserialize)]
    struct Version {
        version: u64,
    }
    serde_json::from_slice(json).map(|v: Version| v.version).map_err(|_| StoreError::Corrupt("keys.json"))
}

#[cfg(test)]
mod tests {
    use model::MailboxId;

    use super::*;
    use crate::Layout;

    fn keyset(version: u64) -> Vec<u8> {
        format!("{{\"version\":{version}}}").into_bytes()
    }

    #[test]
    fn a_keyset_is_created_once_replaced_by_version_and_three_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path());
        let id = MailboxId::from_random([7; 17]);
        let file = KeysFile::new(layout.keys(id));
        assert!(file.read().unwrap().is_none());
        assert!(matches!(file.update(1, &keyset(2)), Err(StoreError::NoKeys)));
        file.create(&keyset(1)).unwrap();
        assert!(matches!(file.create(&keyset(1)), Err(StoreError::KeysExist)));
        for version in 1..4 {
            file.update(version, &keyset(version + 1)).unwrap();
        }
        assert!(matches!(file.update(3, &keyset(4)), Err(StoreError::KeysChanged { expected: 3, found: 4 })));
        assert_eq!(file.read().unwrap().unwrap(), keyset(4));
        let old = |n: u8| std::fs::read(numbered(&layout.keys(id), n)).unwrap();
        assert_eq!((old(1), old(2)), (keyset(3), keyset(2)));
        assert_eq!(layout.mailboxes().unwrap(), [id]);
    }
}
