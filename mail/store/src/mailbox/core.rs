//! Connections, queue and key of one mailbox.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use control::Database;
use crypto::{Dek, ShieldedDek};
use jiff::Timestamp;
use model::MailboxId;
use model::verbs::{Failure, Hint};
use rusqlite::Connection;
use tokio::sync::{Mutex as AsyncMutex, Notify, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore, broadcast};
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

use super::Memory;
use crate::archive::{Archive, Noter};
use crate::open::{self, Use};
use crate::restored::Soundness;
use crate::state::{Policy, WriteTx};
use crate::writer::{Durability, Job, Task, Writer};
use crate::{Layout, Limits, StoreError};

/// Writes that share a commit at most: bounds what one failure makes run again, and how long the first waits.
const GROUP: usize = 256;
/// Groups a mailbox commits before it lets another one have its thread.
const TURN: usize = 16;
/// Reading connections a mailbox keeps while nobody reads.
const IDLE_READERS: usize = 2;
/// Hints a slow session may lag behind.
const HINTS: usize = 64;
/// Messages that are read or changed sooner than a thread is woken for it.
pub(crate) const FEW: u64 = 16;
/// Narrow rows that are read sooner.
pub(crate) const ROWS: u64 = 4096;

/// What all mailboxes of a volume share.
pub(crate) struct Shared {
    /// Where files lie.
    pub layout: Layout,
    /// How much may be used.
    pub limits: Limits,
    /// Who is told of commits.
    pub archive: Arc<Archive>,
    /// Bounds the threads that work on databases.
    pub threads: Arc<Semaphore>,
    /// Bounds the threads that parse and compress.
    pub cpu: Arc<Semaphore>,
    /// Restored mailboxes that are not known to be sound.
    pub restored: Mutex<BTreeMap<MailboxId, Soundness>>,
    /// Kilobytes of large messages held in memory.
    pub memory: Arc<Semaphore>,
    /// Every task that was started.
    pub tasks: TaskTracker,
    /// When the process began to count.
    pub started: Instant,
}

impl Shared {
    /// See the field.
    pub fn restored(&self) -> MutexGuard<'_, BTreeMap<MailboxId, Soundness>> {
        self.restored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time since the start, in milliseconds.
    pub fn clock(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }
}

/// The inside of a mailbox.
pub(crate) struct Core {
    /// Which mailbox.
    pub id: MailboxId,
    /// See [`Shared`].
    pub shared: Arc<Shared>,
    path: PathBuf,
    dek: ShieldedDek,
    writer: Arc<AsyncMutex<Writer>>,
    queue: Mutex<Queue>,
    readers: Mutex<Vec<Connection>>,
    hints: broadcast::Sender<Hint>,
    policy: Mutex<Policy>,
    memory: Mutex<Memory>,
    used: AtomicU64,
    open: AtomicBool,
    /// Somebody keeps writers away, see `hold`.
    held: AtomicBool,
    /// The file is about to be another one: whoever still has this mailbox opens nothing any more.
    ended: AtomicBool,
    /// See [`Core::take_into_use`].
    users: Users,
    /// The commit number after the last commit that was answered.
    commits: AtomicU64,
    /// When unsynced commits began, in milliseconds of [`Shared::clock`]; 0 = there are none.
    unsynced_since: AtomicU64,
    /// When the oldest content without placements may be removed, in seconds since 1970; 0 = there is none.
    grave_due: AtomicI64,
}

/// Who works with a connection, beside the writer.
#[derive(Default)]
struct Users {
    count: AtomicUsize,
    none_left: Notify,
}

/// Somebody works with a connection.
pub(crate) struct InUse<'a>(&'a Users);

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.none_left.notify_waiters();
        }
    }
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Box<dyn Job>>,
    /// A task is about to take them.
    driven: bool,
}

/// Who has said that it drives the queue: at its end, however it ends, it does so no more, and what has been queued since gets
/// a task.
struct Driver<'a>(&'a Arc<Core>);

impl Drop for Driver<'_> {
    fn drop(&mut self) {
        let mut queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.driven = !queue.jobs.is_empty();
        if queue.driven {
            self.0.shared.tasks.spawn(self.0.clone().drive());
        }
    }
}

impl Core {
    /// A mailbox whose files are closed.
    pub fn new(id: MailboxId, shared: Arc<Shared>, dek: &Dek) -> Self {
        let path = shared.layout.mailbox(id);
        let noter = Noter::new(shared.archive.notices().clone(), id, Database::Mailbox);
        Self {
            id,
            path,
            dek: ShieldedDek::new(dek),
            writer: Arc::new(AsyncMutex::new(Writer::new(noter))),
            queue: Mutex::default(),
            readers: Mutex::default(),
            hints: broadcast::channel(HINTS).0,
            policy: Mutex::default(),
            memory: Mutex::default(),
            used: AtomicU64::new(shared.clock()),
            open: AtomicBool::new(false),
            held: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            users: Users::default(),
            commits: AtomicU64::new(0),
            unsynced_since: AtomicU64::new(0),
            grave_due: AtomicI64::new(0),
            shared,
        }
    }

