//! Snapshots by schedule: SNAPSHOT at the primary, the copy into the bucket, then its name into the archive.
//!
//! * What takes long, copying and uploading, is done beside the turns of the mailbox: its commits go on being shipped.
//!   Naming it is part of a turn, because one turn at a time has a mailbox's state.
//! * A locked mailbox gets a base of what was written since its last one instead, and a snapshot as soon as its owner comes.
//! * Of what did not change since the last snapshot none is made.
//!
//! What a crash leaves: a copy in `staging/`. The primary makes one copy at a time, so when it has answered whatever else is
//! there is a leftover, and is removed; and the snapshot is asked for again, because it was not recorded.

mod queue;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use control::{Snapshot, SnapshotRequest};
use files::fault;
use jiff::{SignedDuration, Timestamp};
use model::cron::Cron;
use model::{Class, MailboxId};

use super::board::Failure;
use super::run::Sidecar;
use super::turn::Snapped;
use super::work::Job;
use super::{Client, ClientError};
use crate::format::SnapshotRecord;
use crate::ship::{MailboxState, ShipError, Shipper, Uploaded};

pub use queue::{Queue, Wish};

/// What the primary's copies begin with.
const PREFIX: &str = "snapshot-";
/// Longer than a first commit waits for others.
const SHIPPED_WITHIN: Duration = Duration::from_secs(10);

/// What came of asking for one.
#[derive(Debug)]
pub enum Taken {
    /// Its file is in the bucket.
    Uploaded(Box<Uploaded>),
    /// Nothing was committed since the last one.
    Unchanged,
    /// The key is not at the primary.
    Locked,
    /// There is no such mailbox.
    Gone,
    /// It could not be had just now, and nothing is wrong.
    Soon,
    /// It failed.
    Failed(Failure),
}

/// Asks for one, and uploads it.
pub struct Take {
    pub mailbox: MailboxId,
    pub client: Client,
    pub shipper: Arc<Shipper>,
    pub staging: PathBuf,
    /// It is being shipped, or will be within seconds.
    pub begins: bool,
}

impl Take {
    /// Does it.
    pub async fn take(self) -> Taken {
        let state = match self.shipper.remembered(self.mailbox).await {
            Ok(Some(state)) => state,
            // Its archive has not begun: it will in a moment, or there is nothing that could be in it.
            Ok(None) if self.begins => return Taken::Soon,
            Ok(None) => return Taken::Locked,
            Err(error) => return Taken::Failed(Failure::from(&error)),
        };
        let since = Timestamp::now();
        let unless = state.last_snapshot().map(|last| last.commit);
        let answer = self.client.snapshot(&SnapshotRequest { mailbox: self.mailbox, unless }).await;
        if let Err(ClientError::Refused { status: 423 | 507, .. }) = &answer {
            // It looks for the key, and for room, only where no other copy is being made.
            sweep(&self.staging, None);
        }
        match answer {
            Ok(made) => {
                self.upload(&state, made, since).await.unwrap_or_else(|error| Taken::Failed(Failure::from(&error)))
            }
            Err(ClientError::Refused { status: 423, .. }) => Taken::Locked,
            Err(ClientError::Refused { status: 404, .. }) => Taken::Gone,
            Err(ClientError::Refused { status: 507, error }) => {
                let message = format!("{error}; make room on the volume, or give it more: spec.storage.size");
                Taken::Failed(Failure { reason: "NoSpace", message })
            }
            Err(error) if error.class() == Class::Transient => Taken::Soon,
            Err(error) => Taken::Failed(Failure { reason: "Failed", message: error.to_string() }),
        }
    }

    async fn upload(&self, state: &MailboxState, made: Snapshot, since: Timestamp) -> Result<Taken, ShipError> {
        fault::point("snapshot.made.after");
        let file = made.file.as_deref().filter(|name| name.starts_with(PREFIX) && !name.contains('/'));
        sweep(&self.staging, file);
        let Some(file) = file else { return Ok(Taken::Unchanged) };
        let staged = Staged(self.staging.join(file));
        let Ok(sha256) = made.sha256.parse() else { return Err(ShipError::Staged { path: staged.0.clone() }) };
        let record = SnapshotRecord {
            commit: made.commit,
            since,
            time: whole_second(Timestamp::now()),
            size: made.size,
            sha256,
            schema: made.schema,
            messages: made.messages,
        };
        let uploaded = self.shipper.upload_snapshot(&state.archive, record, &staged.0).await?;
        Ok(Taken::Uploaded(Box::new(uploaded)))
    }
}

/// A copy that is removed whatever becomes of it.
struct Staged(PathBuf);

impl Drop for Staged {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, path = %self.0.display(), "a copy that is not needed any more stays");
        }
    }
}

/// Removes what earlier snapshots left in `staging`, all but `keep`.
fn sweep(staging: &Path, keep: Option<&str>) {
    // What is not found now is found the next time.
    for entry in fs::read_dir(staging).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX) && Some(*name) != keep) else { continue };
        drop(Staged(staging.join(name)));
    }
}

/// The next full second: nothing that was committed before is later than that.
fn whole_second(time: Timestamp) -> Timestamp {
    let full = Timestamp::from_second(time.as_second()).unwrap_or(time);
    if full < time { full + SignedDuration::from_secs(1) } else { full }
}

impl Sidecar {
    /// The schedule that a mailbox has.
    fn snapshot_schedule(&self, mailbox: MailboxId) -> Option<&Cron> {
        self.policies.of(mailbox).and_then(|(name, _)| self.schedules.snapshots(name))
    }

