//! Writes what is known into the status of the MailServer, of its Mailboxes and Aliases, and of the BackupPolicies and runs
//! that concern them, where it has changed.

use std::sync::Arc;

use api::conditions::reason;
use api::{Alias, BackupPolicy, MailServer, Mailbox, MailboxBackup, MailboxRestore};
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, Resource, ResourceExt};
use model::ShardId;
use serde::Serialize;
use serde_json::json;

use super::Server;
use super::backup::RunSeen;
use super::route::Routed;
use super::secrets::Problem;
use crate::metrics::Wrote;
use crate::status::{self, At, Fence, Placed};
use crate::{OperatorError, apply, names};

/// Statuses that are written at a time.
const AT_ONCE: usize = 16;

impl Server {
    /// Writes what a pass has shown.
    pub(super) async fn report(&self, server: &MailServer, routed: &Routed) -> Result<(), OperatorError> {
        let seen = self.see(server, routed);
        self.report_server(server, &seen, routed).await?;
        // Before the shards were heard nothing is known of mailboxes, and what was known stays.
        if self.desk.current().is_none() {
            return Ok(());
        }
        let (mailboxes, aliases) = self.ours();
        let all = self.desk.current().is_some() && seen.shards.iter().all(|shard| shard.current);
        let one = |mailbox: Arc<Mailbox>| async move {
            let placed = self.placing(&mailbox, routed);
            let name = mailbox.name_any();
            let status = status::mailbox(mailbox.status.as_ref(), &name, &placed, &routed.findings, at(&*mailbox));
            self.write(&*mailbox, mailbox.status.as_ref(), &status, &status.conditions).await
        };
        let other = |alias: Arc<Alias>| async move {
            let status = status::alias(alias.status.as_ref(), &alias.name_any(), all, &routed.findings, at(&*alias));
            self.write(&*alias, alias.status.as_ref(), &status, &status.conditions).await
        };
        let written: Vec<_> = stream::iter(mailboxes).map(one).buffer_unordered(AT_ONCE).collect().await;
        written.into_iter().collect::<Result<(), _>>()?;
        let written: Vec<_> = stream::iter(aliases).map(other).buffer_unordered(AT_ONCE).collect().await;
        written.into_iter().collect::<Result<(), _>>()?;
        self.report_policies(routed).await?;
        self.report_runs(routed).await
    }

    /// Says how policies fare that are in force here: under this MailServer, and under all others of the namespace.
    async fn report_policies(&self, routed: &Routed) -> Result<(), OperatorError> {
        let Some(views) = &routed.copied.views else { return Ok(()) };
        self.context.board().put(&self.key, views.clone());
        for name in views.keys() {
            let key = (self.key.0.clone(), name.clone());
            let Some(object) = self.context.watched.index().policies.get(&key).cloned() else { continue };
            let (all, calm) = {
                let board = self.context.board();
                (board.of(&key), board.is_calm(&key))
            };
            let before = object.status.as_ref();
            let status = status::policy::policy(before, &object.spec, &all, calm, at(&*object));
            if before != Some(&status) {
                self.context.board().told(&key);
            }
            self.write::<BackupPolicy, _>(&object, before, &status, &status.conditions).await?;
        }
        Ok(())
    }

    /// Says how runs fare that are not over.
    async fn report_runs(&self, routed: &Routed) -> Result<(), OperatorError> {
        let (backups, restores) = {
            let index = self.context.watched.index();
            let backups: Vec<Arc<MailboxBackup>> = index.backups.of(&self.key.0).cloned().collect();
            let restores: Vec<Arc<MailboxRestore>> = index.restores.of(&self.key.0).cloned().collect();
            (backups, restores)
        };
        for object in backups {
            let Some((seen, executor)) = self.run_of(&*object, routed) else { continue };
            let (before, seconds) = (object.status.as_ref(), object.spec.deadline_seconds);
            let status = status::run::backup(before, seconds, self.run_seen(seen, &executor), at(&*object));
            self.write(&*object, before, &status, &status.conditions).await?;
        }
        for object in restores {
            let Some((seen, executor)) = self.run_of(&*object, routed) else { continue };
            let (before, seconds) = (object.status.as_ref(), object.spec.deadline_seconds);
            let status = status::run::restore(before, seconds, self.run_seen(seen, &executor), at(&*object));
            self.write(&*object, before, &status, &status.conditions).await?;
        }
        Ok(())
    }

