//! One spool: an async face over a connection that opens on demand and is used by one thread at a time.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use control::{Database, WalPosition};
use jiff::Timestamp;
use model::{MailboxId, TxId};
use rusqlite::Connection;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, OwnedSemaphorePermit, oneshot};

use super::registry::Shared;
use super::{Aside, Inserted, NewWaiting, SpoolState, Taken, Waiting, database};
use crate::adopt::Adoption;
use crate::archive::Noter;
use crate::open::is_there;
use crate::wal::{self, Tail};
use crate::{Held, StoreError};

/// Where an insert waits for its outcome.
type Outcome = oneshot::Sender<Result<Inserted, StoreError>>;

/// No commit has a higher number.
const LAST: u64 = i64::MAX as u64;

/// The spool of one mailbox.
pub struct Spool {
    mailbox: MailboxId,
    path: PathBuf,
    noter: Noter,
    shared: Weak<Shared>,
    /// Taken before a thread is, so that waiting for it costs none.
    connection: Arc<AsyncMutex<Option<OpenSpool>>>,
    /// Inserts that the next commit takes along.
    arrivals: Mutex<Vec<(NewWaiting, Outcome)>>,
    open: AtomicBool,
    /// Something failed since the file was last sound: see the invariants of `spool`.
    distrusted: AtomicBool,
    /// The mailbox was given up: the file is not made again.
    gone: AtomicBool,
    /// The WAL is known to be on disk: this process wrote it, or made sure.
    sure: AtomicBool,
    /// It stays closed until told otherwise.
    shut: AtomicBool,
    used: AtomicU64,
}

/// The file while it is open.
pub(crate) struct OpenSpool {
    connection: Connection,
    tail: Tail,
}

impl OpenSpool {
    /// For whoever folds its WAL in.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Where the WAL ends, and the commit number there.
    pub fn end(&self, path: &Path) -> Result<(WalPosition, u64), StoreError> {
        Ok((wal::end(&self.connection, path)?, database::commits(&self.connection)?))
    }
}

impl Spool {
    pub(super) fn new(mailbox: MailboxId, shared: &Arc<Shared>) -> Self {
        Self {
            mailbox,
            path: shared.layout.spool(mailbox),
            noter: Noter::new(shared.archive.notices().clone(), mailbox, Database::Spool),
            shared: Arc::downgrade(shared),
            connection: Arc::default(),
            arrivals: Mutex::default(),
            open: AtomicBool::new(false),
            distrusted: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            sure: AtomicBool::new(false),
            shut: AtomicBool::new(false),
            used: AtomicU64::new(0),
        }
    }