    /// Policies are others now.
    pub fn reschedule_snapshots(&mut self) {
        let mut queue = std::mem::take(&mut self.snapshots);
        queue.reschedule(|mailbox| self.snapshot_schedule(mailbox), Timestamp::now());
        self.snapshots = queue;
    }

    /// Begins the next one that is due.
    pub fn start_snapshot(&mut self) {
        if let Some(running) = self.snapshots.running().filter(|running| self.policies.of(*running).is_none()) {
            self.snapshots.forget(running);
        }
        // Mail comes first where space is short; the WALs are being folded in.
        if self.tight {
            return;
        }
        let Some(mailbox) = self.snapshots.next(Timestamp::now(), |mailbox| self.may(mailbox)) else { return };
        let Some(shipper) = self.shipper_of(mailbox) else { return };
        self.snapshots.start(mailbox);
        self.begin_asked(mailbox);
        let staging = self.config.data.join("staging");
        let begins = self.agenda.is_busy(self.now() + SHIPPED_WITHIN, |other| other == mailbox);
        let take = Take { mailbox, client: self.client.clone(), shipper, staging, begins };
        self.errands.spawn(async move { Job::Snapshot { mailbox, taken: take.take().await } });
    }

    /// It is made or refused: the rest is for a turn.
    pub fn finish_snapshot(&mut self, mailbox: MailboxId, taken: Taken) {
        // Nobody takes a turn for it any more; what was uploaded goes with everything else.
        let taken = if self.runs.is_purging(mailbox) { Taken::Gone } else { taken };
        let wish = match taken {
            Taken::Uploaded(uploaded) => Wish::Note(uploaded),
            Taken::Unchanged => Wish::Unchanged,
            Taken::Locked => Wish::Base,
            Taken::Gone => {
                let message = format!("{mailbox} is not a mailbox of this shard");
                self.answer_asked(mailbox, &Err(Failure { reason: "MailboxNotFound", message }));
                return self.snapshots.forget(mailbox);
            }
            Taken::Soon => return self.snapshots.failed(mailbox, Timestamp::now(), true),
            Taken::Failed(failure) => return self.fail_snapshot(mailbox, failure),
        };
        self.snapshots.want(mailbox, wish);
        self.agenda.note(mailbox, None, self.now());
    }

    fn fail_snapshot(&mut self, mailbox: MailboxId, failure: Failure) {
        let now = Timestamp::now();
        tracing::warn!(%mailbox, error = %failure.message, "no snapshot was made; trying again later");
        self.metrics.snapshot_failed();
        self.troubles.add(mailbox, "SnapshotFailed", failure.message.clone(), now);
        self.answer_asked(mailbox, &Err(failure));
        self.snapshots.failed(mailbox, now, false);
    }

    /// What a turn did about it, and what its state says of the schedule.
    pub fn hear_snapshot(&mut self, mailbox: MailboxId, snapped: Option<Snapped>) {
        let now = Timestamp::now();
        let state = self.known.get(&mailbox).and_then(|known| known.state.as_ref());
        let (met, last) =
            (state.map(MailboxState::met), state.and_then(|state| state.last_snapshot().map(|it| it.time)));
        let name = self.policies.of(mailbox).map(|(name, _)| name.to_owned());
        if let Some(destination) = name.and_then(|name| self.destinations.get_mut(&name)) {
            destination.standing.last_snapshot = destination.standing.last_snapshot.max(last);
        }
        let mut queue = std::mem::take(&mut self.snapshots);
        let cron = self.snapshot_schedule(mailbox);
        if let Some(met) = met {
            queue.learn(mailbox, met, cron, now);
        }
        if snapped.as_ref().is_some_and(|snapped| *snapped != Snapped::Lost) {
            queue.done(mailbox, cron, now);
        }
        self.snapshots = queue;
        let archive = self.known.get(&mailbox).and_then(|known| Some(known.state.as_ref()?.archive.clone()));
        if let (Some(snapped), Some(archive)) = (snapped.clone().filter(|it| *it != Snapped::Lost), archive) {
            self.answer_asked(mailbox, &Ok((archive, snapped)));
        }
        match snapped {
            None => {}
            Some(Snapped::Made(record)) => {
                tracing::info!(%mailbox, commit = record.commit, bytes = record.size, "a snapshot is in the bucket");
                self.metrics.snapshot_made(record.time);
            }
            Some(Snapped::Based(databases)) => {
                tracing::debug!(%mailbox, ?databases, "locked: bases instead of a snapshot");
                self.metrics.snapshot_based();
            }
            Some(Snapped::Unchanged) => self.metrics.snapshot_skipped(),
            Some(Snapped::Lost) => {
                let message = "the archive has gone on in another way meanwhile".to_owned();
                self.fail_snapshot(mailbox, Failure { reason: "Failed", message });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_of_snapshots_go_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let names = ["snapshot-a-1.sqlite", "snapshot-a-1.sqlite-journal", "snapshot-b-2.sqlite", "a.sqlite"];
        for name in names {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        fs::create_dir(dir.path().join("restore")).unwrap();
        let left = || {
            let mut left: Vec<String> =
                fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
            left.sort();
            left
        };
        sweep(dir.path(), Some("snapshot-b-2.sqlite"));
        assert_eq!(left(), ["a.sqlite", "restore", "snapshot-b-2.sqlite"]);
        sweep(dir.path(), None);
        assert_eq!(left(), ["a.sqlite", "restore"]);
        sweep(&dir.path().join("none"), None);
    }

    #[test]
    fn a_snapshot_is_no_earlier_than_what_is_in_it() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(whole_second(time("2026-03-01T00:00:00.2Z")), time("2026-03-01T00:00:01Z"));
        assert_eq!(whole_second(time("2026-03-01T00:00:01Z")), time("2026-03-01T00:00:01Z"));
    }
}