    /// What a pass has shown of a run, and who has it; none for one that is over or another server's.
    fn run_of<'a, K: Resource>(&self, object: &K, routed: &'a Routed) -> Option<(&'a RunSeen, String)> {
        let seen = routed.copied.runs.get(object.meta().uid.as_ref()?)?;
        let executor = seen.shard.as_ref().map(|(shard, _)| names::shard(&self.key.1, *shard));
        Some((seen, executor.unwrap_or_default()))
    }

    /// Says that nothing is done.
    pub(super) async fn report_paused(&self, server: &MailServer) -> Result<(), OperatorError> {
        let mut seen = self.see(server, &Routed::default());
        seen.paused = true;
        seen.blocked = Some((reason::LEFT_ALONE, "spec.paused is set: nothing is changed until it is not".to_owned()));
        self.report_server(server, &seen, &Routed::default()).await
    }

    async fn report_server(
        &self,
        server: &MailServer,
        seen: &status::Server,
        routed: &Routed,
    ) -> Result<(), OperatorError> {
        let before = server.status.as_ref();
        let status = status::server(before, &server.name_any(), seen, &routed.findings, at(server));
        self.write(server, before, &status, &status.conditions).await
    }

    fn ours(&self) -> (Vec<Arc<Mailbox>>, Vec<Arc<Alias>>) {
        let index = self.context.watched.index();
        let mailboxes = index.mailboxes.of(&self.key.0).filter(|o| o.spec.server_ref.name == self.key.1);
        let aliases = index.aliases.of(&self.key.0).filter(|o| o.spec.server_ref.name == self.key.1);
        (mailboxes.cloned().collect(), aliases.cloned().collect())
    }

    fn placing(&self, mailbox: &Mailbox, routed: &Routed) -> Placed {
        let Some((id, shard)) = self.placed(mailbox) else { return Placed::default() };
        let reported = routed.reports.get(&shard).map(|status| status.mailboxes.iter().find(|m| m.id == id));
        let keyed = match reported {
            Some(found) => found.is_some_and(|found| found.keyed),
            // A shard that is away has what it had: its faults show on the MailServer.
            None => self.desk.current().is_some_and(|push| push.directory.mailboxes.get(&id).is_some_and(|m| m.keyed)),
        };
        let acknowledged = routed.current.contains(&shard) || !routed.reports.contains_key(&shard);
        let known = mailbox.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
        let closed = match reported {
            Some(found) => found.is_some_and(|found| found.fenced),
            None => api::condition(known, api::conditions::FENCED).is_some_and(|known| known.status == "True"),
        };
        let fence = Fence { wanted: api::fence::mailbox(mailbox).map(str::to_owned), closed };
        Placed { at: Some((id, shard)), acknowledged, keyed, copies: self.copies.of(shard, id), fence }
    }

    /// What the cluster says of our children.
    fn see(&self, server: &MailServer, routed: &Routed) -> status::Server {
        let (namespace, name) = &self.key;
        let index = self.context.watched.index();
        let mut seen = status::Server {
            image: Some(self.found.image.clone()).filter(|image| !image.is_empty()),
            newer: Some(self.context.image.clone())
                .filter(|image| server.spec.image.is_none() && *image != self.found.image),
            epoch: self.desk.epoch(),
            certificates: self.found.certificates.clone(),
            self_signed: self.found.self_signed,
            blocked: self.found.blocked.clone(),
            storage: self.found.storage.clone(),
            held: routed.held,
            broken: routed
                .broken
                .iter()
                .map(|(kind, b)| {
                    format!("{kind}/{} cannot be read, what was known of it stays in force: {}", b.name, b.why)
                })
                .collect(),
            ..status::Server::default()
        };
        let fenced = api::fence::shards(server);
        for shard in (0..u32::try_from(server.spec.shards).unwrap_or(1)).map(ShardId) {
            let pods = index.pods_of(namespace, &names::of_shard(name, shard));
            let pod = pods.first();
            let ready = pods.iter().any(|pod| is_ready(pod));
            let set = index.sets.get(&(namespace.clone(), names::shard(name, shard)));
            let rolls =
                set.and_then(|set| set.status.as_ref()).is_some_and(|s| s.update_revision != s.current_revision);
            seen.rolling |= rolls || !ready;
            let waits = (!ready).then(|| (reason::PODS_NOT_READY, waiting(pod.map(|pod| &***pod), shard)));
            seen.shards.push(status::Shard {
                id: shard,
                node: pod.and_then(|pod| pod.spec.as_ref()?.node_name.clone()),
                problem: cause(self.found.shards.get(&shard), routed.problems.get(&shard), waits)
                    .or_else(|| fenced.contains(&shard).then(|| fence(name, shard, routed))),
                current: routed.current.contains(&shard),
                refused: routed.refused.get(&shard).cloned(),
            });
        }
        for front in ["imap", "mx"] {
            let deployment = index.deployments.get(&(namespace.clone(), format!("{name}-{front}")));
            let (wanted, ready, rolling) = deployment.map_or((1, 0, true), |deployment| counts(deployment));
            seen.rolling |= rolling;
            if ready < wanted {
                let pods = index.pods_of(namespace, &names::component(name, front));
                let worst = pods.iter().find(|pod| !is_ready(pod)).and_then(|pod| why(pod));
                let worst = worst.map(|why| format!(": {why}")).unwrap_or_default();
                seen.fronts.push(format!("{ready} of {wanted} {front} pods are ready{worst}"));
            }
            if front == "imap" {
                seen.imap.replicas = ready;
                let labels = names::selector(&names::component(name, front));
                seen.imap.selector = labels.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(",");
            }
        }
        seen
    }

    /// Writes a status unless it is there already, and tells of a change of its main condition.
    async fn write<K, S>(
        &self,
        object: &K,
        before: Option<&S>,
        status: &S,
        conditions: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition],
    ) -> Result<(), OperatorError>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope> + Clone + Serialize,
        K: serde::de::DeserializeOwned + std::fmt::Debug,
        S: PartialEq + Serialize + serde::de::DeserializeOwned,
    {
        if before == Some(status) {
            return Ok(());
        }
        let main = main_condition(&K::kind(&()));
        let old = before.and_then(|before| main_reason(before, main));
        let api: Api<K> = Api::namespaced(self.context.client.clone(), &self.key.0);
        let name = object.name_any();
        let mut metadata = json!({"name": name});
        if K::kind(&()) == "MailServer" {
            // The epoch is in it: whoever has an older view must not write it back.
            metadata["resourceVersion"] = json!(object.resource_version());
        }
        let body =
            json!({"apiVersion": api::API_VERSION, "kind": K::kind(&()), "metadata": metadata, "status": status});
        match apply::status(&api, &name, &body).await {
            Ok(()) => self.context.metrics.wrote(Wrote::Status),
            // Gone, or changed meanwhile: the next pass sees.
            Err(OperatorError::Api { source, .. }) if matches!(crate::error::code(&source), Some(404 | 409)) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        if let Some(told) = api::condition(conditions, main)
            && old.as_ref() != Some(&told.reason)
        {
            self.context.events.tell(&object.object_ref(&()), told).await;
        }
        Ok(())
    }
}

