//! What this process knows of its own work, and how it says so.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use control::report::{Finding, PolicyReport, Trouble};
use files::FilesError;
use jiff::{SignedDuration, Timestamp};
use model::MailboxId;
use model::backup::Policy;

use super::claim::Claimed;
use crate::assemble::AssembleError;
use crate::bucket::{BucketError, Refusal};
use crate::ship::ShipError;

/// A gap or fork is told for so long; the archive's manifests keep it for ever.
const TOLD_FOR: SignedDuration = SignedDuration::from_hours(24);
/// Troubles that are told at once.
const TROUBLES_MOST: usize = 200;

/// How one destination fares.
#[derive(Debug, Default)]
pub struct Standing {
    /// Whether this process may write there; none = it has not found out yet.
    pub claimed: Option<Result<Claimed, Failure>>,
    /// The failure since the last success, if any.
    pub failing: Option<Failure>,
    /// The owner marker could not be looked at the last time.
    pub unanswered: bool,
    /// End of the last upload that went well.
    pub last_upload: Option<Timestamp>,
    /// When the newest snapshot was made.
    pub last_snapshot: Option<Timestamp>,
    /// End of the last retention of a mailbox that went well.
    pub last_retention: Option<Timestamp>,
    /// Why retention failed, where it did since.
    pub not_retained: Option<Failure>,
}

/// Why something fails, in the vocabulary of conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// One word.
    pub reason: &'static str,
    /// For people, with the next step.
    pub message: String,
}

impl Failure {
    /// True if it is about one mailbox's archive: that others go well says nothing about it.
    pub fn is_of_one(&self) -> bool {
        matches!(self.reason, "ForeignWriter" | "Damaged" | "Failed")
    }
}

/// What was measured of a destination's mailboxes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Measured {
    /// The oldest commit that is not archived.
    pub oldest: Option<Timestamp>,
    /// Bytes that wait.
    pub pending: u64,
    /// Mailboxes under the policy.
    pub mailboxes: u64,
    /// When the next snapshot is due, or was.
    pub next_snapshot: Option<Timestamp>,
    /// Snapshots that are due.
    pub queued: u64,
}

impl Measured {
    /// Age of the oldest commit that is not archived.
    pub fn lag(&self, now: Timestamp) -> u64 {
        self.oldest.map_or(0, |oldest| now.duration_since(oldest).as_secs().max(0) as u64)
    }

    /// How long a snapshot has been waiting that was met once before; 0 = none.
    pub fn overdue(&self, now: Timestamp) -> u64 {
        self.next_snapshot.map_or(0, |next| now.duration_since(next).as_secs().max(0) as u64)
    }
}

impl Standing {
    /// As it is reported.
    pub fn report(&self, policy: &Policy, measured: Measured, now: Timestamp) -> PolicyReport {
        let lag = measured.lag(now);
        let within = lag <= u64::from(policy.max_lag_seconds);
        let within_rpo = if within {
            finding(Some(true), "WithinLag", String::new())
        } else {
            let message = format!("commits wait for the archive longer than {} s", policy.max_lag_seconds);
            finding(Some(false), "Behind", message)
        };
        PolicyReport {
            reachable: self.reachable(),
            within_rpo,
            retention: self.retention(),
            verified: finding(None, "NotRunYet", String::new()),
            lag_seconds: lag,
            pending_bytes: measured.pending,
            mailboxes: measured.mailboxes,
            last_upload: self.last_upload,
            last_snapshot: self.last_snapshot,
            next_snapshot: measured.next_snapshot,
            queued: measured.queued,
            last_retention: self.last_retention,
            last_verify: None,
        }
    }

    fn retention(&self) -> Finding {
        match (&self.not_retained, self.last_retention) {
            (Some(failure), _) => finding(Some(false), "RetentionFailed", failure.message.clone()),
            (None, Some(_)) => finding(Some(true), "Enforced", String::new()),
            (None, None) => finding(None, "NotRunYet", String::new()),
        }
    }

    fn reachable(&self) -> Finding {
        let failed = |failure: &Failure| finding(Some(false), failure.reason, failure.message.clone());
        match (&self.claimed, &self.failing) {
            (None, _) => finding(None, "Pending", String::new()),
            (Some(Err(failure)), _) | (Some(Ok(Claimed::Ours)), Some(failure)) => failed(failure),
            (Some(Ok(Claimed::Ours)), None) => finding(Some(true), "Reachable", String::new()),
            (Some(Ok(refused)), _) => {
                let (reason, message) = refusal(refused);
                finding(Some(false), reason, message)
            }
        }
    }
}

/// Why nothing is written.
pub fn refusal(claimed: &Claimed) -> (&'static str, String) {
    match claimed {
        Claimed::Ours => ("Reachable", String::new()),
        Claimed::Clone { volume } => (
            "IdentityMismatch",
            format!("volume {volume} archives this shard under the same term: one of the two is a clone; stop it"),
        ),
        Claimed::Superseded { term } => (
            "ForeignWriter",
            format!("term {term} owns this shard's archives: this process came back too late; stop it"),
        ),
        Claimed::Damaged { reason } => ("Damaged", format!("the owner marker cannot be read: {reason}")),
    }
}

/// One aspect of a policy.
pub fn finding(status: Option<bool>, reason: &str, message: String) -> Finding {
    Finding { status, reason: reason.to_owned(), message }
}

impl From<&ShipError> for Failure {
    fn from(error: &ShipError) -> Self {
        let reason = match error {
            ShipError::Bucket(error) | ShipError::Archive(AssembleError::Bucket(error)) => of_bucket(error),
            ShipError::Foreign { .. } => "ForeignWriter",
            ShipError::Archive(_) => "Damaged",
            ShipError::Staged { .. }
            | ShipError::Files(_)
            | ShipError::Restless { .. }
            | ShipError::Replaced { .. }
            | ShipError::Record { .. }
            | ShipError::State { .. } => "Failed",
        };
        Self { reason, message: message(&error.to_string(), error.hint()) }
    }
}

