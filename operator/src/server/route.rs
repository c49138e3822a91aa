//! The directory and first keys: asks the shards, decides, pushes.

use std::collections::BTreeMap;

use api::conditions::reason;
use api::{KeySource, MailServer, Mailbox, Object};
use control::operator::Status;
use futures_util::future::join_all;
use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use model::{Address, Finding, MailboxId, ObjectRef, ShardId};
use serde_json::json;
use zeroize::Zeroizing;

use super::Server;
use super::backup::Copied;
use super::directory::Input;
use super::secrets::{Problem, Trouble};
use crate::index::Broken;
use crate::names;
use crate::shard::{ShardClient, ShardError};
use crate::{OperatorError, keys};

/// What a pass over the shards has shown.
#[derive(Debug, Default)]
pub struct Routed {
    /// Shards that answered, with what they had before this pass.
    pub reports: BTreeMap<ShardId, Status>,
    /// What is wrong with shards.
    pub problems: BTreeMap<ShardId, Problem>,
    /// Shards that have the present directory.
    pub current: Vec<ShardId>,
    /// Shards that refused it.
    pub refused: BTreeMap<ShardId, Problem>,
    /// What to tell people.
    pub findings: Vec<Finding>,
    /// How many addresses a held push would remove.
    pub held: Option<usize>,
    /// Mailboxes and Aliases that cannot be read.
    pub broken: Vec<(&'static str, Broken)>,
    /// What copies are made, and how that goes.
    pub copied: Copied,
    /// Something was changed, and another pass will see more.
    pub changed: bool,
}

impl Routed {
    /// True where nothing is expected to happen by itself soon.
    pub fn is_settled(&self) -> bool {
        !self.changed && !self.copied.busy && self.problems.is_empty() && self.refused.is_empty()
    }
}

impl Server {
    /// One pass.
    pub(super) async fn route(&mut self, server: &MailServer) -> Result<Routed, OperatorError> {
        let mut routed = Routed::default();
        let Some(identity) = &self.identity else { return Ok(routed) };
        let (id, clients) = (identity.id.clone(), identity.shards.clone());
        self.ask(&clients, &mut routed).await;
        self.listen(&clients, server, &mut routed).await;
        if routed.reports.is_empty() {
            return Ok(routed);
        }
        self.raise_epoch(server, &routed).await?;
        let (mut objects, broken) = self.objects();
        routed.broken = broken;
        self.add_secrets(&mut objects, &routed).await?;
        let unknown: Vec<_> = routed.broken.iter().filter(|(_, broken)| !broken.known).cloned().collect();
        let input = Input {
            server,
            id: &id,
            objects: &objects,
            broken: &unknown,
            reports: &routed.reports,
            allowed: allowed_removals(server),
            now: Timestamp::now(),
        };
        let decision = self.desk.decide(&input, || MailboxId::from_random(crypto::random()));
        routed.held = decision.held;
        routed.findings = decision.findings;
        routed.findings.extend(api::references(&objects));
        self.push(&clients, &decision.to, &mut routed).await;
        let reports = routed.reports.iter().filter(|(_, status)| self.desk.is_current(status));
        routed.current.extend(reports.map(|(shard, _)| *shard));
        self.install_keys(&clients, &objects, &mut routed).await?;
        self.back_up(&clients, server, &id, &objects, &mut routed).await;
        Ok(routed)
    }

    /// What every shard says of itself.
    async fn ask(&self, clients: &BTreeMap<ShardId, ShardClient>, routed: &mut Routed) {
        let answers = clients.iter().map(|(shard, client)| async { (*shard, client.status().await) });
        for (shard, answer) in join_all(answers).await {
            match answer {
                Ok(status) => {
                    routed.reports.insert(shard, status);
                }
                Err(error) => {
                    routed.problems.insert(shard, unreachable(&error));
                }
            }
        }
    }