    /// The database's path.
    pub fn path(&self) -> &PathBuf {
        &self.path
    }

    /// True for the same key.
    pub fn has_key(&self, dek: &Dek) -> bool {
        self.dek.with(|own| own.is_same(dek))
    }

    /// The key that attachments are hashed with: equal ones are found inside this mailbox only.
    pub fn attachment_key(&self) -> Zeroizing<[u8; 32]> {
        self.dek.with(|dek| dek.derive(b"attachments"))
    }

    /// See [`Memory`].
    pub fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// See [`Policy`].
    pub fn policy(&self) -> Policy {
        *self.policy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the limit, and whether clients may change anything.
    pub fn set_policy(&self, limit: Option<u64>, read_only: bool) {
        let mut policy = self.policy.lock().unwrap_or_else(PoisonError::into_inner);
        (policy.limit, policy.read_only) = (limit, read_only);
    }

    /// See [`Policy::reserved`].
    pub fn reserve(&self, octets: u64) {
        self.policy.lock().unwrap_or_else(PoisonError::into_inner).reserved = octets;
    }

    /// See [`super::Mailbox::hints`].
    pub fn hints(&self) -> broadcast::Receiver<Hint> {
        self.hints.subscribe()
    }

    /// Seconds since 1970.
    pub fn now() -> i64 {
        Timestamp::now().as_second()
    }

    /// What a client is told; what a person must know is logged here, once.
    pub fn failure(&self, error: StoreError) -> Failure {
        if !matches!(error, StoreError::Refused(_)) {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(mailbox = %self.id, class = ?error.class(), source, "{error}");
        }
        error.into_failure()
    }

    /// Queues a write and answers when it is as durable as it has to be.
    pub async fn write<T, F>(self: &Arc<Self>, durability: Durability, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut WriteTx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (job, told) = Task::job(durability, work);
        self.queue(job);
        told.await.map_err(|_| StoreError::Stopped)?
    }

    /// As [`Core::write`], for a write that takes less time than to wake a thread for it: where nothing waits before it, and it
    /// needs no sync, it is done here and now.
    pub async fn write_small<T, F>(self: &Arc<Self>, durability: Durability, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut WriteTx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (job, told) = Task::job(durability, work);
        if let Some(job) = self.try_now(job) {
            self.queue(job);
        }
        told.await.map_err(|_| StoreError::Stopped)?
    }

    /// Does the job on this thread, or gives it back.
    fn try_now(self: &Arc<Self>, job: Box<dyn Job>) -> Option<Box<dyn Job>> {
        {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            if queue.driven {
                return Some(job);
            }
            queue.driven = true;
        }
        // Whoever queues meanwhile relies on it.
        let _driver = Driver(self);
        let (Ok(mut writer), Ok(_thread)) =
            (self.writer.clone().try_lock_owned(), self.shared.threads.clone().try_acquire_owned())
        else {
            return Some(job);
        };
        if !writer.needs_no_sync(job.durability()) || self.check_not_ended().is_err() {
            return Some(job);
        }
        self.touch();
        self.group(&mut writer, vec![job]);
        None
    }

    /// Queues a write. The order of calls is the order of commits.
    pub fn queue(self: &Arc<Self>, job: Box<dyn Job>) {
        self.queue_all(vec![job]);
    }

    /// Queues writes at once, so that they share a commit where it is not too large.
    pub fn queue_all(self: &Arc<Self>, jobs: Vec<Box<dyn Job>>) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.jobs.extend(jobs);
        if !queue.driven {
            queue.driven = true;
            self.shared.tasks.spawn(self.clone().drive());
        }
    }

