//! Where everything lies on a volume.
//!
//! ```text
//! <data>/directory.sqlite
//! <data>/staging/                      databases being made
//! <data>/mailboxes/<ab>/<id>/keys.json  mailbox.sqlite  spool.sqlite
//! ```

use std::path::{Path, PathBuf};
use std::sync::Once;

use model::MailboxId;

use crate::StoreError;

/// Paths of a volume.
#[derive(Debug, Clone)]
pub struct Layout {
    data: PathBuf,
}

impl Layout {
    /// The layout under a data folder. The first one ever starts SQLite: nothing of a volume is opened before.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        start_sqlite();
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

    /// Databases being made.
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

    /// Makes the folder of a mailbox durably. Blocking.
    pub fn create_mailbox_dir(&self, id: MailboxId) -> Result<(), StoreError> {
        Ok(files::durable::create_dir_all(&self.mailbox_dir(id))?)
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

/// SQLite calls itself initialised before SQLCipher has finished its part: a second thread that opens a database at that
/// moment is refused its key. So one thread starts it while there are no others.
fn start_sqlite() {
    static STARTED: Once = Once::new();
    // A connection that could not be opened will be missed, with a better error, when a file is.
    STARTED.call_once(|| drop(rusqlite::Connection::open_in_memory()));
}

/// Names in a folder; none where there is no folder.
fn names(folder: &Path) -> Result<Vec<String>, StoreError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            return Err(files::FilesError::Io { action: "list", path: folder.to_owned(), source }.into());
        }
    };
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
}
