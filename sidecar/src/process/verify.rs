//! Restores tried out by schedule, of a few mailboxes at a time, all of them in turn.
//!
//! * At a policy's times, one policy at a time; missed times once. A policy that was never tried out is as soon as all that
//!   it has is archived, so that nobody waits a week to hear that nothing can be restored.
//! * What failed is tried again after an hour, and is reported until it goes well.
//!
//! What a crash leaves: a folder in `staging/`, which the next start removes.

mod book;
mod rehearsal;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use control::report::Finding;
use jiff::{SignedDuration, Timestamp};
use model::MailboxId;

use super::board::finding;
use super::run::{Destination, Sidecar};
use super::scan::folder_of;
use super::work::Job;
use crate::ship::MailboxState;

use book::Book;
use rehearsal::Rehearsal;
pub use rehearsal::Verdict;

/// What failed is tried again after so long.
const AGAIN: SignedDuration = SignedDuration::from_hours(1);
/// What could not be found out, after so long.
const LATER: SignedDuration = SignedDuration::from_mins(10);
/// A first rehearsal waits no longer for a quiet moment.
const SETTLED: Duration = Duration::from_mins(10);

/// What was tried out, and what is next.
#[derive(Debug)]
pub struct Rehearsals {
    book: Book,
    path: PathBuf,
    /// When each policy is next; those that were never through are not here.
    due: BTreeMap<String, Timestamp>,
    /// Mailboxes of which something is archived.
    archived: BTreeSet<MailboxId>,
    running: Option<String>,
    /// Those that are being tried out.
    at: BTreeSet<MailboxId>,
}

impl Rehearsals {
    /// With what is remembered. Leftovers of the process before go. Blocking.
    pub fn open(sidecar: &Path, staging: &Path) -> Self {
        rehearsal::sweep(staging);
        let path = sidecar.join("verified.json");
        let (due, archived, running, at) = (BTreeMap::new(), BTreeSet::new(), None, BTreeSet::new());
        Self { book: Book::load(&path), path, due, archived, running, at }
    }

    /// True while a mailbox is tried out, or is about to be.
    pub fn is_at(&self, mailbox: MailboxId) -> bool {
        self.at.contains(&mailbox)
    }
}

impl Sidecar {
    /// Policies are others now.
    pub fn reschedule_rehearsals(&mut self) {
        self.rehearsals.due.clear();
        for name in self.policies.policies.keys() {
            let (cron, last) = (self.schedules.verify(name), self.rehearsals.book.last(name));
            if let Some(next) = cron.zip(last).and_then(|(cron, last)| cron.next(last)) {
                self.rehearsals.due.insert(name.clone(), next);
            }
        }
    }

    /// Begins what is due.
    pub fn start_rehearsal(&mut self) {
        if self.rehearsals.running.is_some() || self.tight {
            return;
        }
        let now = Timestamp::now();
        let due = self.policies.policies.keys().find(|name| self.is_rehearsal_due(name, now)).cloned();
        let Some(name) = due else { return };
        let of = |mailbox: &MailboxId| {
            let named = self.policies.of(*mailbox).is_some_and(|(of, _)| of == name);
            named && !self.runs.is_purging(*mailbox)
        };
        let chosen = self.rehearsals.book.choose(self.rehearsals.archived.iter().copied().filter(of));
        let Some(shipper) = self.destinations.get(&name).map(|it| it.shipper.clone()) else { return };
        let rehearsals = chosen.into_iter().map(|mailbox| Rehearsal {
            mailbox,
            folder: folder_of(&self.mailboxes, mailbox),
            shipper: shipper.clone(),
            staging: self.config.data.join("staging"),
            floor: self.config.tuning.floor_bytes,
        });
        let rehearsals: Vec<Rehearsal> = rehearsals.collect();
        self.rehearsals.running = Some(name.clone());
        self.rehearsals.at = rehearsals.iter().map(|rehearsal| rehearsal.mailbox).collect();
        self.errands.spawn(async move {
            let mut verdicts = Vec::with_capacity(rehearsals.len());
            for rehearsal in rehearsals {
                verdicts.push((rehearsal.mailbox, rehearsal.carry_out().await));
            }
            Job::Rehearsed { policy: name, verdicts }
        });
    }