    /// Takes over the memory of shards that were not heard before. A blank one whose mailboxes are known is not used.
    async fn listen(&mut self, clients: &BTreeMap<ShardId, ShardClient>, server: &MailServer, routed: &mut Routed) {
        let new: Vec<ShardId> = routed.reports.keys().copied().filter(|shard| !self.desk.has_heard(*shard)).collect();
        for shard in new {
            match clients[&shard].pushed().await {
                Ok(push) => self.desk.learn(shard, push),
                Err(error) => {
                    routed.reports.remove(&shard);
                    routed.problems.insert(shard, unreachable(&error));
                }
            }
        }
        if server.annotations().contains_key(names::ACCEPT_LOSS) {
            return;
        }
        for shard in super::directory::lost(&routed.reports, |shard| self.had_mailboxes(shard)) {
            routed.reports.remove(&shard);
            let message = format!(
                "the volume of shard {shard} is blank, but it had mailboxes: restore it, or give up its mail with kubectl annotate mailserver {} {}=true",
                server.name_any(),
                names::ACCEPT_LOSS
            );
            routed.problems.insert(shard, (reason::VOLUME_LOST, message));
        }
    }

    /// True where another shard, or the status of a Mailbox, knows of a mailbox there.
    fn had_mailboxes(&self, shard: ShardId) -> bool {
        let index = self.context.watched.index();
        let here = |mailbox: &Mailbox| {
            let status = mailbox.status.as_ref();
            mailbox.spec.server_ref.name == self.key.1
                && status.is_some_and(|s| s.mailbox_id.is_some() && s.shard == i32::try_from(shard.0).ok())
        };
        self.desk.binds(shard) || index.mailboxes.of(&self.key.0).any(|mailbox| here(mailbox))
    }

    /// Fences off whoever pushed before: the epoch is recorded under the version of the object that it was read from.
    async fn raise_epoch(&mut self, server: &MailServer, routed: &Routed) -> Result<(), OperatorError> {
        let recorded = |server: &MailServer| {
            let directory = server.status.as_ref().and_then(|status| status.directory.as_ref());
            directory.map_or(0, |directory| u64::try_from(directory.epoch).unwrap_or(0))
        };
        if self.desk.wants_epoch(recorded(server), &routed.reports).is_none() {
            return Ok(());
        }
        let what = "record the directory's epoch";
        let servers: Api<MailServer> = Api::namespaced(self.context.client.clone(), &self.key.0);
        let live = servers.get(&self.key.1).await.map_err(OperatorError::api(what))?;
        let Some(epoch) = self.desk.wants_epoch(recorded(&live), &routed.reports) else { return Ok(()) };
        let version = live.resource_version();
        let patch = json!({"metadata": {"resourceVersion": version}, "status": {"directory": {"epoch": epoch}}});
        let params = PatchParams { field_manager: Some(names::MANAGER.to_owned()), ..PatchParams::default() };
        let written = servers.patch_status(&self.key.1, &params, &Patch::Merge(&patch)).await;
        written.map_err(OperatorError::api(what))?;
        self.desk.open(epoch);
        tracing::info!(server = self.key.1, epoch, "this operator pushes the directory");
        Ok(())
    }

