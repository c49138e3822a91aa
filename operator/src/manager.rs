//! The owner of all loops: one per MailServer, started and ended as the objects come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::conditions::reason;
use api::{Alias, BackupPolicy, Mailbox};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde_json::json;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::index::{Index, Key, is_live};
use crate::server::{Context, Server, chain};
use crate::status::run::Seen;
use crate::status::{self, At, Set};
use crate::{OperatorError, apply};

/// A running loop.
struct Loop {
    bell: Arc<Notify>,
    stop: CancellationToken,
    /// A MailServer that was deleted and made again is another one.
    uid: String,
}

/// Runs a loop for every MailServer until `stop`.
pub async fn run(context: Arc<Context>, stop: CancellationToken) -> Result<(), OperatorError> {
    let mut loops: BTreeMap<Key, Loop> = BTreeMap::new();
    let mut tasks: JoinSet<()> = JoinSet::new();
    loop {
        tokio::select! {
            () = context.watched.rung() => {}
            Some(ended) = tasks.join_next() => {
                // A panic in one loop must not leave its server alone unnoticed.
                if ended.is_err() {
                    return Err(OperatorError::Ended("the loop of a MailServer"));
                }
                continue;
            }
            () = stop.cancelled() => break,
        }
        let (wanted, changed) = {
            let mut index = context.watched.index();
            if !index.is_synced() {
                continue;
            }
            (servers(&index), index.changed())
        };
        loops.retain(|key, running| {
            let stays = wanted.get(key) == Some(&running.uid);
            if !stays {
                running.stop.cancel();
                context.board().remove(key);
            }
            stays
        });
        for (key, uid) in wanted {
            loops.entry(key.clone()).or_insert_with(|| {
                let (bell, stop) = (Arc::new(Notify::new()), stop.child_token());
                tasks.spawn(Server::new(context.clone(), key).run(bell.clone(), stop.clone()));
                Loop { bell, stop, uid }
            });
        }
        loops.iter().filter(|(key, _)| changed.contains(&key.0)).for_each(|(_, running)| running.bell.notify_one());
        for namespace in changed {
            if let Err(error) = orphans(&context, &namespace).await {
                tracing::warn!(namespace, error = chain(&error), "objects without a MailServer were not told so");
            }
        }
    }
    while tasks.join_next().await.is_some() {}
    Ok(())
}

fn servers(index: &Index) -> BTreeMap<Key, String> {
    let live = index.servers.all().filter(|(_, server)| is_live(&server.metadata));
    live.map(|(key, server)| (key.clone(), server.uid().unwrap_or_default())).collect()
}

/// Tells objects that name a MailServer which does not exist.
async fn orphans(context: &Context, namespace: &str) -> Result<(), OperatorError> {
    let (mailboxes, aliases) = {
        let index = context.watched.index();
        let there = |name: &str| index.servers.get(&(namespace.to_owned(), name.to_owned())).is_some();
        let mailboxes: Vec<Arc<Mailbox>> =
            index.mailboxes.of(namespace).filter(|o| !there(&o.spec.server_ref.name)).cloned().collect();
        let aliases: Vec<Arc<Alias>> =
            index.aliases.of(namespace).filter(|o| !there(&o.spec.server_ref.name)).cloned().collect();
        (mailboxes, aliases)
    };
    for mailbox in mailboxes {
        let before = mailbox.status.clone().unwrap_or_default();
        let at = At { generation: mailbox.metadata.generation, now: Timestamp::now() };
        let conditions = status::conditions(&before.conditions, vec![no_server(&mailbox.spec.server_ref.name)], at);
        let status = api::MailboxStatus { observed_generation: at.generation, conditions, ..before.clone() };
        write(context, namespace, &*mailbox, &before, &status).await?;
    }
    unused(context, namespace).await?;
    homeless(context, namespace).await?;
    for alias in aliases {
        let before = alias.status.clone().unwrap_or_default();
        let at = At { generation: alias.metadata.generation, now: Timestamp::now() };
        let conditions = status::conditions(&before.conditions, vec![no_server(&alias.spec.server_ref.name)], at);
        let status = api::AliasStatus { observed_generation: at.generation, conditions };
        write(context, namespace, &*alias, &before, &status).await?;
    }
    Ok(())
}

