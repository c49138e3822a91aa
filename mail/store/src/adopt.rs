//! A restored mailbox takes its place: the one thing besides opening and writing that happens to files in `mailboxes/`.
//!
//! `adopted.json` in the mailbox's folder is written before each step that cannot be told from the files, and says at last
//! what was done. The folder in `staging/` holds what was restored: `mailbox.sqlite`, `spool.sqlite`, `keys.json`, each where
//! there was one; they are whole and synced.
//!
//! | step | then | a crash before the next leaves |
//! |---|---|---|
//! | `begun` | mail of the restored spool is put into the live one; the mailbox's files go to `replaced/` | done again: each message, each file once |
//! | `moved` | the mark for the first unlock is made, the restored file renamed, keys installed where there were none | done again: what is in its place already stays |
//! | `done` | the folder in `staging/` is removed | a folder that whoever made it removes |
//!
//! A start finishes what was begun ([`resume`]) before anything is opened, so nobody ever sees half of it.

use std::path::{Path, PathBuf};

use control::{Adopt, AdoptMode, AdoptRecord, AdoptStep};
use files::{durable, fault};
use model::MailboxId;
use rusqlite::Connection;

use crate::open::{is_there, with_suffix};
use crate::{KeysFile, Layout, StoreError, restored, spool, wal};

/// `format` of `adopted.json`.
const FORMAT: u32 = 1;

/// One adoption, done or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adoption(AdoptRecord);

impl Adoption {
    /// What is asked, if it can be done. Blocking.
    pub fn check(layout: &Layout, asked: Adopt) -> Result<Self, AdoptError> {
        if !is_plain(&asked.folder) {
            return Err(AdoptError::Name);
        }
        let from = layout.staging().join(&asked.folder);
        let has = |name: &str| is_there(&from.join(name));
        if has("mailbox.sqlite")? != (asked.commit > 0) || !(has("keys.json")? || asked.mode == AdoptMode::InPlace) {
            return Err(AdoptError::Incomplete(asked.folder));
        }
        let id = asked.mailbox;
        let is_new = !is_there(&layout.keys(id))? && !is_there(&layout.mailbox(id))?;
        match asked.mode {
            AdoptMode::NewMailbox if !is_new => return Err(AdoptError::InUse(id)),
            AdoptMode::InPlace if is_new => return Err(AdoptError::NothingThere(id)),
            AdoptMode::NewMailbox | AdoptMode::InPlace => {}
        }
        let mut run = [0; 8];
        run.copy_from_slice(&crypto::sha256(asked.run.as_bytes())[..8]);
        let replaced =
            is_there(&layout.mailbox(id))?.then(|| format!("replaced/{id}/{:016x}", u64::from_be_bytes(run)));
        Ok(Self(AdoptRecord { format: FORMAT, asked, step: AdoptStep::Begun, replaced }))
    }

    /// The last one of a mailbox, done or not. Blocking.
    pub fn last(layout: &Layout, mailbox: MailboxId) -> Result<Option<Self>, StoreError> {
        let path = layout.adopted(mailbox);
        if !is_there(&path)? {
            return Ok(None);
        }
        let json = std::fs::read(&path).map_err(|source| files::FilesError::Io { action: "read", path, source })?;
        let found: AdoptRecord = serde_json::from_slice(&json).map_err(|_| StoreError::Corrupt("adopted.json"))?;
        if found.format != FORMAT {
            let (found, known) = (found.format.into(), FORMAT.into());
            return Err(StoreError::Format { what: "adopted.json", found, known });
        }
        Ok(Some(Self(found)))
    }

    /// What was asked.
    pub fn asked(&self) -> &Adopt {
        &self.0.asked
    }

    /// Where the replaced files are, below the data folder; none where there were none.
    pub fn replaced(&self) -> Option<&str> {
        self.0.replaced.as_deref()
    }

    /// True where nothing is left to do.
    pub fn is_done(&self) -> bool {
        self.0.step == AdoptStep::Done
    }

