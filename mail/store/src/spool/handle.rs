//! One spool: an async face over a connection that opens on demand and is used by one thread at a time.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use jiff::Timestamp;
use model::TxId;
use rusqlite::Connection;
use tokio::sync::{Mutex as AsyncMutex, oneshot};

use super::registry::Shared;
use super::{Aside, Inserted, NewWaiting, SpoolState, Waiting, database};
use crate::StoreError;
use crate::open::is_there;

/// Where an insert waits for its outcome.
type Outcome = oneshot::Sender<Result<Inserted, StoreError>>;

/// The spool of one mailbox.
pub struct Spool {
    path: PathBuf,
    shared: Weak<Shared>,
    /// Taken before a thread is, so that waiting for it costs none.
    connection: Arc<AsyncMutex<Option<Connection>>>,
    /// Inserts that the next commit takes along.
    arrivals: Mutex<Vec<(NewWaiting, Outcome)>>,
    open: AtomicBool,
    used: AtomicU64,
}

impl Spool {
    pub(super) fn new(path: PathBuf, shared: Weak<Shared>) -> Self {
        Self {
            path,
            shared,
            connection: Arc::default(),
            arrivals: Mutex::default(),
            open: AtomicBool::new(false),
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

    /// Removes messages that the mailbox has taken durably.
    pub async fn remove(self: &Arc<Self>, ids: Vec<i64>) -> Result<(), StoreError> {
        self.run(move |connection| database::remove(connection, &ids)).await
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

    /// Gives the space of drained mail back to the file system.
    pub async fn tidy(self: &Arc<Self>) -> Result<(), StoreError> {
        self.read(database::tidy).await
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
        let shared = self.shared.upgrade().ok_or(StoreError::Stopped)?;
        let mut slot = self.connection.clone().lock_owned().await;
        let thread = shared.threads.clone().acquire_owned().await.map_err(|_| StoreError::Stopped)?;
        let spool = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            let _thread = thread;
            spool.used.store(shared.tick(), Ordering::Relaxed);
            if slot.is_none() {
                if !make && !is_there(&spool.path)? {
                    return Ok(None);
                }
                shared.make_room();
                *slot = Some(database::open(&spool.path)?);
                spool.open.store(true, Ordering::Relaxed);
            }
            let connection = slot.as_mut().ok_or(StoreError::Stopped)?;
            let result = job(connection);
            if result.is_err() {
                // An I/O error leaves a connection in a state nobody has tested: the next call starts from the file.
                spool.forget(&mut slot);
            }
            result.map(Some)
        });
        done.await.map_err(|_| StoreError::Stopped)?
    }

    fn forget(&self, slot: &mut Option<Connection>) {
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
