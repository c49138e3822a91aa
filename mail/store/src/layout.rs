//! Where everything lies on a volume.
//!
//! ```text
//! <data>/directory.sqlite
//! <data>/staging/                      databases and snapshots being made; a folder for each restore
//! <data>/mailboxes/<ab>/<id>/keys.json  mailbox.sqlite  spool.sqlite
//! <data>/replaced/<id>/<run>/          what a restore took the place of
//! <data>/purged/<id>.json              what was removed of a mailbox that was given up
//! ```

use std::path::{Path, PathBuf};

use model::MailboxId;

use crate::StoreError;

/// Paths of a volume.
#[derive(Debug, Clone)]
pub struct Layout {
    data: PathBuf,
}

impl Layout {
    /// The layout under a data folder. Touches nothing.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self { data: data.into() }
    }

    /// The data folder itself.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The shard's routes.
    pub fn directory(&self) -> PathBuf {
        self.data.join("directory.sqlite")
    }

    /// Databases and snapshots being made, restores.
    pub fn staging(&self) -> PathBuf {
        self.data.join("staging")
    }

    /// A mailbox's folder.
    pub fn mailbox_dir(&self, id: MailboxId) -> PathBuf {
        self.data.join("mailboxes").join(id.prefix()).join(id.as_str())
    }

    /// A mailbox's keyset.
    pub fn keys(&self, id: MailboxId) -> PathBuf {
        self.mailbox_dir(id).join("keys.json")
    }

    /// A mailbox's database.
    pub fn mailbox(&self, id: MailboxId) -> PathBuf {
        self.mailbox_dir(id).join("mailbox.sqlite")
    }

    /// A mailbox's spool.
    pub fn spool(&self, id: MailboxId) -> PathBuf {
        self.mailbox_dir(id).join("spool.sqlite")
    }

    /// Octets of a mailbox's database and its WAL, as far as they can be looked at. Blocking.
    pub fn mailbox_octets(&self, id: MailboxId) -> u64 {
        let main = self.mailbox(id);
        std::fs::metadata(&main).map_or(0, |found| found.len()) + crate::wal::size_of(&main)
    }

    /// What was removed of a mailbox; as long as it is there, the mailbox gets no folder.
    pub fn purged(&self, id: MailboxId) -> PathBuf {
        self.data.join("purged").join(format!("{id}.json"))
    }

    /// Makes the folder of a mailbox durably; [`StoreError::Purged`] where it was given up. Blocking.
    pub fn create_mailbox_dir(&self, id: MailboxId) -> Result<(), StoreError> {
        if crate::open::is_there(&self.purged(id))? {
            return Err(StoreError::Purged);
        }
        Ok(files::durable::create_dir_all(&self.mailbox_dir(id))?)
    }

    /// Removes what a crash left: databases that were being made, temporary files. Only for whoever has locked the volume,
    /// before it opens anything. Blocking.
    pub fn sweep(&self) -> Result<(), StoreError> {
        for name in names(&self.staging())? {
            let path = self.staging().join(name);
            // Folders are restores: whoever makes them knows whether they are whole.
            if !path.is_dir() {
                files::durable::remove(&path)?;
            }
        }
        for id in self.mailboxes()? {
            files::durable::remove_leftovers(&self.mailbox_dir(id))?;
        }
        Ok(())
    }

    /// The mailboxes that have a folder here. Blocking.
    pub fn mailboxes(&self) -> Result<Vec<MailboxId>, StoreError> {
        let mut found = Vec::new();
        for prefix in names(&self.data.join("mailboxes"))? {
            for name in names(&self.data.join("mailboxes").join(prefix))? {
                found.extend(name.parse::<MailboxId>().ok());
            }
        }
        found.sort_unstable();
        Ok(found)
    }
}

fn failed(folder: &Path, source: std::io::Error) -> StoreError {
    files::FilesError::Io { action: "list", path: folder.to_owned(), source }.into()
}

/// Names in a folder; none where there is no folder.
pub(crate) fn names(folder: &Path) -> Result<Vec<String>, StoreError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            return Err(failed(folder, source));
        }
    };
    // An entry that cannot be read fails the list: a mailbox left out would look as if it had no keys.
    let names = entries.map(|entry| Ok(entry.map_err(|source| failed(folder, source))?.file_name().into_string().ok()));
    names.filter_map(Result::transpose).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_removes_what_a_crash_left_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (layout, id) = (Layout::new(folder.path()), MailboxId::from_random([7; 17]));
        layout.sweep().unwrap();
        layout.create_mailbox_dir(id).unwrap();
        std::fs::create_dir_all(layout.staging().join("restore")).unwrap();
        let left = [layout.staging().join("x.sqlite"), layout.mailbox_dir(id).join(".keys.json.1-2.tmp")];
        let kept =
            [layout.staging().join("restore/mailbox.sqlite"), layout.keys(id), layout.mailbox(id), layout.spool(id)];
        for path in left.iter().chain(&kept) {
            std::fs::write(path, b"x").unwrap();
        }
        layout.sweep().unwrap();
        assert!(!left.iter().any(|path| path.exists()));
        assert!(kept.iter().all(|path| path.exists()));
        assert_eq!(layout.mailboxes().unwrap(), [id]);
    }
}
