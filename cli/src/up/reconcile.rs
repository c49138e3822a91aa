//! From manifests to what the shard holds: read, compile, remember, push, install first keys.
//!
//! A pass is repeated until nothing changes, then every second and whenever somebody asks. What fails is told and tried
//! again with the next pass; a manifest that cannot be read keeps its last good state.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use api::conditions::reason;
use api::{KeySource, Object, Seen};
use control::RunAssignment;
use control::operator::{MailboxStatus, Push, Wanted};
use control::report::{PolicyReport, Report, RunReport};
use jiff::Timestamp;
use model::backup::{Run, RunKind};
use model::{Address, Bindings, BootId, Directory, Generation, MailboxId, Plan, ServerId, ShardId};
use operator::ShardClient;

use super::buckets;
use super::objects::{self, Objects};
use super::pki::{self, Public};
use super::purge;
use super::restore::{self, Asked};
use super::runs;
use super::state::{Memory, StateDir};
use super::status;
use crate::args::Buckets;
use crate::control::{Retained, Wish};

/// Passes after which something must be oscillating.
const MAX_PASSES: usize = 8;

/// Plays the operator of one MailServer.
pub struct Reconciler {
    /// Where memory is kept.
    pub state: StateDir,
    /// What is remembered.
    pub memory: Memory,
    files: Vec<PathBuf>,
    buckets: Buckets,
    declared: Vec<Object>,
    warnings: Vec<String>,
    /// What is missing to open the buckets.
    of_buckets: Vec<String>,
    /// What the shard said of itself last.
    of_shard: Vec<String>,
    pushed: Option<Directory>,
    /// What the shard was told last, and in which start of it.
    wanted: Option<(BootId, Wanted)>,
    /// What its sidecar says of restores, by id.
    reports: BTreeMap<String, RunReport>,
    /// What is the matter with declared runs themselves.
    of_runs: Vec<String>,
    told: BTreeSet<String>,
    /// What mail clients see.
    pub public: Public,
    /// Mailboxes by address, for `status`.
    pub mailboxes: BTreeMap<String, status::Mailbox>,
    /// How the copies fare, for `status`.
    pub backups: BTreeMap<String, status::Backup>,
    /// Findings, for `status`.
    pub findings: Vec<String>,
}

impl Reconciler {
    /// A reconciler whose generations are higher than any before.
    pub fn new(
        state: StateDir,
        mut memory: Memory,
        files: Vec<PathBuf>,
        buckets: Buckets,
        declared: Vec<Object>,
    ) -> anyhow::Result<Self> {
        memory.generation = Generation { epoch: memory.generation.epoch + 1, seq: 0 };
        state.remember(&memory)?;
        Ok(Self {
            state,
            memory,
            files,
            buckets,
            declared,
            warnings: Vec::new(),
            of_buckets: Vec::new(),
            of_shard: Vec::new(),
            pushed: None,
            wanted: None,
            reports: BTreeMap::new(),
            of_runs: Vec::new(),
            backups: BTreeMap::new(),
            told: BTreeSet::new(),
            public: Public::default(),
            mailboxes: BTreeMap::new(),
            findings: Vec::new(),
        })
    }

    /// Writes down which volume the primary has taken.
    pub fn remember_volume(&mut self) -> anyhow::Result<()> {
        let found = self.state.volume()?;
        if self.memory.volume != found {
            self.memory.volume = found;
            self.state.remember(&self.memory)?;
        }
        Ok(())
    }

    /// Brings the shard to what is declared; true once the directory in force is the declared one.
    pub async fn reconcile(&mut self, shard: &ShardClient) -> anyhow::Result<bool> {
        self.read();
        let mut settled = false;
        for _ in 0..MAX_PASSES {
            if !self.pass(shard).await? {
                settled = true;
                break;
            }
        }
        self.tell();
        Ok(settled)
    }

    /// Removes an orphaned object, or a restore.
    pub fn delete(&mut self, kind: &str, name: &str) -> Result<String, String> {
        if kind.eq_ignore_ascii_case("run") {
            return self.cancel(name);
        }
        let reference = objects::delete(&mut self.memory.objects, &self.declared, kind, name)?;
        self.state.remember(&self.memory).map_err(|error| format!("{error:#}"))?;
        Ok(format!("{reference} is deleted; a mailbox's mail is kept and comes back when it is declared again"))
    }

