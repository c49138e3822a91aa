//! Copies: tells the shards which policies and runs there are, brings their sidecars what opens the buckets, and writes what
//! comes of it. Mail never waits for any of it: what fails here is told and tried again with the next pass.
//!
//! ```text
//! BackupPolicy, Mailbox, MailServer --> PUT /v1/policies --> primary --> sidecar    (names, times, places)
//! Secrets that policies name -------> <server>-buckets --> mounted in the sidecar   (what opens buckets; no primary has it)
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::conditions::reason;
use api::{BackupPolicy, MailServer, Object};
use futures_util::future::join_all;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use kube::ResourceExt;
use model::{ServerId, ShardId};

use super::Server;
use super::copies::{Input, uid_of};
use super::route::Routed;
use super::secrets::{Data, Problem, Trouble};
use crate::children::{Endpoint, owner};
use crate::shard::ShardClient;
use crate::status::policy::{Said, Shard, View};
use crate::status::run::Seen;
use crate::{OperatorError, names};

/// What a Secret with credentials has to have, and what it may have.
const CREDENTIALS: [(&str, bool); 3] = [("accessKeyId", true), ("secretAccessKey", true), ("sessionToken", false)];
/// What a Secret with an authority has to have.
const AUTHORITY: &str = "ca.crt";
/// Longest key of a Secret.
const LONGEST_KEY: usize = 253;

/// A run that is not over, and how it fares.
#[derive(Debug)]
pub struct RunSeen {
    /// No shard can be given it: reason, message, and whether it never can be done.
    pub unassigned: Option<(&'static str, String, bool)>,
    /// Otherwise whose it is, and its id there.
    pub shard: Option<(ShardId, String)>,
}

/// What a pass has shown of copies.
#[derive(Debug, Default)]
pub struct Copied {
    /// Unfinished runs by uid of their objects.
    pub runs: BTreeMap<String, RunSeen>,
    /// How policies fare here, once every shard was heard.
    pub views: Option<BTreeMap<String, View>>,
    /// A run is at work.
    pub busy: bool,
}

impl Copied {
    /// True where a Secret might be the cause of something.
    pub fn is_failing(&self) -> bool {
        let failing =
            |shard: &Shard| matches!(&shard.said, Said::Report(report) if report.reachable.status == Some(false));
        let views = self.views.iter().flat_map(BTreeMap::values);
        views.into_iter().any(|view| view.problem.is_some() || view.shards.iter().any(failing))
    }
}

impl Server {
    /// One pass over copies.
    pub(super) async fn back_up(
        &mut self,
        clients: &BTreeMap<ShardId, ShardClient>,
        server: &MailServer,
        id: &ServerId,
        objects: &[Object],
        routed: &mut Routed,
    ) {
        self.listen_to_copies(clients, routed).await;
        let Some(bindings) = self.desk.current().map(|push| push.bindings.clone()) else { return };
        let now = Timestamp::now();
        let decision = self.copies.decide(&Input { server, id, objects, bindings: &bindings, now });
        routed.findings.extend(decision.backups.findings);
        let in_force = decision.wanted.values().flat_map(|wanted| wanted.policies.policies.keys().cloned()).collect();
        let problems = match self.open_buckets(server, &in_force, self.all_heard(server)).await {
            Ok(problems) => problems,
            Err(error) => {
                tracing::warn!(
                    server = self.key.1,
                    error = super::chain(&error),
                    "the sidecars do not get what opens buckets"
                );
                routed.changed = true;
                BTreeMap::new()
            }
        };
        let tell = decision.wanted.iter().filter_map(|(shard, wanted)| {
            let status = routed.reports.get(shard).filter(|_| routed.current.contains(shard))?;
            self.copies.is_news(*shard, status.boot, wanted).then_some((*shard, status.boot, wanted))
        });
        let told =
            tell.map(|(shard, boot, wanted)| async move { (shard, boot, wanted, clients[&shard].want(wanted).await) });
        for (shard, boot, wanted, told) in join_all(told.collect::<Vec<_>>()).await {
            routed.changed = true;
            match told {
                Ok(()) => self.copies.told(shard, boot, wanted.clone(), now),
                Err(error) => tracing::warn!(%shard, error = super::chain(&error), "a shard was not told of policies"),
            }
        }
        for (shard, status) in &routed.reports {
            self.copies.hear(*shard, &status.sidecar, now);
        }
        routed.copied = self.copied(server, &decision.runs, problems, now);
    }

