//! What the status of a run says: pure, so that whoever carries runs out tells the same of them.
//!
//! * `startTime` is the first time anybody looked at it, and the deadline counts from there, also while no shard can be given it.
//! * An end is for ever: a status with `Succeeded` `True` or `False` never changes again, and [`super::runs`] wants it no more.
//! * A failure says what to do next.
//! * Nothing changes where nothing was heard: who writes what is returned here writes no more than that.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use model::backup::RunReport;

use super::{Unassigned, Wish, finished};
use crate::common::condition;
use crate::conditions::SUCCEEDED;
use crate::conditions::reason::{COMPLETED, DEADLINE_EXCEEDED, FAILED, PENDING, RUNNING};
use crate::object::Object;
use crate::{Executor, MailboxBackupStatus, MailboxRestoreStatus};

/// How long after its deadline a run that was given to a shard may be silent: its sidecar tells the end itself, unless there is
/// none any more.
const SILENCE: SignedDuration = SignedDuration::from_mins(5);
/// A sign of life is written down so often at most: each is a write to the API server.
const HEARTBEAT: SignedDuration = SignedDuration::from_secs(10);

/// What is known of a run beside its object.
#[derive(Debug, Clone, Copy)]
pub enum Heard<'a> {
    /// A shard was given it, and has not said anything of it yet.
    Nothing,
    /// No shard can be given it.
    Unassigned(&'a Unassigned),
    /// What the sidecar says that works on it.
    Report(&'a RunReport),
}

/// The id by which shards know the run that an object declares; none for objects of other kinds, and for those that are over or
/// on their way out.
pub fn run_id(object: &Object) -> Option<String> {
    Wish::read(object).map(|wish| wish.id())
}

/// The object of a run with the status that it should have now; none where it has it already, and for other kinds.
pub fn run_status(object: &Object, heard: Heard<'_>, now: Timestamp) -> Option<Object> {
    let mut next = object.clone();
    let report = match heard {
        Heard::Report(report) => Some(report),
        Heard::Nothing | Heard::Unassigned(_) => None,
    };
    match &mut next {
        Object::MailboxBackup(o) => {
            let status = o.status.get_or_insert_default();
            let limit = SignedDuration::from_secs(o.spec.deadline_seconds.into());
            if Course::of(status, limit, o.metadata.generation).follow(heard, now) {
                status.archive_id = report.and_then(|it| it.archive.clone()).or(status.archive_id.take());
            }
        }
        Object::MailboxRestore(o) => {
            let status = o.status.get_or_insert_default();
            let limit = SignedDuration::from_secs(o.spec.deadline_seconds.into());
            if Course::of(status, limit, o.metadata.generation).follow(heard, now) {
                let commit = report.and_then(|it| it.reached_commit);
                status.reached_commit = commit.and_then(|it| i64::try_from(it).ok()).or(status.reached_commit);
                status.reached_time = report.and_then(|it| it.reached_time).map(Time).or(status.reached_time.take());
            }
        }
        _ => return None,
    }
    (next != *object).then_some(next)
}

/// What both kinds of status have in common.
struct Course<'a> {
    limit: SignedDuration,
    generation: Option<i64>,
    observed: &'a mut Option<i64>,
    executor: &'a mut Option<Executor>,
    start: &'a mut Option<Time>,
    completion: &'a mut Option<Time>,
    conditions: &'a mut Vec<Condition>,
}

/// A status that has a course.
trait Runs {
    fn parts(&mut self) -> Parts<'_>;
}

type Parts<'a> =
    (&'a mut Option<i64>, &'a mut Option<Executor>, &'a mut Option<Time>, &'a mut Option<Time>, &'a mut Vec<Condition>);

impl Runs for MailboxBackupStatus {
    fn parts(&mut self) -> Parts<'_> {
        let Self { observed_generation, executor, start_time, completion_time, conditions, .. } = self;
        (observed_generation, executor, start_time, completion_time, conditions)
    }
}

impl Runs for MailboxRestoreStatus {
    fn parts(&mut self) -> Parts<'_> {
        let Self { observed_generation, executor, start_time, completion_time, conditions, .. } = self;
        (observed_generation, executor, start_time, completion_time, conditions)
    }
}

impl<'a> Course<'a> {
    fn of(status: &'a mut impl Runs, limit: SignedDuration, generation: Option<i64>) -> Self {
        let (observed, executor, start, completion, conditions) = status.parts();
        Self { limit, generation, observed, executor, start, completion, conditions }
    }