    /// Keeps a sealed message. Inserts that wait together share a commit.
    pub async fn insert(self: &Arc<Self>, row: NewWaiting) -> Result<Inserted, StoreError> {
        let (tell, mut outcome) = oneshot::channel();
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner).push((row, tell));
        let spool = self.clone();
        let ran = self.run(move |connection| {
            let taken = std::mem::take(&mut *spool.arrivals.lock().unwrap_or_else(PoisonError::into_inner));
            insert_together(connection, taken)
        });
        let ran = ran.await;
        // Answered by our turn or one before it, or not taken at all.
        if let Ok(told) = outcome.try_recv() {
            return told;
        }
        drop(outcome);
        // What is reported as failed must not be stored later, nor fill the memory while the file does not open.
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner).retain(|(_, tell)| !tell.is_closed());
        Err(ran.err().unwrap_or(StoreError::Stopped))
    }

    /// The oldest messages in order: at least one if any waits, at most `rows`, about `bytes` in all.
    pub async fn batch(self: &Arc<Self>, rows: usize, bytes: u64) -> Result<Vec<Waiting>, StoreError> {
        self.read(move |connection| database::batch(connection, rows, bytes)).await
    }

    /// The mailbox has taken these messages durably, no later than in that commit of it.
    pub async fn took(self: &Arc<Self>, ids: Vec<i64>, commit: u64) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        let archive = self.shared.upgrade().ok_or(StoreError::Stopped)?.archive.clone();
        let is_safe = archive.may_forget(self.mailbox, commit);
        self.run(move |connection| {
            if is_safe {
                return database::remove(connection, &ids);
            }
            database::mark(connection, &ids, commit, Timestamp::now())
        })
        .await
    }

    /// Removes messages that the mailbox took in commits up to this one, which are archived.
    pub async fn forget_taken(self: &Arc<Self>, commit: u64) -> Result<(), StoreError> {
        if self.remove_taken(commit).await? { self.vacuum().await } else { Ok(()) }
    }

    /// True where there were any.
    async fn remove_taken(self: &Arc<Self>, commit: u64) -> Result<bool, StoreError> {
        let mut removed = false;
        while self.read(move |connection| database::forget_taken(connection, commit)).await? > 0 {
            removed = true;
        }
        Ok(removed)
    }

    /// Messages that the mailbox has taken and that are still here.
    pub async fn taken(self: &Arc<Self>) -> Result<Taken, StoreError> {
        self.read(database::taken).await
    }

    /// Puts a message that cannot be stored out of the way of the others; it is kept.
    pub async fn set_aside(self: &Arc<Self>, id: i64, reason: String, now: Timestamp) -> Result<(), StoreError> {
        self.run(move |connection| database::set_aside(connection, id, &reason, now)).await
    }

    /// What was set aside, oldest first.
    pub async fn asides(self: &Arc<Self>) -> Result<Vec<Aside>, StoreError> {
        self.read(database::asides).await
    }

    /// Ends the suppression by these transactions' fingerprints. With `remember` the mailbox is locked and will be told
    /// later: see [`Spool::settled`].
    pub async fn settle(self: &Arc<Self>, transactions: Vec<TxId>, remember: bool) -> Result<(), StoreError> {
        let job = move |connection: &mut Connection| database::settle(connection, &transactions, remember);
        if remember { self.run(job).await } else { self.read(job).await }
    }

    /// Transactions that were settled while the mailbox was locked.
    pub async fn settled(self: &Arc<Self>) -> Result<Vec<TxId>, StoreError> {
        self.read(database::settled).await
    }

    /// The mailbox has been told of these.
    pub async fn forget_settled(self: &Arc<Self>, transactions: Vec<TxId>) -> Result<(), StoreError> {
        self.run(move |connection| database::forget_settled(connection, &transactions)).await
    }

    /// Keeps what the mailbox holds, for quota while it is locked.
    pub async fn set_usage(self: &Arc<Self>, bytes: u64, messages: u64) -> Result<(), StoreError> {
        self.run(move |connection| database::set_usage(connection, bytes, messages)).await
    }

    /// What is here.
    pub async fn state(self: &Arc<Self>) -> Result<SpoolState, StoreError> {
        self.read(database::state).await
    }

    /// True where mail with that fingerprint waits.
    pub async fn holds(self: &Arc<Self>, fp: [u8; 32]) -> Result<bool, StoreError> {
        self.read(move |connection| database::holds(connection, fp)).await
    }

    /// Goes through what is left of an adoption; nobody writes to this spool meanwhile.
    pub async fn adopt(self: &Arc<Self>, mut adoption: Adoption) -> Result<Adoption, StoreError> {
        let layout = self.shared.upgrade().ok_or(StoreError::Stopped)?.layout.clone();
        layout.create_mailbox_dir(self.mailbox)?;
        self.run(move |connection| adoption.run(&layout, connection).map(|()| adoption)).await
    }

    /// Closes the file for good, and does `work` while nobody has it open. From now on there is nothing in this spool, and what is
    /// put into it is refused with [`StoreError::Purged`].
    pub async fn end<T, F>(self: &Arc<Self>, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T, StoreError> + Send + 'static,
    {
        let (mut slot, thread) = self.turn().await?;
        let spool = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            let _thread = thread;
            spool.gone.store(true, Ordering::Relaxed);
            spool.forget(&mut slot);
            work()
        });
        done.await.map_err(|_| StoreError::Stopped)?
    }

    /// Keeps writers away as long as the answer is kept; none where there is no file.
    pub async fn hold(self: &Arc<Self>) -> Result<Option<Held>, StoreError> {
        let (mut slot, thread) = self.turn().await?;
        let spool = self.clone();
        let held = tokio::task::spawn_blocking(move || {
            let _thread = thread;
            if !spool.open_now(&mut slot, false)? {
                return Ok(None);
            }
            let open = slot.as_ref().ok_or(StoreError::Stopped)?;
            spool.trust(true, open)?;
            Held::of_spool(spool, slot).map(Some)
        });
        held.await.map_err(|_| StoreError::Stopped)?
    }

    /// Closes the file, and refuses to open it ([`StoreError::Fenced`]) until [`Spool::reopen`].
    pub async fn shut_down(self: &Arc<Self>) -> Result<(), StoreError> {
        // Before: who waits for his turn finds it.
        self.shut.store(true, Ordering::Release);
        let (mut slot, thread) = self.turn().await?;
        let spool = self.clone();
        let closed = tokio::task::spawn_blocking(move || {
            let _thread = thread;
            spool.forget(&mut slot);
        });
        closed.await.map_err(|_| StoreError::Stopped)
    }

    /// Lets it be opened again. What became of its files meanwhile is not known.
    pub fn reopen(&self) {
        self.sure.store(false, Ordering::Relaxed);
        self.shut.store(false, Ordering::Release);
    }

    /// The file's path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the space of mail that has left back to the file system.
    pub async fn tidy(self: &Arc<Self>) -> Result<(), StoreError> {
        let archive = self.shared.upgrade().ok_or(StoreError::Stopped)?.archive.clone();
        if archive.may_forget(self.mailbox, LAST) {
            // What was kept for an archive that is not made any more.
            self.remove_taken(LAST).await?;
        }
        self.vacuum().await
    }

    async fn vacuum(self: &Arc<Self>) -> Result<(), StoreError> {
        self.read(database::vacuum).await?;
        let spool = self.clone();
        self.read(move |connection| spool.fold_if_alone(connection, 0)).await
    }

    /// As [`Spool::run`]; where there is no file, there is nothing, and none is made.
    async fn read<T, F>(self: &Arc<Self>, job: F) -> Result<T, StoreError>
    where
        T: Default + Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    {
        Ok(self.work(false, job).await?.unwrap_or_default())
    }

    /// Runs a job with the connection on a blocking thread, in the order of calls.
    async fn run<T, F>(self: &Arc<Self>, job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.work(true, job).await?.ok_or(StoreError::Stopped)
    }

    /// The same; none where there is no file and none is to be made.
    async fn work<T, F>(self: &Arc<Self>, make: bool, job: F) -> Result<Option<T>, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (mut slot, thread) = self.turn().await?;
        let spool = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            let _thread = thread;
            if !spool.open_now(&mut slot, make)? {
                return Ok(None);
            }
            let open = slot.as_mut().ok_or(StoreError::Stopped)?;
            let result = spool.trust(make, open).and_then(|()| job(&mut open.connection));
            let result = result.and_then(|made| spool.note(open).map(|()| made));
            if result.is_err() {
                // An I/O error leaves a connection in a state nobody has tested: the next call starts from the file.
                spool.distrusted.store(true, Ordering::Relaxed);
                spool.forget(&mut slot);
            }
            result.map(Some)
        });
        done.await.map_err(|_| StoreError::Stopped)?
    }

    /// The connection when its turn has come, and a thread to use it on.
    async fn turn(&self) -> Result<(OwnedMutexGuard<Option<OpenSpool>>, OwnedSemaphorePermit), StoreError> {
        let threads = self.shared.upgrade().ok_or(StoreError::Stopped)?.threads.clone();
        let slot = self.connection.clone().lock_owned().await;
        Ok((slot, threads.acquire_owned().await.map_err(|_| StoreError::Stopped)?))
    }

    /// Opens the file unless it is open, or has to stay closed; false where there is none and none is to be made. Blocking.
    fn open_now(&self, slot: &mut Option<OpenSpool>, make: bool) -> Result<bool, StoreError> {
        let shared = self.shared.upgrade().ok_or(StoreError::Stopped)?;
        if self.shut.load(Ordering::Acquire) {
            return Err(StoreError::Fenced);
        }
        self.used.store(shared.tick(), Ordering::Relaxed);
        if self.gone.load(Ordering::Relaxed) {
            return if make { Err(StoreError::Purged) } else { Ok(false) };
        }
        if slot.is_none() {
            if !make && !is_there(&self.path)? {
                return Ok(false);
            }
            shared.make_room();
            *slot = Some(self.open()?);
        }
        Ok(true)
    }

    /// Before something is written: see the invariants of `spool`.
    fn trust(&self, writes: bool, open: &OpenSpool) -> Result<(), StoreError> {
        if writes && self.distrusted.load(Ordering::Relaxed) {
            if !wal::fold(&open.connection, &self.path, database::commits(&open.connection)?, false)? {
                return Err(StoreError::Distrusted);
            }
            self.distrusted.store(false, Ordering::Relaxed);
        } else if writes && !self.sure.load(Ordering::Relaxed) {
            // Nobody else writes: this thread has the only connection.
            files::durable::rewrite(&wal::wal_of(&self.path))?;
        }
        self.sure.fetch_or(writes, Ordering::Relaxed);
        Ok(())
    }

    fn open(&self) -> Result<OpenSpool, StoreError> {
        let connection = database::open(&self.path)?;
        let tail = Tail::watch(&connection, &self.path)?;
        database::migrate(&connection)?;
        self.open.store(true, Ordering::Relaxed);
        let mut open = OpenSpool { connection, tail };
        self.note(&mut open)?;
        Ok(open)
    }

    /// Tells of what was just committed, and keeps the WAL short.
    fn note(&self, open: &mut OpenSpool) -> Result<(), StoreError> {
        let Some(frame) = open.tail.committed() else { return Ok(()) };
        open.tail.tell(&self.noter, frame, database::commits(&open.connection)?);
        let soft = self.shared.upgrade().ok_or(StoreError::Stopped)?.limits.wal;
        if let Err(error) = self.fold_if_alone(&open.connection, soft) {
            // What was committed stands, and the next commit tries again.
            tracing::warn!(mailbox = %self.mailbox, %error, "the WAL of a spool could not be folded in");
        }
        Ok(())
    }

    /// Folds the WAL in if it is longer than `soft`, or than it may ever be, and nobody else does.
    fn fold_if_alone(&self, connection: &Connection, soft: u64) -> Result<(), StoreError> {
        let archive = &self.shared.upgrade().ok_or(StoreError::Stopped)?.archive;
        let (octets, commit) = (wal::size_of(&self.path), database::commits(connection)?);
        if archive.folds_alone(self.mailbox, Database::Spool, (octets, commit), soft) {
            wal::fold(connection, &self.path, commit, archive.has(self.mailbox, Database::Spool, commit))?;
        }
        Ok(())
    }

    fn forget(&self, slot: &mut Option<OpenSpool>) {
        *slot = None;
        self.open.store(false, Ordering::Relaxed);
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    pub(super) fn last_used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    pub(super) fn close_if_unused(&self) {
        if let Ok(mut slot) = self.connection.try_lock() {
            let folded = slot.as_ref().map_or(Ok(()), |open| self.fold_if_alone(&open.connection, 0));
            if let Err(error) = folded {
                tracing::warn!(mailbox = %self.mailbox, %error, "a spool was closed with its WAL");
            }
            self.forget(&mut slot);
        }
    }
}

/// One commit for all; where that fails, one for each, so that every sender gets its own answer. An error says that one
/// of them failed, and that the connection is not to be used again.
fn insert_together(connection: &mut Connection, taken: Vec<(NewWaiting, Outcome)>) -> Result<(), StoreError> {
    let (rows, outcomes): (Vec<_>, Vec<_>) = taken.into_iter().unzip();
    if rows.is_empty() {
        return Ok(());
    }
    let results: Vec<_> = match database::insert(connection, &rows) {
        Ok(inserted) => inserted.into_iter().map(Ok).collect(),
        Err(error) if rows.len() == 1 => vec![Err(error)],
        Err(_) => {
            rows.iter().map(|row| database::insert(connection, std::slice::from_ref(row)).map(|i| i[0])).collect()
        }
    };
    let is_sound = results.iter().all(Result::is_ok);
    for (tell, result) in outcomes.into_iter().zip(results) {
        // A sender that went away will ask again with the same delivery id.
        let _ = tell.send(result);
    }
    if is_sound { Ok(()) } else { Err(StoreError::Distrusted) }
}