impl From<&AssembleError> for Failure {
    fn from(error: &AssembleError) -> Self {
        let reason = match error {
            AssembleError::Bucket(error) => of_bucket(error),
            AssembleError::Files(_) => "Failed",
            _ => "Damaged",
        };
        Self { reason, message: message(&error.to_string(), error.hint()) }
    }
}

impl From<&FilesError> for Failure {
    fn from(error: &FilesError) -> Self {
        Self { reason: "Failed", message: message(&error.to_string(), error.hint()) }
    }
}

fn message(text: &str, hint: Option<String>) -> String {
    hint.map_or_else(|| text.to_owned(), |hint| format!("{text}; {hint}"))
}

fn of_bucket(error: &BucketError) -> &'static str {
    match error {
        BucketError::Conflict { .. } => "ForeignWriter",
        BucketError::Refused { refusal, .. } => match refusal {
            Refusal::Denied => "AccessDenied",
            Refusal::NoBucket => "BucketNotFound",
            Refusal::Full => "BucketFull",
            Refusal::Clock => "ClockSkew",
            Refusal::Other => "BucketUnreachable",
        },
        BucketError::Files(FilesError::Io { source, .. }) => match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "BucketFull",
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => "AccessDenied",
            _ => "BucketUnreachable",
        },
        _ => "BucketUnreachable",
    }
}

/// What happened to archives, told for a while.
#[derive(Debug, Default)]
pub struct Troubles(BTreeMap<(MailboxId, &'static str), Trouble>);

impl Troubles {
    /// Something happened.
    pub fn add(&mut self, mailbox: MailboxId, reason: &'static str, message: String, now: Timestamp) {
        let trouble = Trouble { mailbox, reason: reason.to_owned(), message, since: now };
        self.0.insert((mailbox, reason), trouble);
    }

    /// What is to be told now, newest first.
    pub fn now(&mut self, now: Timestamp) -> Vec<Trouble> {
        self.0.retain(|_, trouble| now.duration_since(trouble.since) < TOLD_FOR);
        let mut all: Vec<Trouble> = self.0.values().cloned().collect();
        all.sort_by_key(|trouble| std::cmp::Reverse(trouble.since));
        all.truncate(TROUBLES_MOST);
        all
    }

    /// There is no such mailbox any more.
    pub fn forget(&mut self, mailbox: MailboxId) {
        self.0.retain(|(known, _), _| *known != mailbox);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use model::backup::{Destination, Retention};

    use super::*;

    fn policy() -> Policy {
        Policy {
            destination: Destination::Folder { path: "/b".to_owned() },
            max_lag_seconds: 10,
            snapshots: None,
            retention: Retention { window_days: 1, keep_last: 1, daily: 0, weekly: 0, monthly: 0 },
            verify: None,
        }
    }

    #[test]
    fn a_report_says_what_keeps_mail_from_the_bucket() {
        let now = Timestamp::from_second(1000).unwrap();
        let late = Measured { oldest: Some(Timestamp::from_second(985).unwrap()), ..Measured::default() };
        let away = Failure { reason: "BucketUnreachable", message: "no".to_owned() };
        let cases = [
            (None, None, Measured::default(), None, "Pending", Some(true)),
            (Some(Ok(Claimed::Ours)), None, Measured::default(), Some(true), "Reachable", Some(true)),
            (Some(Ok(Claimed::Ours)), Some(away.clone()), late, Some(false), "BucketUnreachable", Some(false)),
            (Some(Err(away)), None, late, Some(false), "BucketUnreachable", Some(false)),
            (Some(Ok(Claimed::Clone { volume: "v".into() })), None, late, Some(false), "IdentityMismatch", Some(false)),
            (
                Some(Ok(Claimed::Superseded { term: model::Term(2) })),
                None,
                late,
                Some(false),
                "ForeignWriter",
                Some(false),
            ),
        ];
        for (claimed, failing, measured, reachable, reason, within) in cases {
            let standing = Standing { claimed, failing, ..Standing::default() };
            let report = standing.report(&policy(), measured, now);
            assert_eq!((report.reachable.status, report.reachable.reason.as_str()), (reachable, reason));
            assert_eq!(report.within_rpo.status, within, "{report:?}");
        }
        assert_eq!(late.lag(now), 15);
    }

    #[test]
    fn a_refusal_is_told_by_what_there_is_to_do() {
        let cases = [
            (Refusal::Denied, "AccessDenied", "credentials"),
            (Refusal::NoBucket, "BucketNotFound", "make the bucket"),
            (Refusal::Full, "BucketFull", "quota"),
            (Refusal::Clock, "ClockSkew", "clock"),
            (Refusal::Other, "BucketUnreachable", "endpoint"),
        ];
        for (refusal, reason, hint) in cases {
            let error = BucketError::Refused { action: "put", key: "k".into(), refusal, reason: "no".into() };
            let failure = Failure::from(&AssembleError::from(error));
            assert_eq!(failure.reason, reason);
            assert!(failure.message.contains(hint), "{}", failure.message);
        }
    }

    #[test]
    fn a_gap_is_told_for_a_day() {
        let (id, then) = (MailboxId::from_random([1; 17]), Timestamp::from_second(1000).unwrap());
        let mut troubles = Troubles::default();
        troubles.add(id, "Gap", "lost".to_owned(), then);
        assert_eq!(troubles.now(then + SignedDuration::from_hours(23)).len(), 1);
        assert_eq!(troubles.now(then + SignedDuration::from_hours(24)).len(), 0);
    }
}