    /// Takes over what shards keep that were not heard before.
    async fn listen_to_copies(&mut self, clients: &BTreeMap<ShardId, ShardClient>, routed: &Routed) {
        let new: Vec<ShardId> = routed.reports.keys().copied().filter(|shard| !self.copies.has_heard(*shard)).collect();
        for shard in new {
            match clients[&shard].wanted().await {
                Ok(policies) => self.copies.learn(shard, policies),
                Err(error) => {
                    tracing::warn!(%shard, error = super::chain(&error), "a shard does not say what it keeps");
                }
            }
        }
    }

    /// True once every shard has said what it keeps.
    fn all_heard(&self, server: &MailServer) -> bool {
        (0..u32::try_from(server.spec.shards).unwrap_or(1)).all(|shard| self.copies.has_heard(ShardId(shard)))
    }

    fn copied(
        &self,
        server: &MailServer,
        runs: &api::Runs,
        problems: BTreeMap<String, Problem>,
        now: Timestamp,
    ) -> Copied {
        let mut copied = Copied::default();
        for (shard, runs) in &runs.shards {
            for run in runs {
                let seen = RunSeen { unassigned: None, shard: Some((*shard, run.id.clone())) };
                copied.busy |= true;
                copied.runs.insert(uid_of(&run.id).to_owned(), seen);
            }
        }
        let index = self.context.watched.index();
        for run in &runs.unassigned {
            let key = (self.key.0.clone(), run.object.name.clone());
            let uid = match run.object.kind.as_str() {
                "MailboxBackup" => index.backups.get(&key).and_then(|o| o.uid()),
                _ => index.restores.get(&key).and_then(|o| o.uid()),
            };
            let unassigned = Some((run.reason, run.message.clone(), run.failed));
            copied.runs.extend(uid.map(|uid| (uid, RunSeen { unassigned, shard: None })));
        }
        copied.views = self.all_heard(server).then(|| self.copies.views(&self.key.1, now));
        for (name, problem) in problems {
            if let Some(view) = copied.views.as_mut().and_then(|views| views.get_mut(&name)) {
                view.problem = Some(problem);
            }
        }
        copied
    }

    /// How an unfinished run fares, in the words of [`crate::status::run`].
    pub(super) fn run_seen<'a>(&'a self, seen: &'a RunSeen, executor: &'a str) -> Seen<'a> {
        match (&seen.unassigned, &seen.shard) {
            (Some((reason, message, failed)), _) => Seen::Unassigned(reason, message, *failed),
            (None, Some((shard, id))) => Seen::Assigned { executor, said: self.copies.run(*shard, id) },
            (None, None) => Seen::Assigned { executor, said: None },
        }
    }

    /// Brings what opens the buckets of these policies into the one Secret that sidecars mount.
    async fn open_buckets(
        &mut self,
        server: &MailServer,
        in_force: &BTreeSet<String>,
        all_heard: bool,
    ) -> Result<BTreeMap<String, Problem>, OperatorError> {
        let name = names::buckets(&self.key.1);
        let before = match self.secrets.get(&name).await {
            Ok(before) => before,
            Err(Trouble::Problem(problem)) => return Ok(all_have(in_force, &problem)),
            Err(Trouble::Error(error)) => return Err(error),
        };
        let (mut problems, mut found) = (BTreeMap::new(), BTreeMap::new());
        for policy in in_force {
            let Some(object) = self.policy(policy) else { continue };
            match self.opens(&object).await {
                Ok(data) => drop(found.insert(policy.as_str(), data)),
                Err(Trouble::Problem(problem)) => drop(problems.insert(policy.clone(), problem)),
                Err(Trouble::Error(error)) => return Err(error),
            }
        }
        let nothing = Data::new();
        let data = together(in_force, &found, before.as_ref().unwrap_or(&nothing), all_heard);
        if data == *before.as_ref().unwrap_or(&nothing) {
            return Ok(problems);
        }
        tracing::info!(secret = name, "the sidecars get what opens their buckets");
        match self.secrets.put(&name, &names::labels(&self.key.1), &owner(server), data).await {
            Ok(()) => Ok(problems),
            Err(Trouble::Problem(problem)) => Ok(all_have(in_force, &problem)),
            Err(Trouble::Error(error)) => Err(error),
        }
    }

    fn policy(&self, name: &str) -> Option<Arc<BackupPolicy>> {
        self.context.watched.index().policies.get(&(self.key.0.clone(), name.to_owned())).cloned()
    }

    /// What opens the bucket of a policy, by the names of the files that a sidecar reads.
    async fn opens(&mut self, policy: &BackupPolicy) -> Result<Data, Trouble> {
        let s3 = &policy.spec.destination.s3;
        let mut data = Data::new();
        let longest = policy.name_any().len() + 1 + CREDENTIALS.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
        if longest > LONGEST_KEY {
            return Err(problem(
                reason::SECRET_INVALID,
                "the policy's name is too long: give it a shorter one".to_owned(),
            ));
        }
        if let Some(secret) = &s3.credentials_secret_ref {
            let found = self.named(&secret.name, "with accessKeyId and secretAccessKey").await?;
            for (key, needed) in CREDENTIALS {
                match found.get(key).filter(|value| !value.0.trim_ascii().is_empty()) {
                    Some(value) => drop(data.insert(key.to_owned(), value.clone())),
                    None if needed => return Err(super::secrets::invalid(&secret.name, key)),
                    None => {}
                }
            }
        }
        if let Some(secret) = &s3.ca_secret_ref {
            let found = self.named(&secret.name, "with ca.crt").await?;
            let authority: Option<&ByteString> = found.get(AUTHORITY).filter(|pem| tls::expires(&pem.0).is_some());
            let authority =
                authority.ok_or_else(|| super::secrets::invalid(&secret.name, "a certificate in ca.crt"))?;
            data.insert(AUTHORITY.to_owned(), authority.clone());
        }
        Ok(data)
    }

    async fn named(&mut self, secret: &str, what: &str) -> Result<Data, Trouble> {
        let found = self.secrets.get(secret).await?;
        let missing = || problem(reason::SECRET_NOT_FOUND, format!("there is no Secret `{secret}`: make one {what}"));
        found.ok_or_else(missing)
    }

    /// Where the buckets are of all policies that are declared for this server, or that a shard keeps.
    pub(super) fn buckets(&self, server: &MailServer) -> BTreeSet<Endpoint> {
        let index = self.context.watched.index();
        let mailboxes = index.mailboxes.of(&self.key.0).filter(|mailbox| mailbox.spec.server_ref.name == self.key.1);
        let named = mailboxes.filter_map(|mailbox| mailbox.spec.backup_policy_ref.as_ref());
        let named: BTreeSet<&str> =
            named.chain(&server.spec.backup_policy_ref).map(|policy| policy.name.as_str()).collect();
        let declared = index.policies.of(&self.key.0).filter(|policy| named.contains(policy.name_any().as_str()));
        let declared = declared.map(|policy| policy.spec.destination.s3.endpoint.clone());
        let kept = self.copies.in_force().filter_map(|(_, policy)| match &policy.destination {
            model::backup::Destination::S3(s3) => Some(s3.endpoint.clone()),
            model::backup::Destination::Folder { .. } => None,
        });
        declared.chain(kept).map(|endpoint| Endpoint::of(endpoint.as_deref(), &self.key.0)).collect()
    }
}

