//! A mailbox without its server: the files of one mailbox, opened by its owner's key for tools.
//!
//! Start with [`Files`], which looks at a folder with `keys.json`, `mailbox.sqlite` and `spool.sqlite`; then
//! [`Offline::open`], which makes a private copy, takes the waiting mail into it as a primary would, and reads.
//!
//! Invariants:
//! * Nothing is ever written into the folder that was given, `-shm` files included: what SQLite has to write (recovery of
//!   the WAL, migrations, waiting mail) it writes into the copy. The copy is encrypted by the same key.
//! * A delivery that the mailbox has taken does not come again from the spool, and waiting mail comes in its order. Rows
//!   that a drain had marked count as waiting: whether the mailbox took them is what `taken` says.
//! * A message that does not open, or that is damaged, is reported and does not stop the rest.
//!
//! What a crash leaves: the copy, in a folder of the caller's choice.

mod files;
mod plain;
mod read;
mod waiting;

use std::path::Path;

use crypto::{Dek, SealingKey};
use model::{DeliveryId, MailboxId};
use rusqlite::{Connection, OpenFlags};

use crate::open::{self, Use};
use crate::{Layout, Limits, Mailboxes, StoreError, schema};

pub use files::Files;
pub use read::{Folder, Message};

/// The copy's name on its private volume. Nothing refers to it.
const COPY: [u8; 17] = [0; 17];

/// A mailbox that no server serves, open for reading.
pub struct Offline {
    connection: Connection,
    keywords: model::Keywords,
    /// INBOX holds what waited from this UID on.
    waiting_from: u32,
    report: Report,
}

/// What became of the spool.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Messages that waited and are in INBOX now.
    pub waiting: u64,
    /// Messages that waited and were in the mailbox already.
    pub known: u64,
    /// Messages that cannot be taken in, and why.
    pub set_aside: Vec<(DeliveryId, String)>,
}

impl Offline {
    /// Copies the files into `copy`, a folder that exists and is empty, takes in what waits, and opens the result.
    pub async fn open(files: &Files, copy: &Path, dek: &Dek, sealing: &SealingKey) -> Result<Self, StoreError> {
        let (layout, id) = (Layout::new(copy), MailboxId::from_random(COPY));
        layout.create_mailbox_dir(id)?;
        files.copy(&layout.mailbox(id), &layout.spool(id))?;
        let mailboxes = Mailboxes::new(layout.clone(), limits());
        let mailbox = mailboxes.attach(id, Dek::from_bytes(dek.bytes())).await?;
        let waiting_from = {
            let connection = open::open(&layout.mailbox(id), dek, Use::Read)?;
            read::uidnext_of_inbox(&connection)?
        };
        let report = waiting::take(&layout.spool(id), &mailbox, sealing).await?;
        drop(mailbox);
        mailboxes.detach(id).await;
        Self::read(open::open(&layout.mailbox(id), dek, Use::Read)?, waiting_from, report)
    }

    /// Opens a mailbox that [`Offline::write_plain`] wrote. Nothing is written.
    pub fn open_plain(path: &Path) -> Result<Self, StoreError> {
        sys::sqlite::start()?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(not_plain)?;
        if found != schema::VERSION {
            return Err(StoreError::Format { what: "the SQLite file", found, known: schema::VERSION });
        }
        Self::read(connection, u32::MAX, Report::default())
    }

    fn read(connection: Connection, waiting_from: u32, report: Report) -> Result<Self, StoreError> {
        let keywords = crate::rows::keywords(&connection)?;
        Ok(Self { connection, keywords, waiting_from, report })
    }

    /// What became of the spool.
    pub fn report(&self) -> &Report {
        &self.report
    }
}

/// Nobody else is here, so nothing has to be kept for others; and what was accepted once is not refused for its size.
fn limits() -> Limits {
    Limits { message: u64::MAX, ..Limits::default() }
}

/// A file that is encrypted, or no database, reads like one that is damaged.
fn not_plain(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => StoreError::Corrupt("the SQLite file (or it is encrypted): it"),
        _ => error.into(),
    }
}
