//! Group commit: writes that wait together share a transaction.
//!
//! Invariants:
//! * Nothing is answered before COMMIT has returned.
//! * A member that fails loses only its own savepoint. Where the whole transaction was lost (a full disk), or COMMIT fails,
//!   the members run again, one transaction each, and every one gets its own answer.
//! * One durable member makes the commit durable. Changes of flags alone are not synced: before the first of them the
//!   mailbox is durably marked `unsynced`, and the flusher, a second later, syncs and takes the mark away. Every modseq told
//!   to anybody is thus in a synced file, or below the ceiling of one that is marked.
//! * After an I/O error nothing is acknowledged until the WAL has been folded in and started anew without errors.

use std::collections::BTreeSet;
use std::path::Path;

use control::WalPosition;
use crypto::ShieldedDek;
use model::verbs::Hint;
use model::{FolderId, ModSeq};
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::archive::Noter;
use crate::open::{self, Use};
use crate::state::{Policy, RESERVE, State, WriteTx};
use crate::wal::{self, Tail};
use crate::{StoreError, restored, schema};

/// When a write has to be on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Durability {
    /// With the next durable commit: parts of a message being written, garbage being removed, settlements.
    Lazy,
    /// Within a second: flags.
    Soon,
    /// Before it is answered.
    Full,
}