    /// The namespace's objects as values, and those that cannot be read.
    fn objects(&self) -> (Vec<Object>, Vec<(&'static str, Broken)>) {
        let (namespace, index) = (&self.key.0, self.context.watched.index());
        let servers = index.servers.of(namespace).map(|o| Object::MailServer(Box::new((**o).clone())));
        let mailboxes = index.mailboxes.of(namespace).map(|o| Object::Mailbox(Box::new((**o).clone())));
        let aliases = index.aliases.of(namespace).map(|o| Object::Alias(Box::new((**o).clone())));
        let policies = index.policies.of(namespace).map(|o| Object::BackupPolicy(Box::new((**o).clone())));
        let backups = index.backups.of(namespace).map(|o| Object::MailboxBackup(Box::new((**o).clone())));
        let restores = index.restores.of(namespace).map(|o| Object::MailboxRestore(Box::new((**o).clone())));
        let valid = |object: &Object| api::validate(object).is_empty();
        let objects = servers.chain(mailboxes).chain(aliases).chain(policies).chain(backups).chain(restores);
        let objects = objects.filter(valid).collect();
        let broken = index.mailboxes.broken(namespace).into_iter().map(|broken| ("Mailbox", broken));
        let broken = broken.chain(index.aliases.broken(namespace).into_iter().map(|broken| ("Alias", broken)));
        (objects, broken.collect())
    }

    /// Secrets that mailboxes without keys name.
    async fn add_secrets(&mut self, objects: &mut Vec<Object>, routed: &Routed) -> Result<(), OperatorError> {
        let mut wanted = Vec::new();
        for object in &*objects {
            let Object::Mailbox(mailbox) = object else { continue };
            if mailbox.spec.server_ref.name != self.key.1 || self.is_keyed(mailbox, routed) {
                continue;
            }
            wanted.extend(mailbox.spec.keys_secret_ref.iter().chain(&mailbox.spec.password_secret_ref).cloned());
        }
        wanted.sort_by(|a, b| a.name.cmp(&b.name));
        wanted.dedup();
        for reference in wanted {
            match self.secrets.get(&reference.name).await {
                Ok(Some(data)) => {
                    let data = data.into_iter().map(|(key, value)| (key, Zeroizing::new(value.0))).collect();
                    objects.push(Object::Secret(api::Secret { name: reference.name, data }));
                }
                Ok(None) => {}
                Err(Trouble::Problem(problem)) => self.found.blocked = Some(problem),
                Err(Trouble::Error(error)) => return Err(error),
            }
        }
        Ok(())
    }

    fn is_keyed(&self, mailbox: &Mailbox, routed: &Routed) -> bool {
        let Some((id, shard)) = self.placed(mailbox) else { return false };
        let status = routed.reports.get(&shard);
        // Nothing is to be done for a shard that does not answer.
        status.is_none_or(|status| status.mailboxes.iter().any(|m| m.id == id && m.keyed))
    }

    /// Where a Mailbox lives, once that is decided.
    pub(super) fn placed(&self, mailbox: &Mailbox) -> Option<(MailboxId, ShardId)> {
        let uid = mailbox.uid()?;
        let (id, binding) = self.desk.current()?.bindings.owned_by(&uid)?;
        Some((id, binding.shard))
    }

    async fn push(&self, clients: &BTreeMap<ShardId, ShardClient>, to: &[ShardId], routed: &mut Routed) {
        let Some(push) = self.desk.current() else { return };
        let pushes = to.iter().map(|shard| async { (*shard, clients[shard].push(push).await) });
        for (shard, pushed) in join_all(pushes).await {
            routed.changed = true;
            match pushed {
                Ok(()) => routed.current.push(shard),
                Err(error @ ShardError::Refused { .. }) => {
                    let message = format!("shard {shard} {}", super::chain(&error));
                    routed.refused.insert(shard, (reason::PUSH_REFUSED, message));
                }
                Err(error) => {
                    routed.problems.insert(shard, unreachable(&error));
                }
            }
        }
    }

    /// Makes the first keys of mailboxes whose password or bundle is declared.
    async fn install_keys(
        &mut self,
        clients: &BTreeMap<ShardId, ShardClient>,
        objects: &[Object],
        routed: &mut Routed,
    ) -> Result<(), OperatorError> {
        for object in objects {
            let Object::Mailbox(mailbox) = object else { continue };
            let Some((id, shard)) = self.placed(mailbox) else { continue };
            if self.is_keyed(mailbox, routed) || !routed.current.contains(&shard) {
                continue;
            }
            let Ok(address) = mailbox.spec.address.parse::<Address>() else { continue };
            let made = match api::key_source(mailbox, objects) {
                KeySource::Bundle(bundle) => Ok(bundle.to_vec()),
                KeySource::Password(password) => keys::first_keys(address, password).await,
                KeySource::AwaitingOwner | KeySource::Missing { .. } => continue,
            };
            let installed = match made {
                Ok(keys) => clients[&shard].install_keys(id, keys).await.map_err(|error| super::chain(&error)),
                Err(error) => Err(super::chain(&error)),
            };
            match installed {
                Ok(_) => routed.changed = true,
                Err(why) => routed.findings.push(Finding {
                    object: ObjectRef::new("Mailbox", &mailbox.name_any()),
                    condition: api::conditions::KEYS_INSTALLED,
                    status: false,
                    reason: reason::SECRET_INVALID,
                    message: format!("its keys cannot be installed: {why}"),
                }),
            }
        }
        Ok(())
    }
}

fn allowed_removals(server: &MailServer) -> usize {
    server.annotations().get(names::ALLOW_REMOVALS).and_then(|count| count.parse().ok()).unwrap_or(0)
}

fn unreachable(error: &ShardError) -> Problem {
    (reason::SHARD_UNREACHABLE, format!("the operator cannot talk to it: {}", super::chain(error)))
}
