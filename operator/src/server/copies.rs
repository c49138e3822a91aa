//! What the shards of a MailServer are told of copies, and what their sidecars say: a pure memory around [`api::policies`]
//! and [`api::runs`].
//!
//! * What a shard keeps is read back from it before it is told anything: a policy whose object is gone stays in force.
//! * A run is given to a sidecar only once its object's status has a start and an executor ([`crate::status::run`]).
//! * What a sidecar said before it was told of a policy as it is now says nothing about that.

use std::collections::{BTreeMap, BTreeSet};

use api::{Backups, MailServer, Object, Runs};
use control::RunAssignment;
use control::operator::{SidecarStatus, Wanted};
use control::report::{Report, RunReport};
use jiff::{SignedDuration, Timestamp};
use kube::{Resource, ResourceExt};
use model::backup::Policies;
use model::{Bindings, BootId, MailboxId, ServerId, ShardId};

use crate::names;
use crate::status::policy::{Said, Shard, View};
use crate::status::{Copied, run};

/// A sidecar that has not reported for so long is away. It does every two seconds; a pod is replaced within this.
const AWAY: SignedDuration = SignedDuration::from_mins(1);
/// Troubles that break the objective of a policy.
const BREACHES: [&str; 2] = [api::conditions::reason::GAP, api::conditions::reason::FORK];

/// The memory of one leadership over one MailServer.
#[derive(Debug, Default)]
pub struct Copies {
    /// What each shard keeps, as far as it was heard.
    last: BTreeMap<ShardId, Policies>,
    /// What each start of a shard was told.
    told: BTreeMap<ShardId, (BootId, Wanted)>,
    /// When a shard was told of a policy as it is now.
    changed: BTreeMap<(ShardId, String), Timestamp>,
    sights: BTreeMap<ShardId, Sight>,
    /// Since when each shard has been asked.
    since: BTreeMap<ShardId, Timestamp>,
}

#[derive(Debug)]
struct Sight {
    report: Report,
    seen: Timestamp,
}

/// What a decision is made of.
pub struct Input<'a> {
    /// The object.
    pub server: &'a MailServer,
    /// Its id.
    pub id: &'a ServerId,
    /// Objects of its namespace.
    pub objects: &'a [Object],
    /// Where mailboxes are.
    pub bindings: &'a Bindings,
    /// Now.
    pub now: Timestamp,
}

/// What follows.
#[derive(Debug, Default)]
pub struct Decision {
    /// What every shard that was heard should be told.
    pub wanted: BTreeMap<ShardId, Wanted>,
    /// Policies, findings.
    pub backups: Backups,
    /// Runs, begun or not.
    pub runs: Runs,
}

impl Copies {
    /// True where that shard was asked for what it keeps.
    pub fn has_heard(&self, shard: ShardId) -> bool {
        self.last.contains_key(&shard)
    }

    /// What a shard keeps; none before it was told anything.
    pub fn learn(&mut self, shard: ShardId, policies: Option<Policies>) {
        self.last.insert(shard, policies.unwrap_or_default());
    }

    /// What the shards should be told now.
    pub fn decide(&self, input: &Input<'_>) -> Decision {
        let Input { server, id, objects, bindings, now } = input;
        let backups = api::policies(server, id, objects, bindings, &self.last);
        let runs = api::runs(server, objects, bindings, *now);
        let begun = begun(objects);
        let of = |shard: &ShardId| {
            let runs = runs.shards.get(shard).into_iter().flatten();
            let runs = runs.filter(|run| begun.contains(uid_of(&run.id)));
            let executor = names::shard(&server.name_any(), *shard);
            runs.map(|run| RunAssignment { run: run.clone(), executor: executor.clone() }).collect()
        };
        let heard = backups.shards.iter().filter(|(shard, _)| self.has_heard(**shard));
        let wanted =
            heard.map(|(shard, policies)| (*shard, Wanted { policies: policies.clone(), runs: of(shard) })).collect();
        Decision { wanted, backups, runs }
    }

    /// True where this start of the shard has not been told that yet.
    pub fn is_news(&self, shard: ShardId, boot: BootId, wanted: &Wanted) -> bool {
        self.told.get(&shard).is_none_or(|(known, told)| *known != boot || told != wanted)
    }

