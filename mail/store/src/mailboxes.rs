//! All open mailboxes of a volume, and the chores done while nobody asks for anything.
//!
//! * A mailbox is here from [`Mailboxes::attach`] until nobody holds it and the idle time is over; then its WAL is folded in
//!   (where nobody archives it, see `archive`) and its key is wiped.
//! * Chores need [`Mailboxes::run`]: without it flags are not synced, files stay open, and expunged content stays.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use control::Database;
use crypto::Dek;
use model::MailboxId;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::mailbox::{Core, Memory, Shared};
use crate::restored::{self, Soundness};
use crate::writer::Durability;
use crate::{Archive, Held, Layout, Mailbox, StoreError, folders, grave, open, wal};

/// How often chores look around. Flags are synced within a second, so this is a fraction of it.
const ROUND: Duration = Duration::from_millis(200);
/// Unsynced flags older than this are synced in the next round.
const SYNC_AFTER: Duration = Duration::from_millis(600);
/// Chores that cost something begin when nobody has asked for so long.
const QUIET: Duration = Duration::from_millis(200);

/// A WAL that is so many times too long is folded in also while the mailbox is busy.
const BUSY_WAL: u64 = 4;

/// How much the mailboxes of a volume may take, and how patient they are.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Mailboxes with open files; an open one costs about 400 KB.
    pub open: usize,
    /// Threads that work on databases at a time.
    pub threads: usize,
    /// Threads that parse and compress at a time.
    pub cpu: usize,
    /// Octets of messages over 1 MiB that are held in memory at a time.
    pub memory: u64,
    /// Largest message in octets.
    pub message: u64,
    /// Files close after this time without a request.
    pub close_after: Duration,
    /// The key goes when nobody has held the mailbox for so long.
    pub forget_after: Duration,
    /// Expunged content is removed no earlier than this: a FETCH may still read it.
    pub grave_rest: Duration,
    /// A longer WAL (in octets) is folded in when the mailbox is quiet.
    pub wal: u64,
}

impl Default for Limits {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            open: 512,
            threads: (2 * cores).max(8),
            cpu: cores,
            memory: 256 << 20,
            message: 64 << 20,
            close_after: Duration::from_secs(5),
            forget_after: Duration::from_secs(5),
            grave_rest: Duration::from_mins(1),
            wal: 16 << 20,
        }
    }
}

/// A mailbox that stays closed.
pub struct Fence {
    _turn: OwnedMutexGuard<()>,
}

/// The mailboxes of a volume. Cheap to clone.
#[derive(Clone)]
pub struct Mailboxes {
    shared: Arc<Shared>,
    here: Arc<Mutex<HashMap<MailboxId, Arc<Mailbox>>>>,
    /// Opening and closing of the same mailbox take turns.
    turns: Arc<Mutex<HashMap<MailboxId, Weak<AsyncMutex<()>>>>>,
    /// Those whose WAL is known to be on disk: this process wrote it, or made sure.
    sure: Arc<Mutex<HashSet<MailboxId>>>,
    /// Those that stay closed until told otherwise.
    shut: Arc<Mutex<HashSet<MailboxId>>>,
}

impl Mailboxes {
    /// The mailboxes of the volume laid out like that.
    pub fn new(layout: Layout, limits: Limits) -> Self {
        Self::archived(layout, limits, Arc::default())
    }

    /// The same, with somebody who is told of commits.
    pub fn archived(layout: Layout, limits: Limits, archive: Arc<Archive>) -> Self {
        let shared = Shared {
            layout,
            archive,
            threads: Arc::new(Semaphore::new(limits.threads.max(1))),
            cpu: Arc::new(Semaphore::new(limits.cpu.max(1))),
            restored: Mutex::default(),
            memory: Arc::new(Semaphore::new((limits.memory >> 10) as usize)),
            limits,
            tasks: TaskTracker::new(),
            started: Instant::now(),
        };
        Self {
            shared: Arc::new(shared),
            here: Arc::default(),
            turns: Arc::default(),
            sure: Arc::default(),
            shut: Arc::default(),
        }
    }