/// A write that waits for its turn.
pub(crate) trait Job: Send {
    /// When it has to be on disk.
    fn durability(&self) -> Durability;
    /// Does it. May be called again if the transaction was lost.
    fn run(&mut self, tx: &mut WriteTx<'_>) -> Result<(), StoreError>;
    /// Answers: with what `run` made, or why it is not there.
    fn answer(self: Box<Self>, failed: Option<StoreError>);
}

/// A [`Job`] made of a closure.
pub(crate) struct Task<T, F> {
    durability: Durability,
    work: F,
    made: Option<T>,
    tell: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Task<T, F>
where
    T: Send + 'static,
    F: FnMut(&mut WriteTx<'_>) -> Result<T, StoreError> + Send + 'static,
{
    /// The job, and where its answer comes.
    pub fn job(durability: Durability, work: F) -> (Box<dyn Job>, oneshot::Receiver<Result<T, StoreError>>) {
        let (tell, told) = oneshot::channel();
        (Box::new(Self { durability, work, made: None, tell }), told)
    }
}

impl<T, F> Job for Task<T, F>
where
    T: Send,
    F: FnMut(&mut WriteTx<'_>) -> Result<T, StoreError> + Send,
{
    fn durability(&self) -> Durability {
        self.durability
    }

    fn run(&mut self, tx: &mut WriteTx<'_>) -> Result<(), StoreError> {
        self.made = Some((self.work)(tx)?);
        Ok(())
    }

    fn answer(self: Box<Self>, failed: Option<StoreError>) {
        let result = match (failed, self.made) {
            (None, Some(made)) => Ok(made),
            (Some(error), _) => Err(error),
            (None, None) => Err(StoreError::Stopped),
        };
        // Whoever asked may have gone; the change stays and is found under its sequence number.
        let _ = self.tell.send(result);
    }
}

/// The writing connection of a mailbox.
pub(crate) struct Writer {
    connection: Option<Connection>,
    noter: Noter,
    /// Of the connection.
    tail: Option<Tail>,
    /// The counters of the file, when it was last open: nobody else writes them.
    state: State,
    /// `synchronous` as it is set now.
    full: bool,
    /// The volume failed; see the module's last invariant.
    distrusted: bool,
}

/// What a commit changed.
#[derive(Debug, Default)]
pub(crate) struct Committed {
    /// For the sessions; none where nothing they see changed.
    pub hint: Option<Hint>,
    /// Commits since the last synced one exist.
    pub unsynced: bool,
}

impl Writer {
    /// A closed one.
    pub fn new(noter: Noter) -> Self {
        Self { connection: None, noter, tail: None, state: State::default(), full: false, distrusted: false }
    }

    /// Opens the file, migrates it, and repairs what a crash left.
    pub fn open(&mut self, path: &Path, dek: &ShieldedDek) -> Result<(), StoreError> {
        if self.connection.is_some() {
            return Ok(());
        }
        let connection = dek.with(|dek| open::open(path, dek, Use::Write))?;
        let mut tail = Tail::watch(&connection, path)?;
        schema::migrate(&connection)?;
        if self.distrusted {
            let commit = State::load(&connection)?.commits;
            if !wal::fold(&connection, path, commit, false)? {
                return Err(StoreError::Distrusted);
            }
            self.distrusted = false;
        }
        self.full = true;
        restored::settle(&connection, path)?;
        recover(&connection)?;
        self.state = State::load(&connection)?;
        if let Some(frame) = tail.committed() {
            tail.tell(&self.noter, frame, self.state.commits);
        }
        (self.connection, self.tail) = (Some(connection), Some(tail));
        Ok(())
    }

    /// The commit number of the file: of the last commit, as far as this process knows.
    pub fn commits(&self) -> u64 {
        self.state.commits
    }

    /// True where a write of that kind, alone, touches no disk: the file is open, and the commit is not synced.
    pub fn needs_no_sync(&self, durability: Durability) -> bool {
        self.connection.is_some()
            && match durability {
                Durability::Lazy => true,
                Durability::Soon => self.state.is_marked(1),
                Durability::Full => false,
            }
    }

    /// The connection, while the file is open.
    pub fn connection(&self) -> Option<&Connection> {
        self.connection.as_ref()
    }

    /// Where the WAL ends, and the commit number there.
    pub fn end(&self, path: &Path) -> Result<(WalPosition, u64), StoreError> {
        let connection = self.connection.as_ref().ok_or(StoreError::Stopped)?;
        Ok((wal::end(connection, path)?, self.state.commits))
    }

    /// Closes the file.
    pub fn close(&mut self) {
        (self.connection, self.tail) = (None, None);
    }

    /// Runs the jobs in as few transactions as possible. The caller answers them, after it has noted what was committed.
    pub fn run(&mut self, jobs: Jobs, policy: Policy, now: i64) -> (Committed, Answers) {
        let alone = jobs.len() == 1;
        let mut members: Answers = jobs.into_iter().map(|job| (job, None)).collect();
        let mut outcome = match self.transaction(&mut members, policy, now) {
            Ok(committed) => return (committed, members),
            Err(error) => {
                self.abandon(&error);
                // What was not synced before is not synced now.
                let nothing = Committed { hint: None, unsynced: self.state.unsynced };
                if alone {
                    if let Some(only) = members.first_mut() {
                        only.1 = Some(error);
                    }
                    return (nothing, members);
                }
                nothing
            }
        };
        // Members that were refused have their answer; the others lost their transaction, not their chance.
        let (mut answers, lost): (Answers, Answers) = members.into_iter().partition(|member| member.1.is_some());
        for (job, _) in lost {
            let (committed, answer) = self.run(vec![job], policy, now);
            outcome.merge(committed);
            answers.extend(answer);
        }
        (outcome, answers)
    }

    fn transaction(&mut self, members: &mut Answers, policy: Policy, now: i64) -> Result<Committed, StoreError> {
        if self.distrusted && self.connection.is_none() {
            return Err(StoreError::Distrusted);
        }
        let wanted = members.iter().map(|member| member.0.durability()).max().unwrap_or(Durability::Lazy);
        let connection = self.connection.as_ref().ok_or(StoreError::Stopped)?;
        if !connection.is_autocommit() {
            // Left open by a member that panicked.
            connection.execute_batch("ROLLBACK")?;
        }
        let before = self.state;
        let full = match wanted {
            Durability::Full => true,
            Durability::Soon => !before.is_marked(members.len() as u64),
            Durability::Lazy => false,
        };
        if full != self.full {
            connection.execute_batch(if full { "PRAGMA synchronous = FULL" } else { "PRAGMA synchronous = NORMAL" })?;
            self.full = full;
        }
        let connection = self.connection.as_ref().ok_or(StoreError::Stopped)?;
        connection.execute_batch("BEGIN IMMEDIATE")?;
        let mut tx = WriteTx::new(connection, before, policy, now);
        let changes = connection.total_changes();
        run_members(&mut tx, members)?;
        if connection.total_changes() == changes && tx.state == before {
            connection.execute_batch("ROLLBACK")?;
            return Ok(Committed { hint: None, unsynced: before.unsynced });
        }
        let (mut state, touched) = (tx.state, tx.touched);
        state.commits += 1;
        if full {
            // This commit syncs all before it; only a group of flags alone is about to be followed by unsynced ones.
            state.unsynced = wanted == Durability::Soon;
            state.ceiling = state.ceiling.max(state.modseq);
            if state.ceiling < state.modseq + RESERVE / 2 {
                state.ceiling = state.modseq + RESERVE;
            }
        }
        state.save(connection)?;
        files::fault::point("store.commit.before");
        connection.execute_batch("COMMIT")?;
        files::fault::point("store.commit.after");
        self.state = state;
        self.tell();
        let hint = hint(before, state, touched);
        Ok(Committed { hint, unsynced: state.unsynced })
    }

    /// Tells of what was just committed.
    fn tell(&mut self) {
        let Some(tail) = &mut self.tail else { return };
        if let Some(frame) = tail.committed() {
            tail.tell(&self.noter, frame, self.state.commits);
        }
    }

    /// Folds the WAL in. Answers `false` where readers were in the way or the file is closed.
    pub fn fold(&mut self, path: &Path, copied: bool) -> Result<bool, StoreError> {
        let Some(connection) = &self.connection else { return Ok(false) };
        wal::fold(connection, path, self.state.commits, copied)
    }

    /// Ends a transaction that failed, and the trust in a volume that failed.
    fn abandon(&mut self, error: &StoreError) {
        let Some(connection) = &self.connection else { return };
        let ended = connection.is_autocommit() || connection.execute_batch("ROLLBACK").is_ok();
        if error.is_io() {
            self.distrusted = true;
        }
        if !ended || error.is_io() {
            self.close();
        }
    }
}

impl Committed {
    fn merge(&mut self, later: Self) {
        self.unsynced = later.unsynced;
        match (&mut self.hint, later.hint) {
            (Some(hint), Some(later)) => {
                hint.modseq = hint.modseq.max(later.modseq);
                hint.folders.extend(later.folders);
            }
            (hint, later) => *hint = later.or(hint.take()),
        }
    }
}

/// Jobs that wait.
pub(crate) type Jobs = Vec<Box<dyn Job>>;
/// Jobs of a group, with the failure of those that failed.
pub(crate) type Answers = Vec<(Box<dyn Job>, Option<StoreError>)>;

/// Runs every member in a savepoint; an error of this function means that the transaction is lost. One that is alone needs
/// none: what it loses is the transaction.
fn run_members(tx: &mut WriteTx<'_>, members: &mut Answers) -> Result<(), StoreError> {
    let connection = tx.connection;
    if let [(job, None)] = members.as_mut_slice() {
        return job.run(tx);
    }
    for (job, failed) in members.iter_mut().filter(|member| member.1.is_none()) {
        let (state, touched) = (tx.state, tx.touched.clone());
        tx.next_member();
        connection.prepare_cached("SAVEPOINT member")?.execute([])?;
        match job.run(tx) {
            Ok(()) => {}
            Err(error) if connection.is_autocommit() || error.is_io() => return Err(error),
            Err(error) => {
                connection.prepare_cached("ROLLBACK TO member")?.execute([])?;
                (tx.state, tx.touched) = (state, touched);
                *failed = Some(error);
            }
        }
        connection.prepare_cached("RELEASE member")?.execute([])?;
    }
    Ok(())
}

fn hint(before: State, after: State, touched: BTreeSet<FolderId>) -> Option<Hint> {
    let seen = after.modseq != before.modseq || !touched.is_empty();
    seen.then(|| Hint { modseq: ModSeq(after.modseq), folders: touched.into_iter().collect() })
}

/// After unsynced commits may have been lost, every modseq above the last synced one may have been told: the counter goes
/// on above the ceiling, and every client is told everything again.
fn recover(connection: &Connection) -> Result<(), StoreError> {
    let mut state = State::load(connection)?;
    if !state.unsynced {
        return Ok(());
    }
    files::fault::point("store.recover.before");
    state.modseq = state.ceiling + 1;
    state.ceiling = state.modseq + RESERVE;
    state.unsynced = false;
    state.commits += 1;
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let modseq = state.modseq as i64;
    let saved = connection
        .execute("UPDATE folder SET reset_ms = ?1, hms = ?1, fms = ?1", [modseq])
        .map_err(StoreError::from)
        .and_then(|_| state.save(connection));
    match saved {
        Ok(()) => Ok(connection.execute_batch("COMMIT")?),
        Err(error) => {
            // The connection is closed by the caller, which rolls back too.
            let _ = connection.execute_batch("ROLLBACK");
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests;
