//! What the loop sets going, and what it does when that has ended: turns, looks at the volume, claims, reports.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use control::report::{PolicyReport, Report};
use jiff::Timestamp;
use model::MailboxId;

use super::board::{Failure, Measured, Standing};
use super::claim::{Claim, Claimed, claim};
use super::metrics::Sample;
use super::run::{Destination, Known, Sidecar};
use super::scan::{Scanner, folder_of};
use super::snapshots::Taken;
use super::turn::{Done, Ended, Turn};
use super::verify::Verdict;
use crate::assemble::AssembleError;
use crate::ship::{MailboxState, ShipError, Shipper};

/// What is remembered of a mailbox stays in memory for so long after its last turn.
const KEEP: Duration = Duration::from_mins(2);
/// Owner markers are looked at again after so long: an old writer that came back notices it within that time.
const CLAIM_AGAIN: Duration = Duration::from_secs(30);
/// And after a failure.
const CLAIM_RETRY: Duration = Duration::from_secs(1);
/// Turns that run when the process is told to stop have so long to end.
const GRACE: Duration = Duration::from_secs(5);
/// A WAL that could not be folded in is tried again after so long.
const FOLD_AGAIN: Duration = Duration::from_mins(1);
/// Commits that come within this share of the lag are shipped together; the rest is for the upload.
const GATHER: u32 = 3;
/// But never longer: no mail waits for others half a minute.
const GATHER_MOST: Duration = Duration::from_secs(5);
/// Every mailbox has a turn so often, also where nothing changed.
const ALL_AGAIN: Duration = Duration::from_hours(6);
/// Mailboxes that a report names as waiting for their snapshots.
const QUEUE_MOST: usize = 1000;
/// The loop looks around at least so often.
const LOOK_AROUND: Duration = Duration::from_secs(1);

/// Something that was done beside the loop.
pub enum Job {
    /// The volume was looked at.
    Scanned { scanner: Scanner, changed: io::Result<Vec<MailboxId>>, outbox_bytes: u64, tight: bool },
    /// An owner marker was looked at.
    Claimed { policy: String, shipper: Arc<Shipper>, result: Result<Claimed, AssembleError> },
    /// What is remembered was written.
    Saved,
    /// A snapshot was asked for.
    Snapshot { mailbox: MailboxId, taken: Taken },
    /// Restores were tried out.
    Rehearsed { policy: String, verdicts: Vec<(MailboxId, Verdict)> },
}

/// How long the first commit of a mailbox may wait for others.
pub fn patience(lag: Duration) -> Duration {
    (lag / GATHER).min(GATHER_MOST)
}

impl Sidecar {
    /// True if the mailbox's destination is ours to write to, and it is not being purged.
    pub fn may(&self, mailbox: MailboxId) -> bool {
        if self.runs.is_purging(mailbox) {
            return false;
        }
        let destination = self.policies.of(mailbox).and_then(|(name, _)| self.destinations.get(name));
        destination.is_some_and(Destination::is_ours)
    }

    /// What ships a mailbox.
    pub fn shipper_of(&self, mailbox: MailboxId) -> Option<Arc<Shipper>> {
        self.policies.of(mailbox).and_then(|(name, _)| Some(self.destinations.get(name)?.shipper.clone()))
    }

    /// How long there is nothing to do.
    pub fn wake(&self) -> Duration {
        if self.agenda.running() >= self.config.tuning.turns {
            return LOOK_AROUND;
        }
        let next = self.agenda.wakes(|mailbox| self.may(mailbox));
        next.map_or(LOOK_AROUND, |due| due.saturating_sub(self.now()).min(LOOK_AROUND))
    }

    /// Starts what is due.
    pub fn start_turns(&mut self) {
        let now = self.now();
        loop {
            let mut agenda = std::mem::take(&mut self.agenda);
            let next = agenda.next(now, self.config.tuning.turns, |mailbox| self.may(mailbox));
            self.agenda = agenda;
            let Some(mailbox) = next else { return };
            match self.turn(mailbox, now) {
                Some(turn) => drop(self.turns.spawn(turn.take())),
                None => self.agenda.done(mailbox, None),
            }
        }
    }

