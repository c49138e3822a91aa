//! All spools of a volume: one handle each, few of them open.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use model::MailboxId;
use tokio::sync::Semaphore;

use super::Spool;
use crate::{Archive, Layout};

/// How much the spools of a volume may take.
#[derive(Debug, Clone, Copy)]
pub struct SpoolLimits {
    /// Files open at a time; an open one costs about 100 KB and three descriptors.
    pub open: usize,
    /// Threads that work on spools at a time.
    pub parallel: usize,
    /// A longer WAL (in octets) is folded in.
    pub wal: u64,
}

impl Default for SpoolLimits {
    fn default() -> Self {
        Self { open: 256, parallel: 8, wal: 16 << 20 }
    }
}

/// The spools of a volume. Cheap to clone.
#[derive(Clone)]
pub struct Spools {
    shared: Arc<Shared>,
}

/// What all handles share.
pub(super) struct Shared {
    pub(super) layout: Layout,
    pub(super) limits: SpoolLimits,
    /// Who is told of commits, and whether anybody keeps them.
    pub(super) archive: Arc<Archive>,
    /// Bounds the blocking work of all spools together.
    pub(super) threads: Arc<Semaphore>,
    /// A clock of uses, so that the file used longest ago closes first.
    clock: AtomicU64,
    spools: Mutex<HashMap<MailboxId, Arc<Spool>>>,
}

impl Spools {
    /// The spools of the volume laid out like that.
    pub fn new(layout: Layout, limits: SpoolLimits) -> Self {
        Self::archived(layout, limits, Arc::default())
    }

    /// The same, with somebody who is told of commits.
    pub fn archived(layout: Layout, limits: SpoolLimits, archive: Arc<Archive>) -> Self {
        let threads = Arc::new(Semaphore::new(limits.parallel.max(1)));
        let shared = Shared { layout, limits, archive, threads, clock: AtomicU64::new(0), spools: Mutex::default() };
        Self { shared: Arc::new(shared) }
    }

    /// The spool of a mailbox. Opens nothing.
    pub fn of(&self, mailbox: MailboxId) -> Arc<Spool> {
        let mut spools = self.shared.spools.lock().unwrap_or_else(PoisonError::into_inner);
        let made = || Arc::new(Spool::new(mailbox, &self.shared));
        spools.entry(mailbox).or_insert_with(made).clone()
    }
}

impl Shared {
    /// The time of a use.
    pub(super) fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }

    /// Closes the files used longest ago until there is room for one more. Files in use stay open: the limit then gives
    /// way for a moment, and the next opening repairs it. Blocking, because closing may write.
    pub(super) fn make_room(&self) {
        let mut open: Vec<_> = {
            let spools = self.spools.lock().unwrap_or_else(PoisonError::into_inner);
            spools.values().filter(|spool| spool.is_open()).cloned().collect()
        };
        if open.len() < self.limits.open {
            return;
        }
        open.sort_unstable_by_key(|spool| spool.last_used());
        for spool in open.iter().take(open.len() + 1 - self.limits.open.max(1)) {
            spool.close_if_unused();
        }
    }
}
