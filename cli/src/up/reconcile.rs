//! From manifests to what the shard holds: read, compile, remember, push, install first keys.
//!
//! A pass is repeated until nothing changes, then every second and whenever somebody asks. What fails is told and tried
//! again with the next pass; a manifest that cannot be read keeps its last good state.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use api::{KeySource, Object, Seen};
use crypto::{Argon2Cost, Keyset, NewKeyset, Secret};
use jiff::Timestamp;
use model::{Address, Directory, Generation, MailboxId, Plan, ShardId};

use super::objects::{self, Objects};
use super::shard::Shard;
use super::state::{Memory, StateDir};
use super::status;

/// Passes after which something must be oscillating.
const MAX_PASSES: usize = 8;

/// Plays the operator of one MailServer.
pub struct Reconciler {
    /// Where memory is kept.
    pub state: StateDir,
    /// What is remembered.
    pub memory: Memory,
    files: Vec<PathBuf>,
    declared: Vec<Object>,
    warnings: Vec<String>,
    pushed: Option<Directory>,
    told: BTreeSet<String>,
    /// Mailboxes by address, for `status`.
    pub mailboxes: BTreeMap<String, status::Mailbox>,
    /// Findings, for `status`.
    pub findings: Vec<String>,
}

impl Reconciler {
    /// A reconciler whose generations are higher than any before.
    pub fn new(
        state: StateDir,
        mut memory: Memory,
        files: Vec<PathBuf>,
        declared: Vec<Object>,
    ) -> anyhow::Result<Self> {
        memory.generation = Generation { epoch: memory.generation.epoch + 1, seq: 0 };
        state.remember(&memory)?;
        Ok(Self {
            state,
            memory,
            files,
            declared,
            warnings: Vec::new(),
            pushed: None,
            told: BTreeSet::new(),
            mailboxes: BTreeMap::new(),
            findings: Vec::new(),
        })
    }

    /// Brings the shard to what is declared; true once the directory in force is the declared one.
    pub async fn reconcile(&mut self, shard: &Shard) -> anyhow::Result<bool> {
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

    /// Removes an orphaned object.
    pub fn delete(&mut self, kind: &str, name: &str) -> Result<String, String> {
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
    async fn pass(&mut self, shard: &Shard) -> anyhow::Result<bool> {
        let status = shard.status().await?;
        let keyed: BTreeSet<MailboxId> = status.mailboxes.iter().filter(|m| m.keyed).map(|m| m.id).collect();
        let objects = objects::merge(self.declared.clone(), &mut self.memory.objects)?;
        let plan = self.compile(&objects, &keyed)?;
        let mut changed = self.push(shard, &plan, status.generation).await?;
        changed |= self.install_keys(shard, &plan, &objects, &keyed).await?;
        let waiting = status.mailboxes.iter().map(|m| (m.id, m.waiting)).collect();
        self.observe(&plan, &objects, &keyed, &waiting);
        Ok(changed)
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
    async fn push(&mut self, shard: &Shard, plan: &Plan, held: Option<Generation>) -> anyhow::Result<bool> {
        let mut directory = plan.directory.clone();
        directory.generation = self.memory.generation;
        if held == Some(directory.generation) && self.pushed.as_ref() == Some(&directory) {
            return Ok(false);
        }
        self.memory.bindings = plan.bindings.clone();
        self.memory.generation.seq += 1;
        directory.generation = self.memory.generation;
        self.state.remember(&self.memory)?;
        shard.push(&directory).await?;
        self.pushed = Some(directory);
        Ok(true)
    }

    /// Makes the first keys of mailboxes whose password or bundle is declared.
    async fn install_keys(
        &mut self,
        shard: &Shard,
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
                KeySource::Password(password) => wrap(address, password).await?,
                KeySource::AwaitingOwner | KeySource::Missing { .. } => continue,
            };
            installed |= shard.install_keys(id, keys).await?;
        }
        Ok(installed)
    }

    fn observe(
        &mut self,
        plan: &Plan,
        objects: &Objects,
        keyed: &BTreeSet<MailboxId>,
        waiting: &BTreeMap<MailboxId, u64>,
    ) {
        let mailboxes = plan.directory.mailboxes.iter().map(|(id, entry)| {
            let state = match entry.state {
                model::MailboxState::Active if !keyed.contains(id) => "AwaitingOwner".to_owned(),
                model::MailboxState::Active => "Ready".to_owned(),
                other => format!("{other:?}"),
            };
            let waiting = waiting.get(id).copied().unwrap_or(0);
            (entry.address.to_string(), status::Mailbox { id: id.to_string(), state, waiting })
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
        self.findings = self.warnings.iter().cloned().chain(orphaned).chain(findings).collect();
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

/// Wraps a declared password around fresh keys. The password and the key are seen here and nowhere else.
async fn wrap(address: Address, password: zeroize::Zeroizing<Vec<u8>>) -> anyhow::Result<Vec<u8>> {
    let made = tokio::task::spawn_blocking(move || {
        let text = std::str::from_utf8(&password)?;
        let password = Secret::new(text.trim_end_matches(['\r', '\n']));
        let new = NewKeyset {
            address: &address,
            password: &password,
            recovery: None,
            cost: Argon2Cost::default(),
            created: Timestamp::now(),
        };
        anyhow::Ok(Keyset::create(&new)?.0.to_json())
    });
    made.await?
}