    pub fn turn(&mut self, mailbox: MailboxId, now: Duration) -> Option<Turn> {
        let (name, policy) = self.policies.of(mailbox)?;
        let (wish, rules) = (self.snapshots.wish(mailbox), self.rules(mailbox, name, policy));
        let claim = self.claim()?;
        let shipper = self.destinations.get(name)?.shipper.clone();
        let known = self.known.entry(mailbox).or_default();
        let destination = shipper.destination();
        let state = known.state.take().filter(|state: &MailboxState| state.destination == destination);
        let ages = known.filled.iter().map(|(file, since)| (*file, now.saturating_sub(*since))).collect();
        Some(Turn {
            mailbox,
            folder: folder_of(&self.mailboxes, mailbox),
            shipper,
            client: self.client.clone(),
            tuning: self.config.tuning,
            state,
            // What comes during the turn is kept beside it.
            told: known.told.clone(),
            ages,
            tight: self.tight,
            outbox_full: self.outbox_bytes > self.config.tuning.outbox_bytes,
            wish,
            rules,
            claim,
        })
    }

    /// A turn is over.
    pub fn finish(&mut self, ended: Ended) {
        let (now, clock, mailbox) = (self.now(), Timestamp::now(), ended.mailbox);
        let known = self.known.entry(mailbox).or_default();
        (known.state, known.used) = (ended.state, now);
        for (database, commit) in ended.forgotten {
            known.told.forget(database, commit);
        }
        known.told.unnumbered |= ended.unnumbered;
        let name = self.policies.of(mailbox).map(|(name, _)| name.to_owned());
        let destination = name.as_ref().and_then(|name| self.destinations.get_mut(name));
        match ended.result {
            Ok(mut done) => {
                if let Some(destination) = destination {
                    destination.standing.hear(&done, clock);
                }
                self.hear_rehearsal(mailbox);
                self.hear_retention(mailbox, done.retained.as_ref());
                self.hear_snapshot(mailbox, done.snapshot.take());
                self.metrics.turned(done.uploaded, done.folded, clock);
                let again = fill(self.known.entry(mailbox).or_default(), &done, now, self.config.tuning.fold_seconds);
                self.agenda.done(mailbox, again);
                if done.uploaded > 0 {
                    self.take_back(name.as_deref().unwrap_or_default(), false);
                }
                self.hear_troubles(mailbox, done.troubles, clock);
                self.untold.add(&done.archived);
            }
            Err(error) => {
                let failure = Failure::from(&error);
                self.metrics.failed();
                self.agenda.failed(mailbox, now);
                if let Some(destination) = destination {
                    if destination.standing.failing.as_ref().map(|known| known.reason) != Some(failure.reason) {
                        tracing::warn!(%mailbox, error = %failure.message, "the archive does not come forward; trying again");
                    }
                    destination.standing.failing = Some(failure);
                    if matches!(error, ShipError::Bucket(_)) {
                        // Mailboxes wait longer and longer; that the bucket is there again is seen sooner.
                        destination.claim_at = destination.claim_at.map(|at| at.min(now + CLAIM_RETRY));
                    }
                }
            }
        }
    }

    /// Something went well: what failed before is over, unless that says nothing of it and mailboxes still fail. `alone` = all
    /// that went well is the owner marker, as it did before.
    fn take_back(&mut self, policy: &str, alone: bool) {
        let of = |mailbox: MailboxId| self.policies.of(mailbox).is_some_and(|(name, _)| name == policy);
        let fails = self.agenda.is_failing(of);
        let Some(Destination { standing, .. }) = self.destinations.get_mut(policy) else { return };
        let Some(failing) = &standing.failing else { return };
        if !fails || !(failing.is_of_one() || alone) {
            standing.failing = None;
        }
    }