    fn is_rehearsal_due(&self, name: &str, now: Timestamp) -> bool {
        let claimed = self.destinations.get(name).is_some_and(Destination::is_ours);
        if !claimed || self.schedules.verify(name).is_none() {
            return false;
        }
        let of = |mailbox: MailboxId| self.policies.of(mailbox).is_some_and(|(of, _)| of == name);
        if let Some(due) = self.rehearsals.due.get(name) {
            return *due <= now;
        }
        let quiet = self.now() > SETTLED || !self.agenda.is_busy(self.now(), of);
        quiet && self.rehearsals.archived.iter().any(|mailbox| of(*mailbox))
    }

    /// What came of it.
    pub fn finish_rehearsal(&mut self, policy: &str, verdicts: Vec<(MailboxId, Verdict)>) {
        let now = Timestamp::now();
        self.rehearsals.running = None;
        self.rehearsals.at.clear();
        let (mut later, mut broken) = (None, false);
        for (mailbox, verdict) in verdicts {
            match verdict {
                Verdict::Whole { compared } => {
                    tracing::debug!(%mailbox, compared, "it can be restored");
                    self.metrics.rehearsed(now);
                    self.rehearsals.book.note(mailbox, now, None);
                }
                Verdict::Broken(message) => {
                    tracing::error!(%mailbox, error = %message, "a restore was tried out and failed");
                    self.metrics.rehearsal_failed();
                    self.rehearsals.book.note(mailbox, now, Some(message));
                    broken = true;
                }
                Verdict::Later(message) => later = Some(message),
                Verdict::Nothing => {
                    self.rehearsals.archived.remove(&mailbox);
                    self.rehearsals.book.forget(mailbox);
                }
            }
        }
        let scheduled = self.schedules.verify(policy).and_then(|cron| cron.next(now));
        let next = if let Some(message) = &later {
            tracing::warn!(policy, error = %message, "restores could not be tried out; trying again later");
            Some(now + LATER)
        } else {
            self.rehearsals.book.through(policy, now);
            scheduled.map(|next| if broken { next.min(now + AGAIN) } else { next })
        };
        if let Some(next) = next {
            self.rehearsals.due.insert(policy.to_owned(), next);
        }
        self.save_rehearsals();
        self.tell();
    }

    /// There is no such mailbox any more.
    pub fn forget_rehearsals(&mut self, mailbox: MailboxId) {
        self.rehearsals.archived.remove(&mailbox);
        self.rehearsals.book.forget(mailbox);
        self.save_rehearsals();
    }

    fn save_rehearsals(&mut self) {
        let (book, path) = (self.rehearsals.book.clone(), self.rehearsals.path.clone());
        self.jobs.spawn_blocking(move || {
            if let Err(error) = book.save(&path) {
                tracing::warn!(%error, "what was tried out is not written down");
            }
            Job::Saved
        });
    }

    /// A mailbox had a turn.
    pub fn hear_rehearsal(&mut self, mailbox: MailboxId) {
        let state = self.known.get(&mailbox).and_then(|known| known.state.as_ref());
        if state.is_some_and(|state: &MailboxState| state.mailbox.is_some() || state.spool.is_some()) {
            self.rehearsals.archived.insert(mailbox);
        }
    }

    /// What is reported of a policy: whether what was tried out could be restored, and when that was.
    pub fn verified(&self, policy: &str) -> (Finding, Option<Timestamp>) {
        let of = |mailbox: MailboxId| self.policies.of(mailbox).is_some_and(|(of, _)| of == policy);
        let mut failures = self.rehearsals.book.failures().filter(|(mailbox, _)| of(*mailbox));
        let last = self.rehearsals.book.last(policy);
        let verified = match (failures.next(), last) {
            (Some((mailbox, why)), _) => {
                let more = failures.count();
                let others = if more == 0 { String::new() } else { format!("; and {more} more: see the log") };
                finding(Some(false), "VerifyFailed", format!("mailbox {mailbox} cannot be restored: {why}{others}"))
            }
            (None, Some(_)) => finding(Some(true), "Restorable", String::new()),
            (None, None) => finding(None, "NotRunYet", String::new()),
        };
        (verified, last)
    }

    /// Seconds for which a rehearsal has been due.
    pub fn rehearsal_overdue(&self, now: Timestamp) -> u64 {
        let first = self.rehearsals.due.values().min();
        first.map_or(0, |due| now.duration_since(*due).as_secs().max(0) as u64)
    }
}