    /// The mailbox of an address that still awaits its keys.
    pub fn awaiting(&self, address: &Address) -> Result<MailboxId, String> {
        let known = self.pushed.as_ref().and_then(|directory| directory.mailbox_of(address));
        let Some((id, _)) = known else {
            return Err(format!("there is no mailbox {address}\n  declare it in the manifests first"));
        };
        match self.mailboxes.get(&address.to_string()) {
            Some(mailbox) if mailbox.state == "AwaitingOwner" => Ok(id),
            _ => {
                Err(format!("{address} has its keys already\n  its owner changes the password, nobody can replace it"))
            }
        }
    }

    fn read(&mut self) {
        let read = objects::read(&self.files).and_then(|manifests| {
            objects::follows(&manifests.objects, &self.memory.objects)?;
            Ok(manifests)
        });
        match read {
            Ok(manifests) => {
                self.declared = manifests.objects;
                self.warnings = manifests.warnings;
            }
            Err(error) => self.warnings = vec![format!("{error:#}\n  until then the last good manifests are in force")],
        }
    }

    /// One pass; true where it changed something and another is due.
    async fn pass(&mut self, shard: &ShardClient) -> anyhow::Result<bool> {
        let status = shard.status().await?;
        self.of_shard.clone_from(&status.findings);
        let keyed: BTreeSet<MailboxId> = status.mailboxes.iter().filter(|m| m.keyed).map(|m| m.id).collect();
        let mut objects = objects::merge(self.declared.clone(), &mut self.memory.objects)?;
        self.recall_runs(&mut objects)?;
        self.public = pki::public(&self.state, objects::server(&objects.all)?, &objects.all)?;
        let plan = self.compile(&objects, &keyed)?;
        let mut changed = self.push(shard, &plan, status.generation).await?;
        changed |= self.install_keys(shard, &plan, &objects, &keyed).await?;
        self.want(shard, &plan, &objects, status.boot).await?;
        let said = status.mailboxes.iter().map(|m| (m.id, m)).collect();
        self.observe(&plan, &objects, &said);
        self.hear(status.sidecar.report.as_ref());
        self.follow_runs(&plan, &objects)?;
        Ok(changed)
    }

    /// Tells the shard what is to be copied where, after what opens the buckets is in its place.
    async fn want(&mut self, shard: &ShardClient, plan: &Plan, objects: &Objects, boot: BootId) -> anyhow::Result<()> {
        let server = objects::server(&objects.all)?;
        // Policies that cannot be found stay in force as they last were, also where another `up` has told them.
        let last = match &self.wanted {
            Some((_, wanted)) => wanted.policies.clone(),
            None => shard.wanted().await?.unwrap_or_default(),
        };
        let last = BTreeMap::from([(ShardId(0), last)]);
        let mut found = api::policies(server, &self.memory.server, &objects.all, &plan.bindings, &last);
        let found = found.shards.remove(&ShardId(0)).unwrap_or_default();
        let policies = match self.buckets {
            Buckets::Folder => found.into_folders(&self.state.path("bucket")),
            Buckets::S3 => found,
        };
        self.of_buckets = buckets::lay_out(&self.state.path(buckets::FOLDER), &objects.all, &policies)?;
        let now = Timestamp::now();
        self.memory.runs.retain(|asked| asked.is_remembered(now));
        let mut declared = api::runs(server, &objects.all, &plan.bindings, now).shards;
        let declared = declared.remove(&ShardId(0)).unwrap_or_default();
        let declared = declared.into_iter().map(|run| RunAssignment { run, executor: restore::EXECUTOR.to_owned() });
        let runs = restore::assignments(&self.memory.runs).into_iter().chain(declared).collect();
        let wanted = (boot, Wanted { policies, runs });
        if self.wanted.as_ref() != Some(&wanted) {
            shard.want(&wanted.1).await?;
            self.wanted = Some(wanted);
        }
        Ok(())
    }

    /// Puts what is known of declared runs into their objects; a new one is on disk before anybody hears of it.
    fn recall_runs(&mut self, objects: &mut Objects) -> anyhow::Result<()> {
        let mint = || data_encoding::HEXLOWER.encode(&crypto::random::<16>());
        let recalled = runs::recall(&mut objects.all, &mut self.memory.declared_runs, Timestamp::now(), mint)?;
        self.of_runs = recalled.findings;
        if recalled.news {
            self.state.remember(&self.memory)?;
        }
        Ok(())
    }

    /// Writes down how declared runs fare.
    fn follow_runs(&mut self, plan: &Plan, objects: &Objects) -> anyhow::Result<()> {
        let now = Timestamp::now();
        let nowhere = api::runs(objects::server(&objects.all)?, &objects.all, &plan.bindings, now).unassigned;
        if runs::hear(&mut self.memory.declared_runs, &nowhere, &self.reports, now)? {
            self.state.remember(&self.memory)?;
        }
        Ok(())
    }

