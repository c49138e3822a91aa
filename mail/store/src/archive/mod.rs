//! What the store and whoever archives its files know of each other. The store opens databases and folds WALs in; the
//! sidecar, another process, copies their bytes.
//!
//! Start with [`Archive`], shared by all mailboxes and spools of a volume. [`Notices`] says what was committed where.
//!
//! Invariants:
//! * Where a mailbox is archived, the store folds a WAL in by itself only when all of it is in the archive. Otherwise it waits
//!   for the sidecar's word, who has copied it first.
//! * The exceptions are a WAL past the hard cap and a volume that is almost full: then the record says that the WAL was not
//!   copied. That is a gap in the archive, named as one, and better than a full disk.

mod notices;

pub(crate) use notices::Noter;
pub use notices::Notices;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use control::Database;
use model::MailboxId;
use model::backup::Policies;

/// A shorter WAL of a mailbox that is archived is not worth the new life: each is a manifest in the bucket.
const WORTHWHILE: u64 = 4 << 20;
/// WALs that wait for the sidecar are folded in without it past so many octets each.
const HARD_CAP: u64 = 256 << 20;

/// The archive's side of a volume.
pub struct Archive {
    notices: Arc<Notices>,
    hard_cap: u64,
    state: Mutex<State>,
}

struct State {
    policies: Arc<Policies>,
    /// The volume is almost full.
    tight: bool,
    /// Commits that are in the bucket. In memory only: the sidecar says it again after a start.
    archived: HashMap<(MailboxId, Database), u64>,
}

impl Default for Archive {
    fn default() -> Self {
        Self::new(HARD_CAP)
    }
}

impl Archive {
    /// Of a volume without policies, see [`Archive::set_policies`]. WALs are folded in past so many octets, come what may.
    pub fn new(hard_cap: u64) -> Self {
        let state = State { policies: Arc::default(), tight: false, archived: HashMap::new() };
        Self { notices: Arc::default(), hard_cap, state: Mutex::new(state) }
    }

    /// What was committed.
    pub fn notices(&self) -> &Arc<Notices> {
        &self.notices
    }

    /// Replaces the policies.
    pub fn set_policies(&self, policies: Arc<Policies>) {
        self.state().policies = policies;
    }

    /// Whether the volume is almost full.
    pub fn set_tight(&self, tight: bool) {
        self.state().tight = tight;
    }

    /// True where a policy holds for the mailbox.
    pub fn covers(&self, mailbox: MailboxId) -> bool {
        self.state().policies.of(mailbox).is_some()
    }

    /// True where the store folds a WAL of that many octets, which ends with that commit, in by itself. `soft` is the size from
    /// which on it does so for a mailbox that nobody archives.
    pub fn folds_alone(&self, mailbox: MailboxId, database: Database, wal: (u64, u64), soft: u64) -> bool {
        let (octets, commit) = wal;
        if !self.covers(mailbox) {
            return octets > soft;
        }
        if self.has(mailbox, database, commit) {
            return octets > soft.max(WORTHWHILE);
        }
        octets > self.hard_cap || (octets > soft && self.state().tight)
    }

    /// All commits of a database up to this one are in the bucket.
    pub fn set_archived(&self, mailbox: MailboxId, database: Database, commit: u64) {
        self.state().archived.insert((mailbox, database), commit);
    }

    /// Forgets what was archived of a mailbox: its numbers mean something else from now on.
    pub fn forget(&self, mailbox: MailboxId) {
        self.state().archived.retain(|(known, _), _| *known != mailbox);
    }

    /// True where that commit of a database and all before it are known to be in the bucket.
    pub fn has(&self, mailbox: MailboxId, database: Database, commit: u64) -> bool {
        self.state().archived.get(&(mailbox, database)).is_some_and(|archived| *archived >= commit)
    }

    /// True where what the mailbox took from its spool in that commit need not stay in the spool: it is archived, or nobody
    /// archives it, or there is no room for it.
    pub fn may_forget(&self, mailbox: MailboxId, commit: u64) -> bool {
        !self.covers(mailbox) || self.has(mailbox, Database::Mailbox, commit) || self.state().tight
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_folds_alone_what_nobody_archives_what_is_archived_and_what_would_fill_the_disk() {
        let archive = Archive::new(100 << 20);
        let mailbox = MailboxId::from_random([1; 17]);
        let alone = |octets| archive.folds_alone(mailbox, Database::Spool, (octets, 7), 100);
        assert!(alone(101) && !alone(100));
        let policies = serde_json::json!({
            "root": "r", "default": "p", "policies": {"p": {
                "destination": {"folder": {"path": "/b"}}, "maxLagSeconds": 1,
                "retention": {"windowDays": 1, "keepLast": 1, "daily": 0, "weekly": 0, "monthly": 0}}}});
        archive.set_policies(Arc::new(serde_json::from_value(policies).unwrap()));
        assert!(archive.covers(mailbox));
        assert!(!alone(100 << 20) && alone((100 << 20) + 1));
        archive.set_archived(mailbox, Database::Spool, 6);
        archive.set_archived(mailbox, Database::Mailbox, 9);
        assert!(!alone(100 << 20), "its last commit is not in the bucket");
        assert!(archive.may_forget(mailbox, 9) && !archive.may_forget(mailbox, 10));
        archive.set_tight(true);
        assert!(alone(101) && !alone(100) && archive.may_forget(mailbox, 10));
        archive.set_tight(false);
        archive.set_archived(mailbox, Database::Spool, 7);
        assert!(alone(WORTHWHILE + 1) && !alone(WORTHWHILE));
    }
}