    /// Opens a mailbox, proving the key; the first attach ever makes its database. [`StoreError::WrongKey`] where the key is
    /// not this mailbox's, also if it is open already.
    pub async fn attach(&self, id: MailboxId, dek: Dek) -> Result<Arc<Mailbox>, StoreError> {
        // Also before: a turn may be long in coming while the last reader is waited for.
        if self.shut().contains(&id) {
            return Err(StoreError::Fenced);
        }
        if let Some(mailbox) = self.get(id) {
            return proved(mailbox, &dek);
        }
        let turn = self.turn(id);
        let _one = turn.lock().await;
        if self.shut().contains(&id) {
            return Err(StoreError::Fenced);
        }
        if let Some(mailbox) = self.get(id) {
            return proved(mailbox, &dek);
        }
        let core = Arc::new(Core::new(id, self.shared.clone(), &dek));
        let (layout, sure) = (self.shared.layout.clone(), self.sure.clone());
        let made = tokio::task::spawn_blocking(move || {
            open::create(&layout, id, &dek, Core::now())?;
            // What a process before this one left may be readable and yet not be on disk, and commits after it would be lost
            // with it. Once: nobody has the file open yet.
            if !sure.lock().unwrap_or_else(PoisonError::into_inner).contains(&id) {
                files::durable::rewrite(&wal::wal_of(&layout.mailbox(id)))?;
                sure.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
            }
            Ok::<_, StoreError>(())
        });
        made.await.map_err(|_| StoreError::Stopped)??;
        core.open_writer().await?;
        restored::check(&core);
        grave::adopt_orphans(&core).await?;
        let recent = core.read(folders::uidnexts).await?;
        *core.memory() = Memory::new(recent);
        let mailbox = Arc::new(Mailbox::new(core));
        self.here().insert(id, mailbox.clone());
        Ok(mailbox)
    }

    /// The mailbox, if its key is here.
    pub fn get(&self, id: MailboxId) -> Option<Arc<Mailbox>> {
        self.here().get(&id).cloned()
    }

    /// Keeps writers of a mailbox away as long as the answer is kept; none where its key is not here.
    pub async fn hold(&self, id: MailboxId) -> Result<Option<Held>, StoreError> {
        let Some(mailbox) = self.get(id) else { return Ok(None) };
        // What was promised within a second does not wait for the end of a hold.
        sync(mailbox.core()).await?;
        Held::of_mailbox(mailbox).await.map(Some)
    }

    /// Syncs, folds the WAL in and wipes the key. Whoever still holds the mailbox can go on using it, but the next attach
    /// opens it anew: the caller makes sure that nobody does.
    pub async fn detach(&self, id: MailboxId) {
        let turn = self.turn(id);
        let _one = turn.lock().await;
        let mailbox = self.here().remove(&id);
        if let Some(mailbox) = mailbox {
            retire(mailbox.core()).await;
        }
    }

    /// Closes a mailbox and keeps it closed as long as the answer is kept, so that its files can be replaced. Whoever still
    /// holds it gets [`StoreError::Stopped`] from now on; whoever attaches waits.
    pub async fn fence(&self, id: MailboxId) -> Fence {
        let turn = self.turn(id).lock_owned().await;
        let mailbox = self.here().remove(&id);
        if let Some(mailbox) = mailbox {
            if let Err(error) = sync(mailbox.core()).await {
                tracing::warn!(mailbox = %id, "flags could not be synced: {error}");
            }
            mailbox.core().end().await;
        }
        Fence { _turn: turn }
    }

    /// Closes a mailbox, and refuses to open it ([`StoreError::Fenced`]) until [`Mailboxes::reopen`]. Its files are closed
    /// afterwards.
    pub async fn shut_down(&self, id: MailboxId) {
        // Before: who waits for his turn to open it finds it.
        self.shut().insert(id);
        drop(self.fence(id).await);
    }