    /// Takes up a restore, or tells of the one that has its name.
    pub fn restore(&mut self, wish: &Wish) -> Result<RunReport, String> {
        let all = restore::Known { directory: self.pushed.as_ref(), mailboxes: &self.mailboxes };
        let (kind, admitted) = (all.kind(wish)?, all.admit(wish));
        self.take_up(&wish.run, kind, wish.deadline, admitted)
    }

    /// Takes up a backup, or tells of the one that has its name.
    pub fn back_up(&mut self, name: &str, address: &Address, deadline: Timestamp) -> Result<RunReport, String> {
        let all = restore::Known { directory: self.pushed.as_ref(), mailboxes: &self.mailboxes };
        let kind = RunKind::Backup { mailbox: all.mailbox(address)? };
        self.take_up(name, kind, deadline, Ok(()))
    }

    /// Takes up a purge, or tells of the one that has its name or its mailbox.
    pub fn purge(&mut self, name: &str, wanted: &Retained, deadline: Timestamp) -> Result<RunReport, String> {
        let same = |kind: &RunKind| match (kind, wanted) {
            (RunKind::Purge { mailbox }, Retained::Id(id)) => mailbox == id,
            (RunKind::Purge { .. }, Retained::Address(_)) => true,
            _ => false,
        };
        let id = restore::id_of(name);
        match self.memory.runs.iter().find(|asked| asked.run.id == id) {
            Some(known) if same(&known.run.kind) => return self.run(&id),
            Some(_) => {
                return Err(format!("the run {name} is another one\n  leave --run out, or choose another name"));
            }
            None => {}
        }
        let mailbox = purge::find(&self.memory.bindings, wanted, |address| {
            let named = |(reference, object): (&String, &serde_json::Value)| {
                let name = reference.strip_prefix("Mailbox/")?;
                (object["spec"]["address"] == *address.to_string()).then(|| name.to_owned())
            };
            self.memory.objects.iter().find_map(named)
        })?;
        let kind = RunKind::Purge { mailbox };
        if let Some(open) = self.memory.runs.iter().find(|asked| asked.end.is_none() && asked.run.kind == kind) {
            return self.run(&open.run.id);
        }
        // Written down together with the run: nobody hears of one without the other.
        let before = (self.memory.bindings.clone(), self.memory.runs.clone());
        self.memory.bindings.purge(mailbox, Timestamp::now());
        let taken = self.take_up(name, kind, deadline, Ok(()));
        if taken.is_err() {
            (self.memory.bindings, self.memory.runs) = before;
        }
        taken
    }

    fn take_up(
        &mut self,
        name: &str,
        kind: RunKind,
        deadline: Timestamp,
        admitted: Result<(), String>,
    ) -> Result<RunReport, String> {
        let id = restore::id_of(name);
        match self.memory.runs.iter().find(|asked| asked.run.id == id) {
            Some(known) if known.run.kind == kind => {}
            Some(_) => {
                return Err(format!("the run {name} is another one\n  leave --run out, or choose another name"));
            }
            None => {
                admitted?;
                self.memory.runs.push(Asked { run: Run { id: id.clone(), kind, deadline }, end: None });
                self.state.remember(&self.memory).map_err(|error| format!("{error:#}"))?;
            }
        }
        self.run(&id)
    }

    /// Cancels a run; one that is over is forgotten.
    pub fn cancel(&mut self, name: &str) -> Result<String, String> {
        let id = restore::id_of(name);
        let purge = |asked: &Asked| asked.end.is_none() && matches!(asked.run.kind, RunKind::Purge { .. });
        if self.memory.runs.iter().any(|asked| asked.run.id == id && purge(asked)) {
            return Err(format!("the purge {name} is taken up, and goes on to its end\n  see `sealpost status`"));
        }
        let before = self.memory.runs.len();
        self.memory.runs.retain(|asked| asked.run.id != id);
        if self.memory.runs.len() == before {
            return Err(format!("there is no run {name}\n  see `sealpost status`"));
        }
        self.state.remember(&self.memory).map_err(|error| format!("{error:#}"))?;
        Ok(format!("the run {name} is wanted no more; a restore that is about to take its place goes on to its end"))
    }

    /// How a run fares.
    pub fn run(&self, id: &str) -> Result<RunReport, String> {
        let asked = self.memory.runs.iter().find(|asked| asked.run.id == id);
        let gone = || format!("the run {id} was cancelled, or is over for long\n  see `sealpost status`");
        Ok(asked.ok_or_else(gone)?.report(Timestamp::now(), self.reports.get(id)))
    }