    /// Goes through the steps that are left. `spool` is the live one, which is made where it is missing; nobody has the
    /// mailbox open, and nobody opens it meanwhile. Blocking.
    pub fn run(&mut self, layout: &Layout, spool: &mut Connection) -> Result<(), StoreError> {
        let (id, mode) = (self.0.asked.mailbox, self.0.asked.mode);
        let from = layout.staging().join(&self.0.asked.folder);
        if self.0.step == AdoptStep::Begun {
            self.note(layout)?;
            fault::point("adopt.begun.after");
            spool::merge(spool, &from.join("spool.sqlite"), self.0.asked.commit)?;
            fault::point("adopt.merged.after");
            self.set_aside(layout)?;
            self.0.step = AdoptStep::Moved;
            self.note(layout)?;
            fault::point("adopt.moved.after");
        }
        if self.0.step == AdoptStep::Moved {
            put_in_place(layout, id, &from)?;
            if mode == AdoptMode::NewMailbox {
                install_keys(layout, id, &from)?;
                fault::point("adopt.keyed.after");
            }
            self.0.step = AdoptStep::Done;
            self.note(layout)?;
            fault::point("adopt.done.after");
        }
        Ok(durable::remove_dir_all(&from)?)
    }

    fn note(&self, layout: &Layout) -> Result<(), StoreError> {
        layout.create_mailbox_dir(self.0.asked.mailbox)?;
        let json = serde_json::to_vec(&self.0).map_err(|_| StoreError::Corrupt("adopted.json"))?;
        Ok(durable::write(&layout.adopted(self.0.asked.mailbox), &json)?)
    }

    /// Moves what is replaced. The keyset stays in its place; a copy of it goes along, so that the files can be opened.
    fn set_aside(&self, layout: &Layout) -> Result<(), StoreError> {
        let Some(replaced) = &self.0.replaced else { return Ok(()) };
        let (to, live) = (layout.data().join(replaced), layout.mailbox(self.0.asked.mailbox));
        durable::create_dir_all(&to)?;
        if let Some(keys) = KeysFile::new(layout.keys(self.0.asked.mailbox)).read()? {
            durable::write(&to.join("keys.json"), &keys)?;
        }
        durable::remove(&with_suffix(&live, "-shm"))?;
        // The database last: as long as it is here, so is its WAL, or it is moved.
        for path in [wal::wal_of(&live), wal::record_of(&live), restored::mark_of(&live), live.clone()] {
            if is_there(&path)? {
                durable::rename(&path, &to.join(path.file_name().unwrap_or_default()))?;
                fault::point("adopt.aside.after");
            }
        }
        Ok(())
    }
}

/// Why a restored folder is not adopted.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// A name that is none.
    #[error("a folder's name has at most 64 letters, digits, '-', '_' and '.'")]
    Name,
    /// Something is missing in the folder, or too much.
    #[error("staging/{0} does not hold what was announced")]
    Incomplete(String),
    /// A restore to a new mailbox replaces nothing.
    #[error("{0} has keys or mail already")]
    InUse(MailboxId),
    /// A restore in place has a place.
    #[error("{0} has neither keys nor mail")]
    NothingThere(MailboxId),
    /// A file.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Finishes what a crash has left half done. Only for whoever has locked the volume, before it opens anything. Blocking.
pub fn resume(layout: &Layout) -> Result<(), StoreError> {
    for id in layout.mailboxes()? {
        let Some(mut adoption) = Adoption::last(layout, id)?.filter(|adoption| !adoption.is_done()) else { continue };
        tracing::info!(mailbox = %id, run = adoption.asked().run, "a restore is finished");
        adoption.run(layout, &mut spool::open(&layout.spool(id))?)?;
    }
    Ok(())
}

/// Renames the restored file, after the mark for its first unlock. The mark of a file that is in place already may be gone:
/// its owner was faster.
fn put_in_place(layout: &Layout, id: MailboxId, from: &Path) -> Result<(), StoreError> {
    let (staged, live) = (from.join("mailbox.sqlite"), layout.mailbox(id));
    if !is_there(&staged)? {
        return Ok(());
    }
    restored::mark(&live)?;
    fault::point("adopt.marked.after");
    durable::rename(&staged, &live)?;
    fault::point("adopt.placed.after");
    Ok(())
}

fn install_keys(layout: &Layout, id: MailboxId, from: &Path) -> Result<(), StoreError> {
    let Some(keys) = KeysFile::new(from.join("keys.json")).read()? else { return Ok(()) };
    match KeysFile::new(layout.keys(id)).create(&keys) {
        // By an attempt before this one.
        Ok(()) | Err(StoreError::KeysExist) => Ok(()),
        Err(error) => Err(error),
    }
}

/// A name that stays in its folder.
fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=64).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(plain)
}

impl Layout {
    /// What was last put into a mailbox's place.
    pub(crate) fn adopted(&self, id: MailboxId) -> PathBuf {
        self.mailbox_dir(id).join("adopted.json")
    }
}
