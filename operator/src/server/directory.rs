//! What is to be pushed to the shards of a MailServer: a pure state machine around [`api::compile`].
//!
//! * The memory (bindings, generation) is the shards'. It is read back from them at the start of a leadership; what one
//!   shard lacks another one has ([`Desk::learn`]).
//! * Nothing is pushed before this leadership has an epoch of its own, above all that shards report.
//! * Nothing new is placed before every shard was heard and has accepted a push of this epoch.
//! * A push that would remove many addresses is held: what was pushed last stays in force.

use std::collections::{BTreeMap, BTreeSet};

use api::{MailServer, Object, Seen};
use control::operator::{Push, Status};
use jiff::Timestamp;
use model::plan::{AliasAction, Declared, DeclaredAlias, DeclaredMailbox, DeclaredTarget};
use model::{
    AliasEntry, Bindings, Directory, Finding, Generation, MailboxId, MailboxState, ServerId, ShardId, Target, World,
};

use crate::index::Broken;

/// The memory of one leadership over one MailServer.
#[derive(Debug, Default)]
pub struct Desk {
    /// What each shard had when it was first heard.
    heard: BTreeMap<ShardId, Option<Push>>,
    generation: Option<Generation>,
    bindings: Bindings,
    /// The newest directory that any shard had.
    found: Option<Directory>,
    /// What was decided last, at its generation.
    current: Option<Push>,
}

/// What a decision is made of.
pub struct Input<'a> {
    /// The object.
    pub server: &'a MailServer,
    /// Its id.
    pub id: &'a ServerId,
    /// Objects of its namespace.
    pub objects: &'a [Object],
    /// Mailboxes and Aliases without any value.
    pub broken: &'a [(&'static str, Broken)],
    /// Shards that answered now.
    pub reports: &'a BTreeMap<ShardId, Status>,
    /// How many addresses a person allowed to remove.
    pub allowed: usize,
    /// Now.
    pub now: Timestamp,
}

/// What follows.
#[derive(Debug)]
pub struct Decision {
    /// What every shard should have; none before there is an epoch, or while the first push is held.
    pub push: Option<Push>,
    /// Which of those that answered do not have it yet.
    pub to: Vec<ShardId>,
    /// What to tell people.
    pub findings: Vec<Finding>,
    /// How many addresses a held push would remove.
    pub held: Option<usize>,
}

impl Desk {
    /// True where that shard was asked for its memory already.
    pub fn has_heard(&self, shard: ShardId) -> bool {
        self.heard.contains_key(&shard)
    }

    /// Takes what a shard has into the memory. Newer ones overrule older ones where they speak of the same.
    pub fn learn(&mut self, shard: ShardId, push: Option<Push>) {
        self.heard.insert(shard, push);
        let mut all: Vec<&Push> = self.heard.values().flatten().collect();
        all.sort_by_key(|push| push.directory.generation);
        let mut merged = Bindings::default();
        for push in all.iter().copied().chain(&self.current) {
            let bindings = push.bindings.clone();
            merged.mailboxes.extend(bindings.mailboxes);
            merged.aliases.extend(bindings.aliases);
            merged.removed.extend(bindings.removed);
        }
        self.found = all.last().map(|push| push.directory.clone());
        self.bindings = merged;
    }

    /// True where the memory ties mailboxes to that shard.
    pub fn binds(&self, shard: ShardId) -> bool {
        self.bindings.mailboxes.values().any(|binding| binding.shard == shard)
    }

    /// The epoch to record before the first push; none where this leadership has one.
    pub fn wants_epoch(&self, recorded: u64, reports: &BTreeMap<ShardId, Status>) -> Option<u64> {
        let highest = reports.values().filter_map(|status| status.generation).map(|generation| generation.epoch).max();
        match self.generation {
            // Somebody else pushed meanwhile.
            Some(ours) if highest.is_none_or(|highest| highest <= ours.epoch) => None,
            _ => Some(recorded.max(highest.unwrap_or(0)) + 1),
        }
    }

    /// The epoch is recorded: pushes may begin.
    pub fn open(&mut self, epoch: u64) {
        self.generation = Some(Generation { epoch, seq: 0 });
        if let Some(current) = &mut self.current {
            current.directory.generation = Generation { epoch, seq: 0 };
        }
    }

    /// Our epoch.
    pub fn epoch(&self) -> Option<u64> {
        self.generation.map(|generation| generation.epoch)
    }

    /// What is in force at a shard that answered with this status, as far as we pushed it.
    pub fn is_current(&self, status: &Status) -> bool {
        self.current.as_ref().is_some_and(|push| status.generation == Some(push.directory.generation))
    }

    /// What was decided last.
    pub fn current(&self) -> Option<&Push> {
        self.current.as_ref()
    }

    /// Decides what the shards should have now. `mint` makes the id of a mailbox.
    pub fn decide(&mut self, input: &Input<'_>, mint: impl Fn() -> MailboxId) -> Decision {
        let Some(generation) = self.generation else {
            return Decision { push: None, to: Vec::new(), findings: Vec::new(), held: None };
        };
        let plan = self.compile(input, generation, mint);
        let mut decision = Decision { push: None, to: Vec::new(), findings: plan.findings.clone(), held: None };
        if plan.is_held(input.allowed) {
            decision.held = Some(plan.removals.len());
        } else {
            let mut directory = plan.directory;
            directory.generation = generation;
            let next = Push { directory, bindings: plan.bindings };
            if self.current.as_ref().is_none_or(|current| !is_same(current, &next)) {
                let generation = Generation { seq: generation.seq + 1, ..generation };
                self.generation = Some(generation);
                self.bindings = next.bindings.clone();
                let directory = Directory { generation, ..next.directory };
                self.current = Some(Push { directory, bindings: next.bindings });
            }
        }
        decision.push.clone_from(&self.current);
        let lacks = |(shard, status): (&ShardId, &Status)| (!self.is_current(status)).then_some(*shard);
        decision.to = input.reports.iter().filter_map(lacks).filter(|_| decision.push.is_some()).collect();
        decision
    }