    /// How all of them fare.
    pub fn runs(&self) -> Vec<RunReport> {
        let now = Timestamp::now();
        self.memory.runs.iter().map(|asked| asked.report(now, self.reports.get(&asked.run.id))).collect()
    }

    /// What the sidecar says.
    fn hear(&mut self, report: Option<&Report>) {
        let Some(report) = report else { return };
        let backup = |policy: &PolicyReport| status::Backup { time: report.time, report: policy.clone() };
        self.backups = report.policies.iter().map(|(name, policy)| (name.clone(), backup(policy))).collect();
        for (name, policy) in &report.policies {
            let all = [&policy.reachable, &policy.within_rpo, &policy.retention, &policy.verified];
            let bad = all.into_iter().filter(|it| it.status == Some(false));
            self.findings.extend(bad.map(|it| format!("BackupPolicy/{name}: {}: {}", it.reason, it.message)));
        }
        self.reports = report.runs.iter().map(|run| (run.id.clone(), run.clone())).collect();
        let runs = &mut self.memory.runs;
        let news = report.runs.iter().filter(|said| runs.iter_mut().any(|asked| asked.hear(said))).count();
        for asked in &self.memory.runs {
            if let (RunKind::Purge { mailbox }, Some(true)) =
                (&asked.run.kind, asked.end.as_ref().and_then(|it| it.succeeded))
            {
                self.memory.bindings.purged(*mailbox, Timestamp::now());
            }
        }
        if news > 0
            && let Err(error) = self.state.remember(&self.memory)
        {
            tracing::warn!(error = format!("{error:#}"), "what came of a restore is not written down yet");
        }
        let troubles = report.troubles.iter();
        self.findings.extend(troubles.map(|it| format!("mailbox {}: {}: {}", it.mailbox, it.reason, it.message)));
    }

    fn compile(&self, objects: &Objects, keyed: &BTreeSet<MailboxId>) -> anyhow::Result<Plan> {
        let server = objects::server(&objects.all)?;
        let mut minted = Vec::new();
        loop {
            let seen = Seen {
                server: self.memory.server.clone(),
                keyed: keyed.clone(),
                placeable: BTreeSet::from([ShardId(0)]),
                minted: minted.clone(),
            };
            let plan = api::compile(&api::world(server, &objects.all, seen), &self.memory.bindings, Timestamp::now());
            if plan.wanting == 0 {
                return Ok(plan);
            }
            minted.extend((0..plan.wanting).map(|_| MailboxId::from_random(crypto::random())));
        }
    }

    /// Pushes the directory if it differs from what the shard has. Bindings are on disk first: no id is ever forgotten.
    async fn push(&mut self, shard: &ShardClient, plan: &Plan, held: Option<Generation>) -> anyhow::Result<bool> {
        let mut directory = plan.directory.clone();
        directory.generation = self.memory.generation;
        if held == Some(directory.generation) && self.pushed.as_ref() == Some(&directory) {
            return Ok(false);
        }
        self.memory.bindings = plan.bindings.clone();
        self.memory.generation.seq += 1;
        directory.generation = self.memory.generation;
        self.state.remember(&self.memory)?;
        let push = Push { directory, bindings: self.memory.bindings.clone() };
        shard.push(&push).await?;
        self.pushed = Some(push.directory);
        Ok(true)
    }

    /// Makes the first keys of mailboxes whose password or bundle is declared.
    async fn install_keys(
        &mut self,
        shard: &ShardClient,
        plan: &Plan,
        objects: &Objects,
        keyed: &BTreeSet<MailboxId>,
    ) -> anyhow::Result<bool> {
        let mut installed = false;
        for object in &objects.all {
            let Object::Mailbox(mailbox) = object else { continue };
            let Ok(address) = mailbox.spec.address.parse::<Address>() else { continue };
            let Some((id, _)) = plan.directory.mailbox_of(&address) else { continue };
            if keyed.contains(&id) {
                continue;
            }
            let keys = match api::key_source(mailbox, &objects.all) {
                KeySource::Bundle(bundle) => bundle.to_vec(),
                KeySource::Password(password) => operator::first_keys(address, password).await?,
                KeySource::AwaitingOwner | KeySource::Missing { .. } => continue,
            };
            installed |= shard.install_keys(id, keys).await?;
        }
        Ok(installed)
    }

