//! The loop: events in, turns out.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use control::report::Report;
use control::{Database, Dirty, Hello, PolicyBatch, Shard, VERSION};
use data_encoding::{BASE64, HEXLOWER};
use files::{FilesError, durable};
use jiff::Timestamp;
use model::backup::{Policies, Policy};
use model::{Class, MailboxId};
use probes::Health;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::agenda::Agenda;
use super::backup::Asker;
use super::board::{Standing, Troubles};
use super::claim::Claimed;
use super::follow::{self, Event};
use super::keeper::Keeper;
use super::metrics::Metrics;
use super::purge::Proofs;
use super::runs::{Records, Runs};
use super::scan::Scanner;
use super::schedules::Schedules;
use super::signer::{random, signer};
use super::snapshots::Queue;
use super::turn::{Ended, since};
use super::untold::Untold;
use super::verify::Rehearsals;
use super::work::{Job, patience};
use super::{Client, Config, destination};
use crate::format::{DataFile, Signer};
use crate::ship::{MailboxState, Outbox, Shipper, States, Told};

/// Why the process cannot work at all.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The volume refused.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// The key that signs cannot be read.
    #[error("{} is not a key of this version", path.display())]
    Signer {
        /// The file.
        path: PathBuf,
    },
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random,
}

impl ProcessError {
    /// What should happen next.
    pub fn class(&self) -> Class {
        match self {
            Self::Files(error) => error.class(),
            Self::Signer { .. } | Self::Random => Class::Blocked,
        }
    }

    /// What a person can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Files(error) => error.hint(),
            Self::Signer { path } => Some(format!(
                "bring {} back from a copy; without it archives of this volume go on in new timelines",
                path.display()
            )),
            Self::Random => None,
        }
    }
}

/// Ships a shard's mailboxes until `stop`. It is ready (`health`) while the primary answers.
pub async fn run(config: Config, health: Health, stop: CancellationToken) -> Result<(), ProcessError> {
    let sidecar = config.data.join("sidecar");
    durable::create_dir_all(&sidecar)?;
    let signer = signer(&sidecar)?;
    let run = HEXLOWER.encode(&random::<16>()?);
    let outbox = Outbox::open(config.data.join("outbox"))?;
    let states = States::open(&sidecar)?;
    let runs = Runs::open(Records::open(&sidecar)?, config.data.join("staging"));
    let proofs = Proofs::open(&sidecar)?;
    let rehearsals = Rehearsals::open(&sidecar, &config.data.join("staging"));
    let client = Client::new(config.socket.clone());
    let hello = Hello { version: VERSION, run: run.clone(), signer: BASE64.encode(&signer.public().0) };

    let (events, incoming) = mpsc::channel(64);
    let untold = Untold::default();
    let (report, reported) = watch::channel(None);
    let mut followers = JoinSet::new();
    followers.spawn(follow::commits(client.clone(), hello, events.clone(), stop.clone()));
    followers.spawn(follow::policies(client.clone(), events, stop.clone()));
    followers.spawn(follow::tell(client.clone(), untold.clone(), reported, stop.clone()));
    health.wait("the primary");
    let sidecar = Sidecar {
        metrics: Metrics::register(&health),
        health,
        mailboxes: config.data.join("mailboxes"),
        config,
        client,
        run,
        signer,
        outbox,
        states,
        proofs,
        untold,
        report,
        started: Instant::now(),
        shard: None,
        policies: Policies::default(),
        destinations: BTreeMap::new(),
        agenda: Agenda::default(),
        scanner: Some(Scanner::default()),
        afresh: false,
        looked_at_all: Duration::ZERO,
        known: HashMap::new(),
        troubles: Troubles::default(),
        schedules: Schedules::default(),
        snapshots: Queue::default(),
        keeper: Keeper::default(),
        rehearsals,
        askers: Vec::new(),
        turns: JoinSet::new(),
        jobs: JoinSet::new(),
        runs,
        errands: JoinSet::new(),
        outbox_bytes: 0,
        tight: false,
    };
    sidecar.serve(incoming, stop).await;
    // They end with `stop`, or with the other end of their channels.
    while followers.join_next().await.is_some() {}
    Ok(())
}

/// All that the loop knows.
pub struct Sidecar {
    pub config: Config,
    pub client: Client,
    pub health: Health,
    pub metrics: Metrics,
    pub mailboxes: PathBuf,
    pub run: String,
    pub signer: Signer,
    pub outbox: Outbox,
    pub states: States,
    pub proofs: Proofs,
    pub untold: Untold,
    pub report: watch::Sender<Option<Report>>,
    pub started: Instant,
    pub shard: Option<Shard>,
    pub policies: Policies,
    pub destinations: BTreeMap<String, Destination>,
    pub agenda: Agenda,
    /// Away while it looks.
    pub scanner: Option<Scanner>,
    /// What the scanner saw before counts no more.
    pub afresh: bool,
    /// When every mailbox was looked at last.
    pub looked_at_all: Duration,
    pub known: HashMap<MailboxId, Known>,
    pub troubles: Troubles,
    pub schedules: Schedules,
    pub snapshots: Queue,
    pub keeper: Keeper,
    pub rehearsals: Rehearsals,
    /// Who waits for snapshots.
    pub askers: Vec<Asker>,
    pub turns: JoinSet<Ended>,
    /// Short ones: their ends are awaited.
    pub jobs: JoinSet<Job>,
    pub runs: Runs,
    /// Those that may take hours: when the process ends they are broken off.
    pub errands: JoinSet<Job>,
    pub outbox_bytes: u64,
    pub tight: bool,
}