    /// Follows what was heard; false where it was over before.
    fn follow(self, heard: Heard<'_>, now: Timestamp) -> bool {
        *self.observed = self.generation.or(*self.observed);
        if finished(self.conditions) {
            return false;
        }
        let start = self.start.get_or_insert(Time(now)).0;
        let deadline = start.checked_add(self.limit).unwrap_or(Timestamp::MAX);
        let state = match heard {
            Heard::Report(report) => State::told(report),
            Heard::Unassigned(why) => State::unassigned(why, now >= deadline),
            Heard::Nothing => State::silent(now.duration_since(deadline) >= SILENCE),
        };
        if state.succeeded.is_some() {
            let completed = match heard {
                Heard::Report(report) => report.completed,
                Heard::Nothing | Heard::Unassigned(_) => None,
            };
            *self.completion = Some(Time(completed.unwrap_or(now)));
        }
        if let Heard::Report(report) = heard {
            beat(self.executor, report, state.succeeded.is_some());
        }
        set(self.conditions, state, self.generation, now);
        true
    }
}

/// What `Succeeded` says.
struct State {
    succeeded: Option<bool>,
    reason: String,
    message: String,
}

impl State {
    fn told(report: &RunReport) -> Self {
        let reason = |otherwise: &str| if report.reason.is_empty() { otherwise } else { &report.reason }.to_owned();
        match report.succeeded {
            Some(true) => Self { succeeded: Some(true), reason: reason(COMPLETED), message: report.message.clone() },
            Some(false) => Self::failed(reason(FAILED), &report.message),
            None => Self { succeeded: None, reason: reason(RUNNING), message: how_far(report) },
        }
    }

    fn unassigned(why: &Unassigned, late: bool) -> Self {
        let Unassigned { reason, message, failed, .. } = why;
        match (failed, late) {
            (true, _) => Self::failed((*reason).to_owned(), message),
            (false, true) => Self::failed(DEADLINE_EXCEEDED.to_owned(), message),
            (false, false) => Self { succeeded: None, reason: (*reason).to_owned(), message: message.clone() },
        }
    }

    fn silent(late: bool) -> Self {
        if late {
            return Self::failed(DEADLINE_EXCEEDED.to_owned(), "no sidecar took it up: see the pods of its shard");
        }
        Self { succeeded: None, reason: PENDING.to_owned(), message: "waiting for its turn".to_owned() }
    }

    fn failed(reason: String, message: &str) -> Self {
        let message = format!("{message}; this one is over: when that is mended, declare it again under another name");
        Self { succeeded: Some(false), reason, message }
    }
}

/// `assembling ...: 40 %`: no finer, because every change is a write.
fn how_far(report: &RunReport) -> String {
    let what = if report.message.is_empty() { "waiting for its turn" } else { &report.message };
    match report.progress {
        (_, 0) => what.to_owned(),
        (done, total) => format!("{what}: {} %", (done.saturating_mul(10) / total).min(10) * 10),
    }
}

fn beat(executor: &mut Option<Executor>, report: &RunReport, over: bool) {
    let fresh = executor.as_ref().is_some_and(|known| {
        let age = known.heartbeat_time.as_ref().map(|last| report.heartbeat.duration_since(last.0));
        known.id == report.executor && !over && age.is_some_and(|age| age < HEARTBEAT)
    });
    if !fresh {
        *executor = Some(Executor { id: report.executor.clone(), heartbeat_time: Some(Time(report.heartbeat)) });
    }
}

fn set(conditions: &mut Vec<Condition>, state: State, generation: Option<i64>, now: Timestamp) {
    let status = match state.succeeded {
        Some(true) => "True",
        Some(false) => "False",
        None => "Unknown",
    };
    let before = condition(conditions, SUCCEEDED);
    let since = before.filter(|it| it.status == status).map_or(Time(now), |it| it.last_transition_time.clone());
    let next = Condition {
        type_: SUCCEEDED.to_owned(),
        status: status.to_owned(),
        reason: state.reason,
        message: state.message,
        last_transition_time: since,
        observed_generation: generation,
    };
    conditions.retain(|it| it.type_ != SUCCEEDED);
    conditions.push(next);
}

#[cfg(test)]
mod tests;