/// The one Secret. What was there stays where the Secret that a policy names is missing, or the policy is; and all of it as
/// long as a shard was not heard, which may have other policies in force.
fn together(in_force: &BTreeSet<String>, found: &BTreeMap<&str, Data>, before: &Data, all_heard: bool) -> Data {
    let mut data = if all_heard { Data::new() } else { before.clone() };
    for policy in in_force {
        let keys = CREDENTIALS.iter().map(|(key, _)| *key).chain([AUTHORITY]);
        for key in keys {
            let (name, now) = (format!("{policy}.{key}"), found.get(policy.as_str()));
            data.remove(&name);
            let value = now.map_or_else(|| before.get(&name), |now| now.get(key));
            data.extend(value.map(|value| (name, value.clone())));
        }
    }
    data
}

fn all_have(policies: &BTreeSet<String>, problem: &Problem) -> BTreeMap<String, Problem> {
    policies.iter().map(|policy| (policy.clone(), problem.clone())).collect()
}

fn problem(reason: &'static str, message: String) -> Trouble {
    Trouble::Problem((reason, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(pairs: &[(&str, &str)]) -> Data {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec()))).collect()
    }

    #[test]
    fn what_opens_a_bucket_stays_while_its_secret_is_missing_and_goes_with_its_policy() {
        let before = data(&[("daily.accessKeyId", "a"), ("daily.ca.crt", "old"), ("gold.accessKeyId", "g")]);
        let both = BTreeSet::from(["daily".to_owned(), "gold".to_owned()]);
        let fresh = BTreeMap::from([("daily", data(&[("accessKeyId", "b"), ("secretAccessKey", "s")]))]);
        let now = together(&both, &fresh, &before, true);
        assert_eq!(now, data(&[("daily.accessKeyId", "b"), ("daily.secretAccessKey", "s"), ("gold.accessKeyId", "g")]));
        let daily = BTreeSet::from(["daily".to_owned()]);
        assert!(!together(&daily, &fresh, &before, true).contains_key("gold.accessKeyId"));
        assert!(
            together(&daily, &fresh, &before, false).contains_key("gold.accessKeyId"),
            "a shard may have it in force"
        );
    }
}
