//! From what a sidecar says of a run to the status of its MailboxBackup or MailboxRestore: pure.
//!
//! * A run is given to a sidecar only once its status has a start and an executor: the deadline counts from there, and
//!   whoever comes after this operator gives it to the same one.
//! * What is over stays as it is.
//! * A sign of life is written every [`BEAT`] at most.

use api::conditions::{self, reason};
use api::{Executor, MailboxBackupStatus, MailboxRestoreStatus};
use control::report::RunReport;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::{At, Set, conditions as render, second};

/// How often a heartbeat, and words that go with it, are written.
const BEAT: SignedDuration = SignedDuration::from_secs(30);
/// A sidecar that has not said a word so long after the deadline is not waited for.
const SILENCE: SignedDuration = SignedDuration::from_mins(1);

/// What is known of a run that is not over.
#[derive(Debug, Clone, Copy)]
pub enum Seen<'a> {
    /// No shard can be given it: reason and message. It is over (`true`), or waits.
    Unassigned(&'static str, &'a str, bool),
    /// A shard's.
    Assigned {
        /// Which sidecar has it.
        executor: &'a str,
        /// What that one says.
        said: Option<&'a RunReport>,
    },
}

/// What both kinds have in common.
struct Progress {
    executor: Option<Executor>,
    start: Option<Time>,
    completion: Option<Time>,
    set: Set,
}

/// What the status was.
#[derive(Clone, Copy)]
struct Before<'a> {
    executor: Option<&'a Executor>,
    start: Option<&'a Time>,
    conditions: &'a [Condition],
}

/// True once it was begun: then a sidecar may be given it.
pub fn is_begun(executor: Option<&Executor>, start: Option<&Time>) -> bool {
    executor.is_some_and(|executor| !executor.id.is_empty()) && start.is_some()
}

/// The status of a MailboxBackup.
pub fn backup(
    before: Option<&MailboxBackupStatus>,
    deadline_seconds: i32,
    seen: Seen<'_>,
    at: At,
) -> MailboxBackupStatus {
    let nothing = MailboxBackupStatus::default();
    let known = before.unwrap_or(&nothing);
    let was =
        Before { executor: known.executor.as_ref(), start: known.start_time.as_ref(), conditions: &known.conditions };
    let progress = progress(was, deadline_seconds, seen, at);
    let ended = end(seen);
    MailboxBackupStatus {
        observed_generation: at.generation,
        executor: progress.executor,
        start_time: progress.start,
        completion_time: progress.completion,
        archive_id: ended.and_then(|said| said.archive.clone()),
        conditions: render(&known.conditions, vec![progress.set], at),
    }
}

/// The status of a MailboxRestore.
pub fn restore(
    before: Option<&MailboxRestoreStatus>,
    deadline_seconds: i32,
    seen: Seen<'_>,
    at: At,
) -> MailboxRestoreStatus {
    let nothing = MailboxRestoreStatus::default();
    let known = before.unwrap_or(&nothing);
    let was =
        Before { executor: known.executor.as_ref(), start: known.start_time.as_ref(), conditions: &known.conditions };
    let progress = progress(was, deadline_seconds, seen, at);
    let ended = end(seen);
    MailboxRestoreStatus {
        observed_generation: at.generation,
        executor: progress.executor,
        start_time: progress.start,
        completion_time: progress.completion,
        reached_commit: ended.and_then(|said| said.reached_commit).and_then(|commit| i64::try_from(commit).ok()),
        reached_time: ended.and_then(|said| said.reached_time).map(|time| Time(second(time))),
        conditions: render(&known.conditions, vec![progress.set], at),
    }
}

/// What a sidecar says of a run that is over.
fn end(seen: Seen<'_>) -> Option<&RunReport> {
    match seen {
        Seen::Assigned { said, .. } => said.filter(|said| said.succeeded.is_some()),
        Seen::Unassigned(..) => None,
    }
}

fn progress(before: Before<'_>, deadline_seconds: i32, seen: Seen<'_>, at: At) -> Progress {
    let start = before.start.map_or_else(|| second(at.now), |start| start.0);
    let late = at.now.duration_since(start) - SignedDuration::from_secs(deadline_seconds.into());
    let (executor, set, completed) = match seen {
        Seen::Unassigned(reason, message, true) => (None, no(reason, message), Some(at.now)),
        Seen::Unassigned(_, message, false) if late > SignedDuration::ZERO => {
            (None, no(reason::DEADLINE_EXCEEDED, format!("not within {deadline_seconds} s: {message}")), Some(at.now))
        }
        Seen::Unassigned(reason, message, false) => (None, unknown(reason, message), None),
        Seen::Assigned { executor, said: None } if late > SILENCE => {
            let message = format!(
                "{executor} did not say a word about it within {deadline_seconds} s: see the log of its container `sidecar`"
            );
            (
                Some(Executor { id: executor.to_owned(), heartbeat_time: None }),
                no(reason::DEADLINE_EXCEEDED, message),
                Some(at.now),
            )
        }
        Seen::Assigned { executor, said: None } => {
            let message = format!("{executor} has yet to begin");
            (Some(Executor { id: executor.to_owned(), heartbeat_time: None }), unknown(reason::PENDING, message), None)
        }
        Seen::Assigned { executor, said: Some(said) } => assigned(before, executor, said, at),
    };
    Progress { executor, start: Some(Time(start)), completion: completed.map(|time| Time(second(time))), set }
}

fn assigned(
    before: Before<'_>,
    executor: &str,
    said: &RunReport,
    at: At,
) -> (Option<Executor>, Set, Option<Timestamp>) {
    let beat = before.executor.filter(|known| known.id == executor).and_then(|known| known.heartbeat_time.as_ref());
    let due = beat.is_none_or(|beat| said.heartbeat.duration_since(beat.0) >= BEAT);
    let over = said.succeeded.is_some();
    let heartbeat = if due || over { Time(second(said.heartbeat)) } else { beat.cloned().unwrap_or(Time(at.now)) };
    let (done, all) = said.progress;
    let far = if all > 0 && !over { format!("; {done} of {all} bytes") } else { String::new() };
    let mut set =
        Set::new(conditions::SUCCEEDED, said.succeeded, said.reason.clone(), format!("{}{far}", said.message));
    if !due && !over {
        super::keep_messages(before.conditions, std::slice::from_mut(&mut set), at);
    }
    let completed = over.then(|| said.completed.unwrap_or(at.now));
    (Some(Executor { id: executor.to_owned(), heartbeat_time: Some(heartbeat) }), set, completed)
}

fn no(reason: &'static str, message: impl Into<String>) -> Set {
    Set::no(conditions::SUCCEEDED, reason, message)
}

fn unknown(reason: &'static str, message: impl Into<String>) -> Set {
    Set::unknown(conditions::SUCCEEDED, reason, message)
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