/// Tells policies that nobody names.
async fn unused(context: &Context, namespace: &str) -> Result<(), OperatorError> {
    let unused: Vec<Arc<BackupPolicy>> = {
        let (index, board) = (context.watched.index(), context.board());
        let servers = index.servers.of(namespace).filter_map(|server| server.spec.backup_policy_ref.as_ref());
        let mailboxes = index.mailboxes.of(namespace).filter_map(|mailbox| mailbox.spec.backup_policy_ref.as_ref());
        let named: BTreeSet<&str> = servers.chain(mailboxes).map(|policy| policy.name.as_str()).collect();
        let is_used = |policy: &BackupPolicy| {
            let name = policy.name_any();
            named.contains(name.as_str()) || !board.of(&(namespace.to_owned(), name)).is_empty()
        };
        index.policies.of(namespace).filter(|policy| !is_used(policy)).cloned().collect()
    };
    for policy in unused {
        let at = At { generation: policy.metadata.generation, now: Timestamp::now() };
        let status = status::policy::unused(policy.status.as_ref(), at);
        write(context, namespace, &*policy, &policy.status.clone().unwrap_or_default(), &status).await?;
    }
    Ok(())
}

/// Tells runs for which there is no MailServer: no loop looks at them. They wait for one.
async fn homeless(context: &Context, namespace: &str) -> Result<(), OperatorError> {
    let message = "there is no MailServer for it in this namespace: make it; the run waits";
    let seen = Seen::Unassigned(reason::SERVER_NOT_FOUND, message, false);
    let (backups, restores) = {
        let index = context.watched.index();
        let served = |mailbox: &str| {
            let mailbox = index.mailboxes.get(&(namespace.to_owned(), mailbox.to_owned()));
            let server = mailbox.map(|mailbox| (namespace.to_owned(), mailbox.spec.server_ref.name.clone()));
            // Those for mailboxes that do not exist any MailServer tells.
            server.map_or(index.servers.of(namespace).next().is_some(), |server| index.servers.get(&server).is_some())
        };
        let open = |conditions: &[Condition]| {
            api::condition(conditions, api::conditions::SUCCEEDED).is_none_or(|condition| condition.status == "Unknown")
        };
        let backups = index.backups.of(namespace).filter(|o| !served(&o.spec.mailbox_ref.name));
        let backups = backups.filter(|o| open(&o.status.clone().unwrap_or_default().conditions));
        let restores = index.restores.of(namespace).filter(|o| !served(&o.spec.target.mailbox_ref.name));
        let restores = restores.filter(|o| open(&o.status.clone().unwrap_or_default().conditions));
        (backups.cloned().collect::<Vec<_>>(), restores.cloned().collect::<Vec<_>>())
    };
    for object in backups {
        let at = At { generation: object.metadata.generation, now: Timestamp::now() };
        let status = status::run::backup(object.status.as_ref(), object.spec.deadline_seconds, seen, at);
        write(context, namespace, &*object, &object.status.clone().unwrap_or_default(), &status).await?;
    }
    for object in restores {
        let at = At { generation: object.metadata.generation, now: Timestamp::now() };
        let status = status::run::restore(object.status.as_ref(), object.spec.deadline_seconds, seen, at);
        write(context, namespace, &*object, &object.status.clone().unwrap_or_default(), &status).await?;
    }
    Ok(())
}

fn no_server(name: &str) -> Set {
    let message = format!("there is no MailServer `{name}` in this namespace: make it, or correct spec.serverRef.name");
    Set::no(api::conditions::READY, reason::SERVER_NOT_FOUND, message)
}

async fn write<K, S>(
    context: &Context,
    namespace: &str,
    object: &K,
    before: &S,
    status: &S,
) -> Result<(), OperatorError>
where
    K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope> + Clone + std::fmt::Debug,
    K: serde::de::DeserializeOwned,
    S: PartialEq + Serialize,
{
    if before == status {
        return Ok(());
    }
    let name = object.name_any();
    let api: Api<K> = Api::namespaced(context.client.clone(), namespace);
    let body =
        json!({"apiVersion": api::API_VERSION, "kind": K::kind(&()), "metadata": {"name": name}, "status": status});
    match apply::status(&api, &name, &body).await {
        Err(OperatorError::Api { source, .. }) if crate::error::code(&source) == Some(404) => Ok(()),
        written => written,
    }
}