    fn observe(&mut self, plan: &Plan, objects: &Objects, said: &BTreeMap<MailboxId, &MailboxStatus>) {
        let mailboxes = plan.directory.mailboxes.iter().map(|(id, entry)| {
            let told = said.get(id);
            let state = match entry.state {
                model::MailboxState::Active if !told.is_some_and(|told| told.keyed) => "AwaitingOwner".to_owned(),
                model::MailboxState::Active | model::MailboxState::ReadOnly
                    if entry.fenced || told.is_some_and(|told| told.fenced) =>
                {
                    fence(entry.fenced, told.is_some_and(|told| told.fenced)).to_owned()
                }
                model::MailboxState::Active => "Ready".to_owned(),
                other => format!("{other:?}"),
            };
            let (waiting, unchecked) = told.map_or((0, false), |told| (told.waiting, told.unchecked));
            (entry.address.to_string(), status::Mailbox { id: id.to_string(), state, waiting, unchecked })
        });
        self.mailboxes = mailboxes.collect();
        let orphaned = objects.orphaned.iter().map(|reference| {
            format!(
                "{reference} has no manifest any more; to remove it: sealpost delete {}",
                reference.replace('/', " ")
            )
        });
        let findings =
            plan.findings.iter().chain(&api::references(&objects.all)).map(ToString::to_string).collect::<Vec<_>>();
        let faults = said.iter().filter_map(|(id, told)| Some((id, told.fault.as_ref()?))).map(|(id, fault)| {
            let address = plan.directory.mailboxes.get(id).map_or_else(|| id.to_string(), |m| m.address.to_string());
            format!(
                "waiting mail of {address} cannot be read, and none is taken: {fault}\n  see the log of the primary"
            )
        });
        let known = self.warnings.iter().chain(&self.of_buckets).chain(&self.of_shard);
        let known = known.chain(&self.public.finding).chain(&self.of_runs).cloned();
        self.findings = known.chain(orphaned).chain(faults).chain(findings).collect();
        self.findings.extend(copies(&self.memory.server, objects, &plan.bindings));
        self.findings.extend(fences(objects));
        let open = |id: MailboxId| {
            let at_work = |asked: &Asked| asked.end.is_none() && asked.run.kind == RunKind::Purge { mailbox: id };
            self.memory.runs.iter().any(at_work)
        };
        let unfinished = plan.bindings.purged.iter().filter(|(id, purge)| purge.done.is_none() && !open(**id));
        let told = |id: &MailboxId| {
            format!("mailbox {id} is purged, but not everywhere\n  go on with: sealpost purge {id} --yes {id}")
        };
        self.findings.extend(unfinished.map(|(id, _)| told(id)).collect::<Vec<_>>());
    }

    /// Says what is new among the findings, once.
    fn tell(&mut self) {
        for finding in &self.findings {
            if self.told.insert(finding.clone()) {
                eprintln!("! {finding}");
            }
        }
        let now: BTreeSet<String> = self.findings.iter().cloned().collect();
        self.told.retain(|told| now.contains(told));
    }
}

/// In the words that a cluster has for it.
fn fence(wanted: bool, closed: bool) -> &'static str {
    match (wanted, closed) {
        (true, true) => reason::FENCED,
        (true, false) => reason::CLOSING,
        (false, _) => reason::OPENING,
    }
}

/// What is fenced, and what ends it.
fn fences(objects: &Objects) -> Vec<String> {
    let annotation = |object: &Object| match object {
        Object::Mailbox(mailbox) => api::fence::mailbox(mailbox).map(|_| api::fence::MAILBOX),
        Object::MailServer(server) => (!api::fence::shards(server).is_empty()).then_some(api::fence::SHARDS),
        _ => None,
    };
    let told = |object: &Object| {
        let annotation = annotation(object)?;
        Some(format!(
            "{}: Fenced: files stay closed, mail waits at its senders\n  take the annotation {annotation} away to let them be opened",
            object.reference()
        ))
    };
    objects.all.iter().filter_map(told).collect()
}

/// What is wrong with references to policies and mailboxes.
fn copies(id: &ServerId, objects: &Objects, bindings: &Bindings) -> Vec<String> {
    // `up` does not run without a MailServer.
    let Ok(server) = objects::server(&objects.all) else { return Vec::new() };
    let policies = api::policies(server, id, &objects.all, bindings, &BTreeMap::new());
    let runs = api::runs(server, &objects.all, bindings, Timestamp::now()).unassigned;
    let runs = runs.iter().map(|run| format!("{}: {}: {}", run.object, run.reason, run.message));
    policies.findings.iter().map(ToString::to_string).chain(runs).collect()
}
