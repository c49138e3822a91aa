//! Which run is worked on when: a plain struct that is fed with what is wanted and what came of it, and asked what to do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use control::RunAssignment;
use control::report::RunReport;
use jiff::{SignedDuration, Timestamp};
use model::MailboxId;
use model::backup::RunKind;
use tokio_util::sync::CancellationToken;

use super::Record;
use super::ticket::Closed;

/// What was done is remembered for so long after nobody wants it any more: whoever repeats a run does so earlier.
const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What is known of every run.
#[derive(Debug, Default)]
pub struct Table(BTreeMap<String, Entry>);

#[derive(Debug)]
struct Entry {
    record: Record,
    wanted: Option<RunAssignment>,
    work: Option<Work>,
}

#[derive(Debug)]
struct Work {
    stop: CancellationToken,
    stage: Arc<Mutex<Stage>>,
}

/// How far work is.
#[derive(Debug, Clone, Default)]
pub struct Stage {
    /// What it does, for people.
    pub message: String,
    /// Done of all, in bytes.
    pub progress: (u64, u64),
}

/// A run that is to be carried out now.
pub struct Launch {
    /// As it is written down.
    pub record: Record,
    /// Ends the work, if it still can.
    pub stop: CancellationToken,
    /// Where the work says how far it is.
    pub stage: Arc<Mutex<Stage>>,
}

impl Table {
    /// With what was written down.
    pub fn new(records: Vec<Record>) -> Self {
        let entry = |record: Record| (record.run.id.clone(), Entry { record, wanted: None, work: None });
        Self(records.into_iter().map(entry).collect())
    }

    /// These are wanted now, and no others. Answers the ids of those to be forgotten.
    pub fn want(&mut self, wanted: &[RunAssignment], now: Timestamp) -> Vec<String> {
        for entry in self.0.values_mut() {
            entry.wanted = None;
        }
        for assignment in wanted {
            let fresh = || Entry { record: Record::new(assignment, now), wanted: None, work: None };
            self.0.entry(assignment.run.id.clone()).or_insert_with(fresh).wanted = Some(assignment.clone());
        }
        for entry in self.0.values_mut() {
            entry.settle(now);
        }
        let gone = |entry: &Entry| entry.work.is_none() && entry.wanted.is_none() && entry.is_forgotten(now);
        let gone: Vec<String> = self.0.iter().filter(|(_, entry)| gone(entry)).map(|(id, _)| id.clone()).collect();
        self.0.retain(|id, _| !gone.contains(id));
        gone
    }

    /// Runs to be begun now, so that no more than `most` are at work, and one of each mailbox.
    pub fn begin(&mut self, most: usize) -> Vec<Launch> {
        let busy = self.0.values().filter(|entry| entry.work.is_some());
        let mut busy: BTreeSet<MailboxId> = busy.map(|entry| mailbox_of(&entry.record.run.kind)).collect();
        let mut launches = Vec::new();
        for entry in self.0.values_mut() {
            let mailbox = mailbox_of(&entry.record.run.kind);
            if busy.len() >= most || !entry.is_due() || !busy.insert(mailbox) {
                continue;
            }
            let work = Work { stop: CancellationToken::new(), stage: Arc::default() };
            let (record, stop, stage) = (entry.record.clone(), work.stop.clone(), work.stage.clone());
            entry.work = Some(work);
            launches.push(Launch { record, stop, stage });
        }
        launches
    }

    /// The work of a run is over. Answers whether its record is to be forgotten.
    pub fn closed(&mut self, id: &str, closed: Closed, now: Timestamp) -> bool {
        let Some(entry) = self.0.get_mut(id) else { return false };
        entry.work = None;
        match (closed, &entry.wanted) {
            (Closed::Over(record), _) => {
                entry.record = *record;
                entry.settle(now);
                false
            }
            (Closed::Lost, _) => {
                let report = &mut entry.record.report;
                (report.succeeded, report.completed, report.reason) = (Some(false), Some(now), "Failed".to_owned());
                "it broke off: see the log of the sidecar".clone_into(&mut report.message);
                false
            }
            (Closed::Stopped, Some(wanted)) => {
                entry.record = Record::new(wanted, now);
                false
            }
            (Closed::Stopped, None) => self.0.remove(id).is_some(),
        }
    }

    /// The mailboxes that are to be purged, or were.
    pub fn purging(&self) -> BTreeSet<MailboxId> {
        let kinds = self.0.values().filter(|entry| entry.wanted.is_some() || entry.work.is_some());
        let purged = |entry: &Entry| match entry.record.run.kind {
            RunKind::Purge { mailbox } => Some(mailbox),
            RunKind::Backup { .. } | RunKind::Restore { .. } => None,
        };
        kinds.filter_map(purged).collect()
    }

    /// What is told of those that are wanted or at work.
    pub fn reports(&self, now: Timestamp) -> Vec<RunReport> {
        self.0
            .values()
            .filter(|entry| entry.wanted.is_some() || entry.work.is_some())
            .map(|it| it.report(now))
            .collect()
    }
}

impl Entry {
    /// Follows what is wanted of it now.
    fn settle(&mut self, now: Timestamp) {
        let Some(wanted) = &self.wanted else {
            self.stop();
            return;
        };
        let same = wanted.executor == self.record.report.executor;
        if self.work.is_some() {
            if !same {
                self.stop();
            }
        } else if self.record.report.succeeded == Some(false) && !same {
            self.record = Record::new(wanted, now);
        } else {
            self.record.report.executor.clone_from(&wanted.executor);
        }
    }

    fn stop(&self) {
        if let Some(work) = &self.work {
            work.stop.cancel();
        }
    }

    fn is_due(&self) -> bool {
        self.work.is_none() && !self.record.is_over() && (self.wanted.is_some() || self.record.is_bound())
    }

    /// Nobody will ask for it, or it was cancelled.
    fn is_forgotten(&self, now: Timestamp) -> bool {
        match self.record.report.completed {
            Some(completed) => now.duration_since(completed) > KEPT,
            None => !self.record.is_bound(),
        }
    }

    fn report(&self, now: Timestamp) -> RunReport {
        let report = self.record.report.clone();
        if let Some(wanted) = self.wanted.as_ref().filter(|wanted| wanted.run.kind != self.record.run.kind) {
            let message = "a run of this id was something else; give this one an id of its own".to_owned();
            let other = Record::new(wanted, now).report;
            return RunReport {
                succeeded: Some(false),
                reason: "Failed".to_owned(),
                message,
                completed: Some(now),
                ..other
            };
        }
        match &self.work {
            Some(work) => {
                let Stage { message, progress } = work.stage.lock().unwrap_or_else(PoisonError::into_inner).clone();
                RunReport { heartbeat: now, reason: "Running".to_owned(), message, progress, ..report }
            }
            None => report,
        }
    }
}

/// Whose files a run changes.
fn mailbox_of(kind: &RunKind) -> MailboxId {
    match kind {
        RunKind::Backup { mailbox } | RunKind::Purge { mailbox } => *mailbox,
        RunKind::Restore { target, .. } => *target,
    }
}
