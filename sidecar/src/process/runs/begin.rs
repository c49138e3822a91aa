//! What the loop does for runs: begins them, lends them turns, hears of their end.

use jiff::Timestamp;
use model::backup::{RestoreSource, RunKind};
use tokio::task::JoinError;

use super::super::backup::Backup;
use super::super::claim::Claim;
use super::super::restore::{Place, Restore};
use super::super::run::Sidecar;
use super::super::scan::folder_of;
use super::{Closed, Errand, Held, Record, Request, Ticket, Wish};

/// Runs at work at a time: each fills a folder of the volume.
const MOST: usize = 2;

impl Sidecar {
    /// These are wanted, and no others.
    pub fn want_runs(&mut self, wanted: &[control::RunAssignment]) {
        let gone = self.runs.table.want(wanted, Timestamp::now());
        self.runs.purging = self.runs.table.purging();
        self.forget_runs(gone);
    }

    /// Begins what is due.
    pub fn start_runs(&mut self) {
        // Before the primary was heard nothing can be said of buckets and mailboxes.
        let Some(claim) = self.claim() else { return };
        for launch in self.runs.table.begin(MOST) {
            let (id, errand) = (launch.record.run.id.clone(), self.errand(&launch.record, &claim));
            let ticket = Ticket::new(launch, self.runs.records.clone());
            tracing::info!(run = id, "a run begins");
            let task = self.runs.works.spawn(ticket.carry_out(errand));
            self.runs.ids.insert(task.id(), id);
        }
    }

    fn errand(&self, record: &Record, claim: &Claim) -> Errand {
        match &record.run.kind {
            RunKind::Backup { mailbox } => Errand::Backup(Backup { mailbox: *mailbox, desk: self.runs.desk.clone() }),
            RunKind::Purge { mailbox } => Errand::Purge(Box::new(self.purge(*mailbox, claim))),
            RunKind::Restore { source, at, target, in_place } => {
                let origin = match source {
                    RestoreSource::Mailbox(mailbox) => *mailbox,
                    RestoreSource::Archive(archive) => archive.mailbox,
                };
                Errand::Restore(Box::new(Restore {
                    server: self.config.server.clone(),
                    source: source.clone(),
                    origin,
                    at: *at,
                    target: *target,
                    in_place: *in_place,
                    places: self.places(origin),
                    desk: self.runs.desk.clone(),
                    client: self.client.clone(),
                    staging: self.runs.staging.clone(),
                    folder: folder_of(&self.mailboxes, *target),
                    floor: self.config.tuning.floor_bytes,
                    signer: self.signer.public(),
                }))
            }
        }
    }

    /// The buckets that may have a mailbox's archives, that of its policy first: it may have had another one.
    fn places(&self, mailbox: model::MailboxId) -> Vec<Place> {
        let first = self.policies.of(mailbox).map(|(name, _)| name);
        let (own, others): (Vec<_>, Vec<_>) =
            self.destinations.iter().partition(|(name, _)| Some(name.as_str()) == first);
        let shippers = own.into_iter().chain(others).map(|(_, it)| it.shipper.as_ref());
        shippers.map(|shipper| Place { bucket: shipper.bucket.clone(), root: shipper.root.clone() }).collect()
    }

    /// Somebody asks for something, or gives it back.
    pub fn hear_request(&mut self, request: Request) {
        match request {
            Request::Turn(wish) => self.runs.wishes.push(wish),
            Request::Back(ended) => self.finish(*ended),
            Request::Snapshot(mailbox, back) => self.ask_snapshot(mailbox, back),
            Request::Quiet(mailbox, back) => self.runs.quiets.push((mailbox, back)),
            Request::Flush(back) => self.untold.flush(back),
        }
    }

    /// Lends the turns that can be had now.
    pub fn lend_turns(&mut self) {
        for wish in std::mem::take(&mut self.runs.wishes) {
            let destination = self.policies.of(wish.mailbox).and_then(|(name, _)| self.destinations.get(name));
            let asking = destination.is_some_and(|it| it.standing.claimed.is_none());
            if asking {
                self.runs.wishes.push(wish);
            } else if !self.may(wish.mailbox) {
                answer(wish, None);
            } else if self.agenda.lend(wish.mailbox) {
                let turn = self.turn(wish.mailbox, self.now());
                if turn.is_none() {
                    self.agenda.done(wish.mailbox, None);
                }
                let held = turn.map(|turn| self.runs.desk.lend(turn));
                answer(wish, held);
            } else {
                self.runs.wishes.push(wish);
            }
        }
    }

    /// The work of a run is over.
    pub fn finish_run(&mut self, ended: Result<(tokio::task::Id, Closed), JoinError>) {
        let (task, closed) = match ended {
            Ok((task, closed)) => (task, closed),
            Err(error) => {
                tracing::error!(%error, "a run broke off");
                (error.id(), Closed::Lost)
            }
        };
        let Some(id) = self.runs.ids.remove(&task) else { return };
        if let Closed::Over(record) = &closed {
            let (succeeded, reason) = (record.report.succeeded, &record.report.reason);
            tracing::info!(run = id, succeeded, reason, message = record.report.message, "a run is over");
        }
        if self.runs.table.closed(&id, closed, Timestamp::now()) {
            self.forget_runs(vec![id]);
        }
        self.tell();
    }

    fn forget_runs(&mut self, gone: Vec<String>) {
        if gone.is_empty() {
            return;
        }
        let records = self.runs.records.clone();
        self.jobs.spawn_blocking(move || {
            for id in gone {
                if let Err(error) = records.remove(&id) {
                    tracing::warn!(%error, "a run that nobody wants is still written down");
                }
            }
            super::super::work::Job::Saved
        });
    }
}

fn answer(wish: Wish, held: Option<Held>) {
    // Whoever does not wait any more has it dropped, which gives it back.
    let _ = wish.back.send(held);
}
