//! The way of one run: begun, at work, over; each step is on disk before anybody is told of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use files::FilesError;
use jiff::Timestamp;
use model::backup::{PurgeReport, Run};
use tokio_util::sync::CancellationToken;

use super::super::backup::Backup;
use super::super::board::Failure;
use super::super::purge::Purge;
use super::super::restore::Restore;
use super::{Intent, Launch, Record, Records, Stage};

/// What a run does.
pub enum Errand {
    /// Brings a mailbox back.
    Restore(Box<Restore>),
    /// Makes a snapshot.
    Backup(Backup),
    /// Removes a mailbox.
    Purge(Box<Purge>),
}

/// What a run has come to when it went well.
#[derive(Debug, Default)]
pub struct Outcome {
    /// For people.
    pub message: String,
    /// What was made or restored.
    pub archive: Option<String>,
    /// The last commit of it.
    pub reached_commit: Option<u64>,
    /// That commit's time.
    pub reached_time: Option<Timestamp>,
    /// Where replaced files are, below the data folder.
    pub replaced: Option<String>,
}

/// Why a run did not go well.
#[derive(Debug)]
pub enum Broken {
    /// It is wanted no more, or under another executor id.
    Stopped,
    /// It failed for good.
    Failed(Failure),
}

/// How work ended.
#[derive(Debug)]
pub enum Closed {
    /// This is written down now.
    Over(Box<Record>),
    /// Nothing is written down of it any more.
    Stopped,
    /// Nobody knows.
    Lost,
}

/// What work on a run has in its hands.
pub struct Ticket {
    record: Record,
    records: Records,
    stop: CancellationToken,
    stage: Arc<Mutex<Stage>>,
}

impl Ticket {
    /// The run's own.
    pub fn new(launch: Launch, records: Records) -> Self {
        let Launch { record, stop, stage } = launch;
        Self { record, records, stop, stage }
    }

    /// Does it, from the first record to the last.
    pub async fn carry_out(mut self, errand: Errand) -> Closed {
        let begun = self.write().await.map_err(|error| Broken::Failed(Failure::from(&error)));
        let result = match (begun, errand) {
            (Err(broken), _) => Err(broken),
            (Ok(()), Errand::Restore(restore)) => restore.carry_out(&mut self).await,
            (Ok(()), Errand::Backup(backup)) => backup.carry_out(&self).await,
            (Ok(()), Errand::Purge(purge)) => purge.carry_out(&mut self).await,
        };
        self.close(result).await
    }

    /// What is to be done.
    pub fn run(&self) -> &Run {
        &self.record.run
    }

    /// What it was about to do for good when it was broken off.
    pub fn intent(&self) -> Option<&Intent> {
        self.record.intent.as_ref()
    }

    /// Says what is done now.
    pub fn tell(&self, message: impl Into<String>) {
        self.stage().message = message.into();
    }

    /// What a purge has come to, also where it fails.
    pub fn removed(&mut self, removed: PurgeReport) {
        self.record.report.purged = Some(removed);
    }

    /// Says how much of it is done, in bytes.
    pub fn progress(&self, done: u64, total: u64) {
        self.stage().progress = (done, total);
    }

    /// Does a part that may end at any moment, by the deadline at the latest.
    pub async fn unless_stopped<T>(&self, part: impl Future<Output = T>) -> Result<T, Broken> {
        let left = self.record.run.deadline.duration_since(Timestamp::now());
        let left = Duration::try_from(left).unwrap_or_default();
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Broken::Stopped),
            () = tokio::time::sleep(left) => {
                let (deadline, last) = (self.record.run.deadline, self.stage().message.clone());
                let message = format!("it was not done by its deadline, {deadline} (at last: {last}); ask again with more time");
                Err(Broken::Failed(Failure { reason: "DeadlineExceeded", message }))
            }
            done = part => Ok(done),
        }
    }

    /// Writes down what is done from here on, come what may.
    pub async fn intend(&mut self, intent: Intent) -> Result<(), Broken> {
        self.record.intent = Some(intent);
        self.write().await.map_err(|error| Broken::Failed(Failure::from(&error)))
    }

    async fn close(mut self, result: Result<Outcome, Broken>) -> Closed {
        let now = Timestamp::now();
        let report = &mut self.record.report;
        (report.heartbeat, report.completed) = (now, Some(now));
        report.progress = self.stage.lock().unwrap_or_else(PoisonError::into_inner).progress;
        match result {
            Ok(outcome) => {
                (report.succeeded, report.reason) = (Some(true), "Completed".to_owned());
                report.message = outcome.message;
                (report.archive, report.replaced) = (outcome.archive, outcome.replaced);
                (report.reached_commit, report.reached_time) = (outcome.reached_commit, outcome.reached_time);
            }
            Err(Broken::Failed(failure)) => {
                (report.succeeded, report.reason) = (Some(false), failure.reason.to_owned());
                report.message = failure.message;
            }
            Err(Broken::Stopped) => {
                let (records, id) = (self.records.clone(), self.record.run.id.clone());
                if let Ok(Err(error)) = tokio::task::spawn_blocking(move || records.remove(&id)).await {
                    tracing::warn!(%error, "a run that was cancelled is still written down");
                }
                return Closed::Stopped;
            }
        }
        // It is done, written down or not: whoever repeats it gets the same again from the primary.
        if let Err(error) = self.write().await {
            tracing::warn!(%error, run = self.record.run.id, "the end of a run was not written down");
        }
        Closed::Over(Box::new(self.record))
    }

    async fn write(&self) -> Result<(), FilesError> {
        let (records, record) = (self.records.clone(), self.record.clone());
        // A panic of a thread that writes a file leaves the file as it was.
        tokio::task::spawn_blocking(move || records.save(&record)).await.unwrap_or(Ok(()))
    }

    fn stage(&self) -> std::sync::MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
