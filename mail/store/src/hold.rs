//! A database that nobody writes to for a moment, so that whoever archives it can copy the end of its WAL and have it folded
//! in.
//!
//! * A [`Held`] keeps the writers of one database waiting; readers go on. Dropping it lets the writers go on.
//! * What was committed before is synced: a hold delays no promise but that of writes that wait for it.
//! * A mailbox can be held only while its key is here: without it nobody can fold its WAL in.

use std::path::Path;
use std::sync::Arc;

use control::WalPosition;
use rusqlite::Connection;
use tokio::sync::OwnedMutexGuard;

use crate::spool::{OpenSpool, Spool};
use crate::writer::Writer;
use crate::{Mailbox, StoreError, wal};

/// Writers of one database wait. See this module.
pub struct Held {
    which: Which,
    end: WalPosition,
    commit: u64,
}

enum Which {
    /// The mailbox as well, so that its key stays.
    Mailbox(Arc<Mailbox>, OwnedMutexGuard<Writer>),
    Spool(Arc<Spool>, OwnedMutexGuard<Option<OpenSpool>>),
}

impl Held {
    /// Of a mailbox.
    pub(crate) async fn of_mailbox(mailbox: Arc<Mailbox>) -> Result<Self, StoreError> {
        let writer = mailbox.core().writer().await?;
        let held = tokio::task::spawn_blocking(move || {
            let (end, commit) = writer.end(mailbox.core().path())?;
            mailbox.core().set_held(true);
            Ok(Self { which: Which::Mailbox(mailbox, writer), end, commit })
        });
        held.await.map_err(|_| StoreError::Stopped)?
    }

    /// Of a spool that is open. Blocking.
    pub(crate) fn of_spool(spool: Arc<Spool>, open: OwnedMutexGuard<Option<OpenSpool>>) -> Result<Self, StoreError> {
        let (end, commit) = open.as_ref().ok_or(StoreError::Stopped)?.end(spool.path())?;
        Ok(Self { which: Which::Spool(spool, open), end, commit })
    }

    /// Where the WAL ends.
    pub fn end(&self) -> WalPosition {
        self.end
    }

    /// The commit number there.
    pub fn commit(&self) -> u64 {
        self.commit
    }

    /// Folds the WAL in, after recording that all of it is copied; then the writers go on. Answers `false` where a reader was
    /// in the way: then the WAL goes on.
    pub async fn checkpoint(self) -> Result<bool, StoreError> {
        tokio::task::spawn_blocking(move || self.fold()).await.map_err(|_| StoreError::Stopped)?
    }

    fn fold(&self) -> Result<bool, StoreError> {
        let Some((connection, path)) = self.database() else { return Ok(false) };
        wal::fold(connection, path, self.commit, true)
    }

    fn database(&self) -> Option<(&Connection, &Path)> {
        match &self.which {
            Which::Mailbox(mailbox, writer) => Some((writer.connection()?, mailbox.core().path())),
            Which::Spool(spool, open) => Some((open.as_ref()?.connection(), spool.path())),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Which::Mailbox(mailbox, _) = &self.which {
            mailbox.core().set_held(false);
        }
    }
}
