//! Commits, as they happen, for one listener who asks with a cursor.
//!
//! * What was asked for with a later cursor is forgotten: the cursor acknowledges.
//! * Of each database the last commit is always here; when it gets many before anybody asks, every second of the others
//!   goes. When it gets many for all databases together, only the last of each is left.
//! * A WAL that was reset begins a list of its own; of a database at most two are kept, the later ones.
//!
//! Nothing of it is on disk: after a crash the listener looks at the files.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use control::{Commit, Database, Dirty, Salts};
use jiff::Timestamp;
use model::MailboxId;
use tokio::sync::watch;

/// Commits of one life of a WAL that are kept; a second's worth of a busy mailbox.
const MOST: usize = 64;
/// Commits of all databases together that are kept; 50 bytes each.
const MOST_IN_ALL: usize = 100_000;
/// Lives of a WAL that are kept.
const LIVES: usize = 2;

/// See this module.
pub struct Notices {
    known: Mutex<Known>,
    cursor: watch::Sender<u64>,
}

#[derive(Default)]
struct Known {
    databases: HashMap<(MailboxId, Database), Vec<Life>>,
    commits: usize,
    cursor: u64,
}

struct Life {
    salts: Option<Salts>,
    /// Each with the cursor it came at.
    commits: Vec<(u64, Commit)>,
}

impl Default for Notices {
    fn default() -> Self {
        Self { known: Mutex::default(), cursor: watch::channel(0).0 }
    }
}

impl Notices {
    /// Notes a commit; of `keys.json` without salts.
    pub fn note(&self, mailbox: MailboxId, database: Database, salts: Option<Salts>, commit: Commit) {
        let mut known = self.known();
        known.note(mailbox, database, salts, commit);
        // Inside the lock, so that cursors are seen in their order.
        self.cursor.send_replace(known.cursor);
    }

    /// What came after a cursor, and the next cursor. What came before it is forgotten.
    pub fn after(&self, cursor: u64) -> (u64, Vec<Dirty>) {
        let mut known = self.known();
        known.forget(cursor);
        (known.cursor, known.list())
    }

    /// As [`Notices::after`]; where nothing is there yet, waits for it, but not longer than `patience`.
    pub async fn wait_after(&self, cursor: u64, patience: Duration) -> (u64, Vec<Dirty>) {
        let mut changes = self.cursor.subscribe();
        // Too late is no error: then nothing has changed.
        let _ = tokio::time::timeout(patience, changes.wait_for(|now| *now != cursor)).await;
        self.after(cursor)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn note(&mut self, mailbox: MailboxId, database: Database, salts: Option<Salts>, commit: Commit) {
        self.cursor += 1;
        let lives = self.databases.entry((mailbox, database)).or_default();
        if lives.last().is_none_or(|life| life.salts != salts) {
            lives.push(Life { salts, commits: Vec::new() });
            if lives.len() > LIVES {
                self.commits -= lives.remove(0).commits.len();
            }
        }
        let Some(life) = lives.last_mut() else { return };
        life.commits.push((self.cursor, commit));
        self.commits += 1;
        if life.commits.len() > MOST {
            self.commits -= thin(&mut life.commits, 2);
        }
        if self.commits > MOST_IN_ALL {
            for life in self.databases.values_mut().flatten() {
                self.commits -= thin(&mut life.commits, usize::MAX);
            }
        }
    }

    fn forget(&mut self, cursor: u64) {
        self.databases.retain(|_, lives| {
            lives.retain_mut(|life| {
                life.commits.retain(|(at, _)| *at > cursor);
                !life.commits.is_empty()
            });
            !lives.is_empty()
        });
        self.commits = self.databases.values().flatten().map(|life| life.commits.len()).sum();
    }

    fn list(&self) -> Vec<Dirty> {
        let lives = self.databases.iter().flat_map(|(name, lives)| lives.iter().map(move |life| (name, life)));
        let mut found: Vec<_> = lives.collect();
        // Both lives of a database in their order.
        found.sort_unstable_by_key(|(_, life)| life.commits.first().map(|(at, _)| *at));
        let dirty = found.into_iter().map(|((mailbox, database), life)| Dirty {
            mailbox: *mailbox,
            database: *database,
            salts: life.salts,
            commits: life.commits.iter().map(|(_, commit)| *commit).collect(),
        });
        dirty.collect()
    }
}

/// Keeps the last one and every `step`-th before it; answers how many went.
fn thin(commits: &mut Vec<(u64, Commit)>, step: usize) -> usize {
    let before = commits.len();
    let mut place = before;
    commits.retain(|_| {
        place -= 1;
        place.is_multiple_of(step)
    });
    before - commits.len()
}

/// Notes commits of one database.
#[derive(Clone)]
pub(crate) struct Noter {
    notices: Arc<Notices>,
    mailbox: MailboxId,
    database: Database,
}

impl Noter {
    /// For that database.
    pub fn new(notices: Arc<Notices>, mailbox: MailboxId, database: Database) -> Self {
        Self { notices, mailbox, database }
    }

    /// A commit has just ended at that frame.
    pub fn note(&self, salts: Salts, frame: u32, commit: u64) {
        let commit = Commit { frame, commit, time: Timestamp::now() };
        self.notices.note(self.mailbox, self.database, Some(salts), commit);
    }
}

#[cfg(test)]
mod tests;