    /// Lets it be opened again. What became of its files meanwhile is not known.
    pub fn reopen(&self, id: MailboxId) {
        self.sure.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        self.shut().remove(&id);
    }

    /// Restored mailboxes that are not known to be sound.
    pub fn restored(&self) -> BTreeMap<MailboxId, Soundness> {
        self.shared.restored().clone()
    }

    /// Finds out whether a mailbox whose files were replaced is to be looked at when its key comes.
    pub async fn await_check(&self, id: MailboxId) -> Result<(), StoreError> {
        let path = self.shared.layout.mailbox(id);
        let found = tokio::task::spawn_blocking(move || restored::soundness(&path)).await;
        let found = found.map_err(|_| StoreError::Stopped)??;
        let mut all = self.shared.restored();
        match found {
            Some(found) => drop(all.insert(id, found)),
            None => drop(all.remove(&id)),
        }
        Ok(())
    }

    /// Finds it out of every mailbox, at the start. Blocking.
    pub fn find_restored(&self) -> Result<(), StoreError> {
        let layout = &self.shared.layout;
        for id in layout.mailboxes()? {
            if let Some(found) = restored::soundness(&layout.mailbox(id))? {
                self.shared.restored().insert(id, found);
            }
        }
        Ok(())
    }

    /// Does the chores until `shutdown`, then closes every mailbox.
    pub async fn run(&self, shutdown: CancellationToken) {
        let mut clock = tokio::time::interval(ROUND);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = clock.tick() => self.look().await,
            }
        }
        let all: Vec<_> = self.here().drain().collect();
        for (_, mailbox) in all {
            retire(mailbox.core()).await;
        }
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }

    /// One look at every mailbox: does the chores that are due. [`Mailboxes::run`] does it again and again.
    pub async fn look(&self) {
        crate::bodies::forget_contexts();
        let all: Vec<_> = self.here().values().cloned().collect();
        for mailbox in &all {
            if let Err(error) = self.chores(mailbox.core()).await {
                tracing::warn!(mailbox = %mailbox.id(), "a chore failed: {error}");
            }
        }
        close_oldest(&all, self.shared.limits.open).await;
        drop(all);
        for id in self.forgotten() {
            let turn = self.turn(id);
            let _one = turn.lock().await;
            // Looked at again now that nobody can be opening it.
            let mailbox = self.take_forgotten(id);
            if let Some(mailbox) = mailbox {
                retire(mailbox.core()).await;
            }
        }
    }

    async fn chores(&self, core: &Arc<Core>) -> Result<(), StoreError> {
        let limits = &self.shared.limits;
        if core.is_held() {
            // Others would wait as well. There is nothing to sync: that was done before.
            return Ok(());
        }
        if core.unsynced().is_some_and(|age| age > SYNC_AFTER) {
            sync(core).await?;
        }
        if core.idle() < QUIET {
            if core.is_open() && folds_alone(core, BUSY_WAL * limits.wal) {
                core.checkpoint().await?;
            }
            return Ok(());
        }
        let due = core.grave_due();
        if due > 0 && due <= Core::now() {
            grave::dig(core).await?;
        } else if core.is_open() && core.idle() > limits.close_after {
            sync(core).await?;
            core.close().await;
        } else if core.is_open() && folds_alone(core, limits.wal) {
            core.checkpoint().await?;
        }
        Ok(())
    }

    /// Mailboxes that nobody holds any more.
    fn forgotten(&self) -> Vec<MailboxId> {
        let here = self.here();
        here.iter().filter(|(_, mailbox)| self.is_forgotten(mailbox)).map(|(id, _)| *id).collect()
    }

    fn take_forgotten(&self, id: MailboxId) -> Option<Arc<Mailbox>> {
        let mut here = self.here();
        // Nobody can get hold of it while the map is locked.
        let is_forgotten = here.get(&id).is_some_and(|mailbox| self.is_forgotten(mailbox));
        if is_forgotten { here.remove(&id) } else { None }
    }

    fn is_forgotten(&self, mailbox: &Arc<Mailbox>) -> bool {
        Arc::strong_count(mailbox) == 1 && mailbox.core().idle() > self.shared.limits.forget_after
    }

    fn turn(&self, id: MailboxId) -> Arc<AsyncMutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(&id).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        turns.insert(id, Arc::downgrade(&turn));
        turn
    }

    fn shut(&self) -> MutexGuard<'_, HashSet<MailboxId>> {
        self.shut.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn here(&self) -> MutexGuard<'_, HashMap<MailboxId, Arc<Mailbox>>> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn proved(mailbox: Arc<Mailbox>, dek: &Dek) -> Result<Arc<Mailbox>, StoreError> {
    if mailbox.core().has_key(dek) { Ok(mailbox) } else { Err(StoreError::WrongKey) }
}