    fn compile(&self, input: &Input<'_>, generation: Generation, mint: impl Fn() -> MailboxId) -> model::Plan {
        let shards = || (0..u32::try_from(input.server.spec.shards).unwrap_or(1)).map(ShardId);
        let follows = |status: &Status| status.generation.is_some_and(|theirs| theirs.epoch == generation.epoch);
        let all_heard = shards().all(|shard| self.has_heard(shard));
        let placeable: BTreeSet<ShardId> =
            shards().filter(|shard| all_heard && input.reports.get(shard).is_some_and(follows)).collect();
        // Keys of a shard that does not answer now are still there.
        let answered = |shard: ShardId| input.reports.contains_key(&shard);
        let before = self.current.as_ref().map(|push| &push.directory).or(self.found.as_ref());
        let remembered = before.into_iter().flat_map(|directory| &directory.mailboxes);
        let remembered = remembered.filter(|(_, entry)| entry.keyed && !answered(entry.shard)).map(|(id, _)| *id);
        let reported = input.reports.values().flat_map(|status| &status.mailboxes).filter(|m| m.keyed).map(|m| m.id);
        let keyed: BTreeSet<MailboxId> = reported.chain(remembered).collect();
        let mut minted = Vec::new();
        loop {
            let seen = Seen {
                server: input.id.clone(),
                keyed: keyed.clone(),
                placeable: placeable.clone(),
                minted: minted.clone(),
            };
            let mut world = api::world(input.server, input.objects, seen);
            self.stand_in(&mut world, input.broken);
            let plan = api::compile(&world, &self.bindings, input.now);
            if plan.wanting == 0 {
                return plan;
            }
            minted.extend((0..plan.wanting).map(|_| mint()));
        }
    }

    /// Objects that cannot be read hold what they held: absence is not removal.
    fn stand_in(&self, world: &mut World, broken: &[(&'static str, Broken)]) {
        let before = self.current.as_ref().map(|push| &push.directory).or(self.found.as_ref());
        for (kind, object) in broken {
            let declared =
                Declared { name: object.name.clone(), uid: object.uid.clone(), created: Timestamp::UNIX_EPOCH };
            if *kind == "Mailbox" {
                let Some((id, binding)) = self.bindings.owned_by(&object.uid) else { continue };
                let entry = before.and_then(|directory| directory.mailboxes.get(&id));
                let state = entry.map_or(MailboxState::Active, |entry| entry.state);
                world.mailboxes.push(DeclaredMailbox {
                    object: declared,
                    address: binding.address.clone(),
                    state: if state == MailboxState::Retained { MailboxState::Active } else { state },
                    quota: binding.quota,
                    access: entry.map(|entry| entry.access.clone()).unwrap_or_default(),
                    adopt: None,
                    fenced: entry.is_some_and(|entry| entry.fenced),
                });
                continue;
            }
            for (address, _) in self.bindings.aliases.iter().filter(|(_, uid)| **uid == object.uid) {
                let entry = before.and_then(|directory| directory.entries.get(address));
                let Some(entry) = entry.and_then(|entry| entry.alias.as_ref()) else { continue };
                let action = self.action(entry, world);
                world.aliases.push(DeclaredAlias { object: declared.clone(), address: address.clone(), action });
            }
        }
    }

    /// An alias's entry as somebody would declare it.
    fn action(&self, entry: &AliasEntry, world: &World) -> AliasAction {
        let targets = match entry {
            AliasEntry::Reject(reply) => return AliasAction::Reject(reply.clone()),
            AliasEntry::Targets(targets) => targets,
        };
        let declared = targets.iter().map(|target| {
            let Target::Mailbox(id) = target else { return DeclaredTarget::Outward(String::new()) };
            let owner = self.bindings.mailboxes.get(id).and_then(|binding| binding.owner.as_deref());
            let mailbox = world.mailboxes.iter().find(|mailbox| Some(mailbox.object.uid.as_str()) == owner);
            mailbox.map_or(DeclaredTarget::Outward(String::new()), |m| DeclaredTarget::Mailbox(m.object.name.clone()))
        });
        AliasAction::Targets(declared.collect())
    }
}

/// Shards whose volume is blank although they `had` mailboxes. A mailbox is placed on a shard only after that one took a
/// push of this epoch, so that none is blank in good order; it may have been emptied under a leader that knew it well.
pub fn lost(reports: &BTreeMap<ShardId, Status>, had: impl Fn(ShardId) -> bool) -> Vec<ShardId> {
    let blank = reports.iter().filter(|(_, status)| status.generation.is_none()).map(|(shard, _)| *shard);
    blank.filter(|shard| had(*shard)).collect()
}

/// Equal but for the generation.
fn is_same(one: &Push, other: &Push) -> bool {
    let level = |push: &Push| Directory { generation: Generation::default(), ..push.directory.clone() };
    one.bindings == other.bindings && level(one) == level(other)
}

#[cfg(test)]
#[path = "directory_tests.rs"]
mod tests;