    /// A shard has taken what it was told.
    pub fn told(&mut self, shard: ShardId, boot: BootId, wanted: Wanted, now: Timestamp) {
        let before = self.last.insert(shard, wanted.policies.clone()).unwrap_or_default();
        for (name, policy) in &wanted.policies.policies {
            if before.policies.get(name) != Some(policy) {
                self.changed.insert((shard, name.clone()), now);
            }
        }
        self.told.insert(shard, (boot, wanted));
    }

    /// Takes what a shard says of its sidecar.
    pub fn hear(&mut self, shard: ShardId, status: &SidecarStatus, now: Timestamp) {
        self.since.entry(shard).or_insert(now);
        let Some(report) = &status.report else { return };
        let known = self.sights.get(&shard).map(|sight| (&sight.report.run, sight.report.time));
        if known != Some((&report.run, report.time)) {
            self.sights.insert(shard, Sight { report: report.clone(), seen: now });
        }
    }

    /// What a sidecar says of a run.
    pub fn run(&self, shard: ShardId, id: &str) -> Option<&RunReport> {
        self.sights.get(&shard)?.report.runs.iter().find(|run| run.id == id)
    }

    /// Which policy holds for a mailbox.
    pub fn of(&self, shard: ShardId, mailbox: MailboxId) -> Copied {
        match self.told.get(&shard) {
            None => Copied::NotKnown,
            Some((_, told)) => told.policies.of(mailbox).map_or(Copied::None, |(name, _)| Copied::By(name.to_owned())),
        }
    }

    /// The policies in force anywhere, with what they were last.
    pub fn in_force(&self) -> impl Iterator<Item = (&String, &model::backup::Policy)> {
        self.last.values().flat_map(|policies| &policies.policies)
    }

    /// How every policy in force fares, by its name. A shard that was never heard has no part in it.
    pub fn views(&self, server: &str, now: Timestamp) -> BTreeMap<String, View> {
        let mut views: BTreeMap<String, View> = BTreeMap::new();
        for (shard, policies) in &self.last {
            for name in policies.policies.keys() {
                let shown = Shard {
                    name: format!("shard {shard} of {server}"),
                    said: self.said(*shard, name, now),
                    trouble: self.trouble(*shard, name),
                };
                views.entry(name.clone()).or_default().shards.push(shown);
            }
        }
        views
    }

    fn said(&self, shard: ShardId, policy: &str, now: Timestamp) -> Said {
        let Some(sight) = self.sights.get(&shard) else {
            let since = self.since.get(&shard).copied().unwrap_or(now);
            return if now.duration_since(since) > AWAY { Said::Away } else { Said::NotYet };
        };
        if now.duration_since(sight.seen) > AWAY {
            return Said::Away;
        }
        let changed = self.changed.get(&(shard, policy.to_owned()));
        let current = changed.is_none_or(|changed| sight.seen > *changed);
        let report = sight.report.policies.get(policy).filter(|_| current);
        report.map_or(Said::NotYet, |report| Said::Report(Box::new(report.clone())))
    }

    fn trouble(&self, shard: ShardId, policy: &str) -> Option<(String, String)> {
        let (sight, last) = (self.sights.get(&shard)?, self.last.get(&shard)?);
        let here = |mailbox: MailboxId| last.of(mailbox).is_some_and(|(name, _)| name == policy);
        let breach = |reason: &str| BREACHES.contains(&reason);
        let found = sight.report.troubles.iter().find(|trouble| breach(&trouble.reason) && here(trouble.mailbox))?;
        Some((found.reason.clone(), format!("mailbox {}: {}", found.mailbox, found.message)))
    }
}

/// The uids of runs that have a start and an executor.
fn begun(objects: &[Object]) -> BTreeSet<String> {
    let begun = objects.iter().filter_map(|object| match object {
        Object::MailboxBackup(o) => {
            let status = o.status.as_ref()?;
            run::is_begun(status.executor.as_ref(), status.start_time.as_ref()).then(|| o.meta().uid.clone())?
        }
        Object::MailboxRestore(o) => {
            let status = o.status.as_ref()?;
            run::is_begun(status.executor.as_ref(), status.start_time.as_ref()).then(|| o.meta().uid.clone())?
        }
        _ => None,
    });
    begun.collect()
}

/// The end of a run's id.
pub fn uid_of(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

#[cfg(test)]
#[path = "copies_tests.rs"]
mod tests;