/// What is said of a shard that is fenced as a whole.
fn fence(server: &str, shard: ShardId, routed: &Routed) -> Problem {
    let open = format!("`kubectl sealpost unfence {server}/{shard}` lets them be opened");
    let closed = routed.reports.get(&shard).is_some_and(|status| status.mailboxes.iter().all(|mailbox| mailbox.fenced));
    if closed {
        return (reason::FENCED, format!("the files of its mailboxes stay closed, mail waits at its senders: {open}"));
    }
    (reason::CLOSING, format!("it has yet to close the files of its mailboxes; {open}"))
}

/// What keeps a shard from serving: its key first, then what it says itself, then what is known of its pod. That it cannot
/// be reached is no news of a pod that is not ready.
fn cause(key: Option<&Problem>, spoke: Option<&Problem>, pod: Option<Problem>) -> Option<Problem> {
    let known = spoke.filter(|(reason, _)| *reason != reason::SHARD_UNREACHABLE);
    key.or(known).cloned().or(pod).or_else(|| spoke.cloned())
}

/// The condition of a kind that people wait for.
fn main_condition(kind: &str) -> &'static str {
    let all = api::conditions::OF.iter().find(|(known, _)| *known == kind);
    all.and_then(|(_, all)| all.first()).copied().unwrap_or(api::conditions::READY)
}

