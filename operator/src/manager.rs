//! The owner of all loops: one per MailServer, started and ended as the objects come and go.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::conditions::reason;
use api::{Alias, Mailbox};
use jiff::Timestamp;
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde_json::json;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::index::{Index, Key, is_live};
use crate::server::{Context, Server, chain};
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
    for alias in aliases {
        let before = alias.status.clone().unwrap_or_default();
        let at = At { generation: alias.metadata.generation, now: Timestamp::now() };
        let conditions = status::conditions(&before.conditions, vec![no_server(&alias.spec.server_ref.name)], at);
        let status = api::AliasStatus { observed_generation: at.generation, conditions };
        write(context, namespace, &*alias, &before, &status).await?;
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