/// Makes what was committed durable and takes the mark of unsynced commits away.
async fn sync(core: &Arc<Core>) -> Result<(), StoreError> {
    if core.unsynced().is_none() {
        return Ok(());
    }
    files::fault::point("store.sync.before");
    core.write(Durability::Full, |tx| {
        tx.state.unsynced = false;
        Ok(())
    })
    .await
}

/// The end of a mailbox in memory.
async fn retire(core: &Arc<Core>) {
    let ended = async {
        sync(core).await?;
        // At once where nobody archives the mailbox; otherwise what is not in the archive stays in the WAL.
        if folds_alone(core, 0) {
            core.open_writer().await?;
            core.checkpoint().await?;
        }
        Ok::<_, StoreError>(())
    };
    if let Err(error) = ended.await {
        tracing::warn!(mailbox = %core.id, "closed without a checkpoint: {error}");
    }
    core.close().await;
}

/// Closes the files of the mailboxes used longest ago until few enough are open.
async fn close_oldest(all: &[Arc<Mailbox>], most: usize) {
    let can_close = |mailbox: &&Arc<Mailbox>| mailbox.core().is_open() && !mailbox.core().is_held();
    let mut open: Vec<_> = all.iter().filter(can_close).collect();
    if open.len() <= most {
        return;
    }
    open.sort_by_key(|mailbox| std::cmp::Reverse(mailbox.core().idle()));
    for mailbox in open.iter().take(open.len() - most) {
        if let Err(error) = sync(mailbox.core()).await {
            tracing::warn!(mailbox = %mailbox.id(), "flags could not be synced: {error}");
        }
        mailbox.core().close().await;
    }
}

/// True where the WAL is longer than `soft`, or than it may ever be, and nobody else folds it in.
fn folds_alone(core: &Core, soft: u64) -> bool {
    let wal = (wal::size_of(core.path()), core.commits());
    core.shared.archive.folds_alone(core.id, Database::Mailbox, wal, soft)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_mailbox_is_shut_down_when_its_last_connection_is_gone_and_opens_again_only_when_it_may() {
        let folder = tempfile::tempdir().unwrap();
        let mailboxes = Mailboxes::new(Layout::new(folder.path()), Limits::default());
        let (id, dek) = (MailboxId::from_random([1; 17]), || Dek::from_bytes(&[1; 32]));
        let mailbox = mailboxes.attach(id, dek()).await.unwrap();
        let reader = mailbox.core().take_into_use().unwrap();
        let closing = mailboxes.shut_down(id);
        tokio::pin!(closing);
        tokio::select! {
            () = &mut closing => panic!("somebody still reads"),
            refused = async {
                while mailboxes.get(id).is_some() {
                    tokio::task::yield_now().await;
                }
                mailboxes.attach(id, dek()).await
            } => assert!(matches!(refused, Err(StoreError::Fenced))),
        }
        drop(reader);
        closing.await;
        assert!(mailbox.core().take_into_use().is_err(), "whoever still holds it gets no connection");
        assert!(matches!(mailboxes.attach(id, dek()).await, Err(StoreError::Fenced)));
        mailboxes.reopen(id);
        mailboxes.attach(id, dek()).await.unwrap();
    }
}