/// The reason of that condition in any of our statuses.
fn main_reason<S: Serialize>(status: &S, main: &str) -> Option<String> {
    let status = serde_json::to_value(status).ok()?;
    let told = status["conditions"].as_array()?.iter().find(|condition| condition["type"] == main)?;
    told["reason"].as_str().map(str::to_owned)
}

fn at<K: Resource>(object: &K) -> At {
    At { generation: object.meta().generation, now: Timestamp::now() }
}

/// How many are wanted and ready, and whether pods are being replaced.
fn counts(deployment: &Deployment) -> (i32, i32, bool) {
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let Some(status) = &deployment.status else { return (wanted, 0, true) };
    let ready = status.ready_replicas.unwrap_or(0);
    let updated = status.updated_replicas.unwrap_or(0);
    let seen = status.observed_generation == deployment.metadata.generation;
    (wanted, ready, !seen || updated < wanted || status.replicas.unwrap_or(0) > wanted)
}

fn is_ready(pod: &k8s_openapi::api::core::v1::Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|conditions| conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
}

fn waiting(pod: Option<&k8s_openapi::api::core::v1::Pod>, shard: ShardId) -> String {
    let Some(pod) = pod else { return format!("the pod of shard {shard} does not exist yet") };
    match why(pod) {
        Some(why) => format!("pod {} is not ready: {why}", pod.name_any()),
        None => format!("pod {} is not ready", pod.name_any()),
    }
}

/// Why a pod is not ready, in its own words.
fn why(pod: &k8s_openapi::api::core::v1::Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let conditions = status.conditions.as_ref();
    let unscheduled = conditions.and_then(|all| all.iter().find(|c| c.type_ == "PodScheduled" && c.status == "False"));
    if let Some(unscheduled) = unscheduled {
        return unscheduled.message.clone();
    }
    // The sidecar comes first: what keeps it from starting keeps the primary from it.
    let all = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    let (reason, message) = all.filter_map(|container| container.state.clone()).find_map(|state| {
        let waiting = state.waiting.map(|waiting| (waiting.reason, waiting.message));
        waiting.or(state.terminated.map(|ended| (ended.reason, ended.message)))
    })?;
    Some([reason, message].into_iter().flatten().collect::<Vec<_>>().join(": "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_that_must_not_serve_says_why_and_not_that_its_pod_waits() {
        let problem = |reason: &'static str| (reason, String::new());
        let reason = |key: Option<&'static str>, spoke: Option<&'static str>, pod: Option<&'static str>| {
            let (key, spoke) = (key.map(problem), spoke.map(problem));
            cause(key.as_ref(), spoke.as_ref(), pod.map(problem)).map(|(reason, _)| reason)
        };
        let (lost, waits, away) = (reason::VOLUME_LOST, reason::PODS_NOT_READY, reason::SHARD_UNREACHABLE);
        assert_eq!(reason(None, Some(lost), Some(waits)), Some(lost));
        assert_eq!(reason(None, Some(away), Some(waits)), Some(waits));
        assert_eq!(reason(None, Some(away), None), Some(away));
        assert_eq!(reason(Some(reason::SHARD_KEY_MISSING), Some(away), Some(waits)), Some(reason::SHARD_KEY_MISSING));
        assert_eq!(reason(None, None, None), None);
    }
}