    fn hear_troubles(&mut self, mailbox: MailboxId, troubles: Vec<(&'static str, String)>, now: Timestamp) {
        for (reason, message) in troubles {
            tracing::warn!(%mailbox, reason, message, "something happened to an archive");
            self.troubles.add(mailbox, reason, message, now);
        }
    }

    /// Looks at the volume, unless that is being done.
    pub fn start_scan(&mut self) {
        if self.shard.is_none() || self.policies.policies.is_empty() {
            return;
        }
        let Some(mut scanner) = self.scanner.take() else { return };
        // A look finds out what no notice told of.
        self.afresh |= self.now().saturating_sub(self.looked_at_all) > ALL_AGAIN;
        if std::mem::take(&mut self.afresh) {
            self.looked_at_all = self.now();
            scanner = Scanner::default();
        }
        let (mailboxes, outbox) = (self.mailboxes.clone(), self.outbox.clone());
        let floor = self.config.tuning.floor_bytes;
        self.jobs.spawn_blocking(move || {
            let changed = scanner.changed(&mailboxes);
            let free = rustix::fs::statvfs(&mailboxes).map_or(u64::MAX, |fs| fs.f_bavail.saturating_mul(fs.f_frsize));
            Job::Scanned { scanner, changed, outbox_bytes: outbox.bytes().unwrap_or(0), tight: free < floor }
        });
    }

    /// Something beside the loop is done.
    pub fn finish_job(&mut self, job: Job) {
        match job {
            Job::Scanned { scanner, changed, outbox_bytes, tight } => {
                self.scanner = Some(scanner);
                (self.outbox_bytes, self.tight) = (outbox_bytes, tight);
                self.look_at(changed);
                self.forget_idle();
                if self.afresh {
                    self.start_scan();
                }
            }
            Job::Claimed { policy, shipper, result } => self.finish_claim(&policy, &shipper, result),
            Job::Saved => {}
            Job::Snapshot { mailbox, taken } => self.finish_snapshot(mailbox, taken),
            Job::Rehearsed { policy, verdicts } => self.finish_rehearsal(&policy, verdicts),
        }
    }

    fn look_at(&mut self, changed: io::Result<Vec<MailboxId>>) {
        let now = self.now();
        match changed {
            Ok(changed) => {
                let wanted =
                    |mailbox: &MailboxId| self.policies.of(*mailbox).is_some() && !self.runs.is_purging(*mailbox);
                let changed: Vec<MailboxId> = changed.into_iter().filter(wanted).collect();
                for mailbox in changed {
                    self.agenda.note(mailbox, None, now);
                }
            }
            Err(error) => tracing::warn!(%error, "the volume cannot be looked at"),
        }
    }

    /// Writes down and forgets what has not been needed for a while.
    fn forget_idle(&mut self) {
        let now = self.now();
        let idle = |known: &Known| known.state.is_some() && now.saturating_sub(known.used) > KEEP;
        let idle: Vec<MailboxId> = self.known.iter().filter(|(_, known)| idle(known)).map(|(id, _)| *id).collect();
        let states: Vec<MailboxState> =
            idle.iter().filter_map(|mailbox| self.known.get_mut(mailbox)?.state.take()).collect();
        // Those that have nothing else are forgotten altogether: idle mailboxes cost no memory.
        self.known
            .retain(|_, known| known.state.is_some() || known.wal_bytes > 0 || now.saturating_sub(known.used) <= KEEP);
        if !states.is_empty() {
            self.save(states);
        }
    }

    fn save(&mut self, states: Vec<MailboxState>) {
        let folder = self.states.clone();
        self.jobs.spawn_blocking(move || {
            for state in states {
                // Without it the bucket is listed once more.
                if let Err(error) = folder.save(&state) {
                    tracing::warn!(%error, "what is known of an archive was not written down");
                }
            }
            Job::Saved
        });
    }

    /// Looks at the owner markers that are due.
    pub fn start_claims(&mut self) {
        let now = self.now();
        let Some(ours) = self.claim() else { return };
        for (name, destination) in &mut self.destinations {
            if destination.claim_at.is_none_or(|at| at > now) {
                continue;
            }
            destination.claim_at = None;
            let (policy, shipper, ours) = (name.clone(), destination.shipper.clone(), ours.clone());
            self.jobs.spawn(async move {
                let result = claim(shipper.bucket.as_ref(), &shipper.root, &ours).await;
                Job::Claimed { policy, shipper, result }
            });
        }
    }

    /// What owner markers say, or should say.
    pub fn claim(&self) -> Option<Claim> {
        let shard = self.shard.as_ref()?;
        Some(Claim {
            server: shard.server.clone(),
            shard: shard.shard,
            volume: shard.volume.clone(),
            term: shard.term,
            run: self.run.clone(),
            signer: self.signer.clone(),
        })
    }

    fn finish_claim(&mut self, policy: &str, shipper: &Arc<Shipper>, result: Result<Claimed, AssembleError>) {
        let now = self.now();
        let Some(destination) = self.destinations.get_mut(policy) else { return };
        if !Arc::ptr_eq(&destination.shipper, shipper) {
            return;
        }
        let wait = if result.is_ok() { CLAIM_AGAIN } else { CLAIM_RETRY };
        destination.claim_at = Some(now + wait);
        let standing = &mut destination.standing;
        let is_back = std::mem::replace(&mut standing.unanswered, result.is_err()) && result.is_ok();
        match result.map_err(|error| Failure::from(&error)) {
            // A bucket that is away takes no right away; turns notice it themselves.
            Err(failure) if standing.claimed == Some(Ok(Claimed::Ours)) => standing.failing = Some(failure),
            claimed => {
                if claimed != Ok(Claimed::Ours) && standing.claimed.as_ref() != Some(&claimed) {
                    tracing::warn!(policy, ?claimed, "nothing is archived to this destination");
                }
                let again = standing.claimed.as_ref() != Some(&claimed) || is_back;
                standing.claimed = Some(claimed);
                self.take_back(policy, !is_back);
                if again {
                    self.agenda.retry(now);
                }
            }
        }
    }

    /// Reports to the primary.
    pub fn tell(&mut self) {
        let now = Timestamp::now();
        let mut sample = Sample::default();
        let mut policies = BTreeMap::new();
        for (name, destination) in &self.destinations {
            let of = |mailbox: MailboxId| self.policies.of(mailbox).is_some_and(|(of, _)| of == name);
            let (oldest, waiting) = self.agenda.oldest(of);
            let pending = self.known.iter().filter(|(id, known)| of(**id) && known.wal_bytes > 0);
            let pending: u64 = if oldest.is_some() { pending.map(|(_, known)| known.wal_bytes).sum() } else { 0 };
            let mailboxes = self.scanner.as_ref().map_or(0, |scanner| scanner.mailboxes().filter(|id| of(*id)).count());
            let measured = Measured {
                oldest,
                pending: pending + self.outbox_bytes,
                mailboxes: mailboxes as u64,
                next_snapshot: self.snapshots.upcoming(of),
                queued: self.snapshots.waiting(now).filter(|mailbox| of(*mailbox)).count() as u64,
            };
            let (verified, last_verify) = self.verified(name);
            let report = destination.standing.report(&destination.policy, measured, now);
            let report = PolicyReport { verified, last_verify, ..report };
            sample.lag = sample.lag.max(report.lag_seconds);
            sample.pending += measured.pending;
            sample.mailboxes += measured.mailboxes;
            sample.queued += measured.queued;
            sample.overdue = sample.overdue.max(measured.overdue(now));
            sample.waiting += waiting;
            sample.unreachable += u64::from(report.reachable.status == Some(false));
            policies.insert(name.clone(), report);
        }
        let troubles = self.troubles.now(now);
        sample.troubles = self.troubles.count() as u64;
        sample.unrehearsed = self.rehearsal_overdue(now);
        self.metrics.sample(sample);
        let (run, runs) = (self.run.clone(), self.runs.table.reports(now));
        let queue = self.snapshots.waiting(now).take(QUEUE_MOST).collect();
        self.report.send_replace(Some(Report { run, time: now, policies, troubles, runs, queue }));
    }

    /// Lets turns end, and writes down what is known.
    pub async fn end(mut self) {
        self.health.wait("the end of what it has begun");
        // What has come to its intent goes on with the next start, everything else begins anew.
        self.runs.works.shutdown().await;
        let end = tokio::time::Instant::now() + GRACE;
        while let Ok(Some(Ok(ended))) = tokio::time::timeout_at(end, self.turns.join_next()).await {
            self.finish(ended);
        }
        self.turns.shutdown().await;
        self.errands.shutdown().await;
        let states = self.known.values_mut().filter_map(|known| known.state.take()).collect();
        self.save(states);
        while self.jobs.join_next().await.is_some() {}
    }
}

impl Standing {
    /// A turn went well.
    fn hear(&mut self, done: &Done, now: Timestamp) {
        if done.uploaded > 0 {
            self.last_upload = Some(now);
        }
        match &done.retained {
            Some(Ok(_)) => (self.last_retention, self.not_retained) = (Some(now), None),
            Some(Err(error)) => self.not_retained = Some(Failure::from(error)),
            None => {}
        }
    }
}

/// Keeps in mind since when WALs have frames; answers when the mailbox wants its next turn although nothing may come.
fn fill(known: &mut Known, done: &Done, now: Duration, fold_seconds: u64) -> Option<Duration> {
    if done.more {
        return Some(now);
    }
    for (file, bytes) in &done.wal_bytes {
        if *bytes == 0 {
            known.filled.remove(file);
        } else {
            known.filled.entry(*file).or_insert(now);
        }
    }
    known.wal_bytes = done.wal_bytes.values().sum();
    let due = |since: &Duration| *since + Duration::from_secs(fold_seconds);
    let due = known.filled.values().map(due).min()?;
    Some(if done.refused { now + FOLD_AGAIN } else { due })
}