/// One policy's bucket.
pub struct Destination {
    pub policy: Policy,
    pub shipper: Arc<Shipper>,
    pub standing: Standing,
    /// When the owner marker is looked at next; none while that is being done.
    pub claim_at: Option<Duration>,
}

impl Destination {
    /// True if this process may write there.
    pub fn is_ours(&self) -> bool {
        self.standing.claimed == Some(Ok(Claimed::Ours))
    }
}

/// What is in memory of a mailbox.
#[derive(Default)]
pub struct Known {
    pub state: Option<MailboxState>,
    pub told: Told,
    /// Since when each WAL has had frames.
    pub filled: HashMap<DataFile, Duration>,
    pub wal_bytes: u64,
    pub used: Duration,
}

impl Sidecar {
    async fn serve(mut self, mut events: mpsc::Receiver<Event>, stop: CancellationToken) {
        let mut scan = tokio::time::interval(Duration::from_secs(self.config.tuning.scan_seconds.max(1)));
        let mut report = tokio::time::interval(Duration::from_secs(self.config.tuning.report_seconds.max(1)));
        loop {
            self.start_claims();
            self.lend_turns();
            self.let_purge();
            self.start_snapshot();
            self.start_retention();
            self.start_rehearsal();
            self.start_turns();
            self.start_runs();
            let wake = self.wake();
            tokio::select! {
                () = stop.cancelled() => break,
                Some(event) = events.recv() => self.hear(event),
                Some(Ok(ended)) = self.turns.join_next() => self.finish(ended),
                Some(Ok(job)) = self.jobs.join_next() => self.finish_job(job),
                Some(request) = self.runs.requests.recv() => self.hear_request(request),
                Some(ended) = self.runs.works.join_next_with_id() => self.finish_run(ended),
                Some(Ok(job)) = self.errands.join_next() => self.finish_job(job),
                () = tokio::time::sleep(wake) => {}
                _ = scan.tick() => self.start_scan(),
                _ = report.tick() => self.tell(),
            }
        }
        self.end().await;
    }

    /// Since the start of the process.
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::Primary(shard) => {
                if shard.server != self.config.server || shard.shard != self.config.shard {
                    tracing::error!(server = %shard.server, shard = %shard.shard, "the socket is another shard's: nothing is archived");
                    return;
                }
                tracing::info!(term = %shard.term, boot = %shard.boot, "following the primary");
                self.health.ready();
                let same =
                    self.shard.as_ref().is_some_and(|known| (&known.volume, known.term) == (&shard.volume, shard.term));
                self.shard = Some(shard);
                if !same {
                    self.open_destinations();
                }
                self.look_at_all();
            }
            Event::Away => self.health.wait("the primary"),
            Event::Dirty(dirty) => dirty.iter().for_each(|dirty| self.note(dirty)),
            Event::Policies(batch) => self.take_policies(*batch),
        }
    }

    fn note(&mut self, dirty: &Dirty) {
        if self.runs.is_purging(dirty.mailbox) {
            return;
        }
        let Some(policy) = self.policies.of(dirty.mailbox).map(|(_, policy)| policy) else { return };
        let lag = Duration::from_secs(u64::from(policy.max_lag_seconds));
        let due = self.now() + patience(lag);
        let known = self.known.entry(dirty.mailbox).or_default();
        known.told.add(dirty.database, dirty.salts, &dirty.commits);
        self.agenda.note(dirty.mailbox, since(&dirty.commits), due);
        if dirty.database == Database::Mailbox {
            // Only an open mailbox is written to.
            self.snapshots.unlocked(dirty.mailbox, Timestamp::now());
        }
    }

    fn take_policies(&mut self, batch: PolicyBatch) {
        if batch.pushed {
            self.want_runs(&batch.runs);
        }
        let Some(policies) = batch.policies else { return };
        if policies == self.policies {
            return;
        }
        self.schedules = Schedules::of(&policies);
        self.policies = policies;
        self.reschedule_snapshots();
        self.reschedule_rehearsals();
        self.open_destinations();
        self.look_at_all();
    }

    /// One destination for each policy; those that are as they were stay open.
    fn open_destinations(&mut self) {
        let mut before = std::mem::take(&mut self.destinations);
        let Some(shard) = &self.shard else { return };
        for (name, policy) in &self.policies.policies {
            let root = &self.policies.root;
            let same = before.remove(name).filter(|known| {
                known.policy.destination == policy.destination
                    && known.shipper.root == *root
                    && known.shipper.term == shard.term
            });
            let fresh = || {
                let shipper = Arc::new(Shipper {
                    bucket: destination::open(name, &policy.destination, &self.config.credentials),
                    root: root.clone(),
                    server: self.config.server.clone(),
                    term: shard.term,
                    run: self.run.clone(),
                    signer: self.signer.clone(),
                    outbox: self.outbox.clone(),
                    states: self.states.clone(),
                });
                let (standing, claim_at) = (Standing::default(), Some(Duration::ZERO));
                Destination { policy: policy.clone(), shipper, standing, claim_at }
            };
            let destination = Destination { policy: policy.clone(), ..same.unwrap_or_else(fresh) };
            self.destinations.insert(name.clone(), destination);
        }
    }

    /// Notices may have been missed: every mailbox is looked at.
    fn look_at_all(&mut self) {
        self.afresh = true;
        self.start_scan();
    }
}