    /// Commits what is queued until nothing is.
    async fn drive(self: Arc<Self>) {
        loop {
            let writer = self.writer.clone().lock_owned().await;
            let Ok(thread) = self.shared.threads.clone().acquire_owned().await else { return };
            let core = self.clone();
            let rounds = tokio::task::spawn_blocking(move || {
                let mut writer = writer;
                let _thread = thread;
                (0..TURN).any(|_| !core.round(&mut writer))
            });
            match rounds.await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(mailbox = %self.id, "a writer failed: {error}");
                    let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
                    queue.driven = false;
                    // Dropped jobs answer that the store is stopping; nobody waits for ever.
                    queue.jobs.clear();
                    return;
                }
            }
        }
    }

    /// One group. False where nothing was queued: then the driver is gone as well.
    fn round(&self, writer: &mut Writer) -> bool {
        let jobs: Vec<_> = {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            if queue.jobs.is_empty() {
                queue.driven = false;
                return false;
            }
            let many = queue.jobs.len().min(GROUP);
            queue.jobs.drain(..many).collect()
        };
        self.touch();
        if let Err(error) = self.open_now(writer) {
            let text = self.failure(error);
            for job in jobs {
                job.answer(Some(StoreError::Refused(text.clone())));
            }
            return true;
        }
        self.group(writer, jobs);
        true
    }

    /// Commits jobs, and answers them.
    fn group(&self, writer: &mut Writer, jobs: Vec<Box<dyn Job>>) {
        let (committed, answers) = writer.run(jobs, self.policy(), Self::now());
        self.commits.store(writer.commits(), Ordering::Relaxed);
        self.note_unsynced(committed.unsynced);
        if let Some(hint) = committed.hint {
            // Nobody may be listening.
            let _ = self.hints.send(hint);
        }
        files::fault::point("store.answer.before");
        // Last, so that whoever closes the mailbox after an answer knows what is not synced yet.
        for (job, failed) in answers {
            job.answer(failed);
        }
    }

    fn note_unsynced(&self, unsynced: bool) {
        if !unsynced {
            self.unsynced_since.store(0, Ordering::Relaxed);
        } else if self.unsynced_since.load(Ordering::Relaxed) == 0 {
            self.unsynced_since.store(self.shared.clock().max(1), Ordering::Relaxed);
        }
    }

    /// Runs a short read transaction on a blocking thread. It sees everything committed before the call.
    pub async fn read<T, F>(self: &Arc<Self>, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let thread = self.shared.threads.clone().acquire_owned().await.map_err(|_| StoreError::Stopped)?;
        let core = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            let _thread = thread;
            core.touch();
            core.read_now(work)
        });
        done.await.map_err(|_| StoreError::Stopped)?
    }

    /// As [`Core::read`], for work that takes less time than to wake a thread for it: where a connection is at hand it is done
    /// here and now.
    pub async fn read_small<T, F>(self: &Arc<Self>, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        if let Ok(_thread) = self.shared.threads.try_acquire()
            && let Ok(_use) = self.take_into_use()
            && let Some(connection) = self.kept()
        {
            self.touch();
            return self.read_on(connection, work);
        }
        self.read(work).await
    }

    /// As [`Core::read`], on this thread.
    pub fn read_now<T>(&self, work: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let _use = self.take_into_use()?;
        let connection = if let Some(connection) = self.kept() {
            connection
        } else {
            self.open.store(true, Ordering::Relaxed);
            self.open_own(Use::Read)?
        };
        self.read_on(connection, work)
    }

    fn kept(&self) -> Option<Connection> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn read_on<T>(
        &self,
        connection: Connection,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        connection.prepare_cached("BEGIN")?.execute([])?;
        let result = work(&connection);
        let ended = connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]));
        let is_sound = ended.is_ok() && matches!(result, Ok(_) | Err(StoreError::Refused(_)));
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        // After an error the next reader starts from the file.
        if is_sound && readers.len() < IDLE_READERS && self.check_not_ended().is_ok() {
            readers.push(connection);
            // It may have been closed meanwhile; then this reader is to be closed later.
            self.open.store(true, Ordering::Relaxed);
        }
        result
    }

    /// Runs a chore with the writing connection, between groups.
    pub async fn with_writer<T, F>(self: &Arc<Self>, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Writer) -> Result<T, StoreError> + Send + 'static,
    {
        let (mut writer, thread) = self.turn().await?;
        let done = tokio::task::spawn_blocking(move || {
            let _thread = thread;
            work(&mut writer)
        });
        done.await.map_err(|_| StoreError::Stopped)?
    }

    /// The writer when its turn has come, and a thread to use it on.
    async fn turn(&self) -> Result<(OwnedMutexGuard<Writer>, OwnedSemaphorePermit), StoreError> {
        let writer = self.writer.clone().lock_owned().await;
        let thread = self.shared.threads.clone().acquire_owned().await.map_err(|_| StoreError::Stopped)?;
        Ok((writer, thread))
    }

    /// Opens the file: proves the key, repairs what a crash left.
    pub async fn open_writer(self: &Arc<Self>) -> Result<(), StoreError> {
        let core = self.clone();
        self.with_writer(move |writer| core.open_now(writer)).await
    }

    fn open_now(&self, writer: &mut Writer) -> Result<(), StoreError> {
        self.check_not_ended()?;
        writer.open(&self.path, &self.dek)?;
        self.open.store(true, Ordering::Relaxed);
        self.commits.store(writer.commits(), Ordering::Relaxed);
        Ok(())
    }

    fn check_not_ended(&self) -> Result<(), StoreError> {
        if self.ended.load(Ordering::SeqCst) { Err(StoreError::Stopped) } else { Ok(()) }
    }

    /// To be kept as long as somebody works with a connection of his own: [`Core::end`] waits for it.
    pub fn take_into_use(&self) -> Result<InUse<'_>, StoreError> {
        // Counted before it is asked: who ends a mailbox says so before it counts.
        self.users.count.fetch_add(1, Ordering::SeqCst);
        let counted = InUse(&self.users);
        self.check_not_ended().map(|()| counted)
    }

    /// A connection for one use, see [`Core::take_into_use`]. Blocking.
    pub fn open_own(&self, use_: Use) -> Result<Connection, StoreError> {
        self.check_not_ended()?;
        self.open_copy(&self.path, use_)
    }

    /// A connection to a copy of the file. Blocking.
    pub fn open_copy(&self, path: &std::path::Path, use_: Use) -> Result<Connection, StoreError> {
        self.dek.with(|dek| open::open(path, dek, use_))
    }

    /// Closes the file for good: its place is about to be taken. No connection is left afterwards.
    pub async fn end(self: &Arc<Self>) {
        self.ended.store(true, Ordering::SeqCst);
        self.close().await;
        loop {
            // Before it is asked: who goes meanwhile is heard.
            let none_left = self.users.none_left.notified();
            if self.users.count.load(Ordering::SeqCst) == 0 {
                return;
            }
            none_left.await;
        }
    }

    /// The writer, open, until it is given back: nobody else writes meanwhile.
    pub async fn writer(self: &Arc<Self>) -> Result<OwnedMutexGuard<Writer>, StoreError> {
        let (mut writer, thread) = self.turn().await?;
        let core = self.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let _thread = thread;
            core.open_now(&mut writer).map(|()| writer)
        });
        opened.await.map_err(|_| StoreError::Stopped)?
    }

    /// Whether somebody keeps writers away.
    pub fn set_held(&self, held: bool) {
        self.held.store(held, Ordering::Relaxed);
    }

    /// True while somebody keeps writers away: whoever has no time should not queue behind it.
    pub fn is_held(&self) -> bool {
        self.held.load(Ordering::Relaxed)
    }

    /// Closes all connections; the WAL stays as it is.
    pub async fn close(self: &Arc<Self>) {
        let core = self.clone();
        let closed = self.with_writer(move |writer| {
            core.open.store(false, Ordering::Relaxed);
            let readers = std::mem::take(&mut *core.readers.lock().unwrap_or_else(PoisonError::into_inner));
            drop(readers);
            writer.close();
            Ok(())
        });
        if let Err(error) = closed.await {
            tracing::debug!(mailbox = %self.id, "not closed: {error}");
        }
    }

    /// Folds the WAL into the main file, on our own account. Answers `false` where readers were in the way or the file is
    /// closed.
    pub async fn checkpoint(self: &Arc<Self>) -> Result<bool, StoreError> {
        let core = self.clone();
        self.with_writer(move |writer| {
            let copied = core.shared.archive.has(core.id, Database::Mailbox, writer.commits());
            writer.fold(&core.path, copied)
        })
        .await
    }

    /// The same, if all of the WAL is archived.
    pub async fn fold_if_archived(self: &Arc<Self>) -> Result<(), StoreError> {
        let core = self.clone();
        self.with_writer(move |writer| {
            let has = core.shared.archive.has(core.id, Database::Mailbox, writer.commits());
            if has {
                writer.fold(&core.path, true)?;
            }
            Ok(())
        })
        .await
    }

    /// The commit number: no lower than that of anything that was answered.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    fn touch(&self) {
        self.used.store(self.shared.clock(), Ordering::Relaxed);
    }

    /// How long nobody has asked for anything.
    pub fn idle(&self) -> Duration {
        Duration::from_millis(self.shared.clock().saturating_sub(self.used.load(Ordering::Relaxed)))
    }

    /// True where files are open.
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    /// How long commits have been waiting for a sync.
    pub fn unsynced(&self) -> Option<Duration> {
        let since = self.unsynced_since.load(Ordering::Relaxed);
        (since > 0).then(|| Duration::from_millis(self.shared.clock().saturating_sub(since)))
    }

    /// See the field.
    pub fn grave_due(&self) -> i64 {
        self.grave_due.load(Ordering::Relaxed)
    }

    /// Content without placements may be removed at that time; 0 = there is none.
    pub fn set_grave_due(&self, at: i64) {
        self.grave_due.store(at, Ordering::Relaxed);
    }

    /// As [`Core::set_grave_due`], unless something is due earlier.
    pub fn bury(&self, at: i64) {
        let _ = self.grave_due.compare_exchange(0, at, Ordering::Relaxed, Ordering::Relaxed);
    }
}
