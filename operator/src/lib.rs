//! The operator: brings a cluster to what MailServers, Mailboxes, Aliases, BackupPolicies and runs declare, and says how it
//! went.
//!
//! Start with [`run`]; then [`server`], the loop of one MailServer. The decisions are pure: [`children`] (what there should
//! be), `server::directory` (what the shards should know), `server::copies` (what is copied where), [`status`] (what people are told), [`lease`] (who leads).
//!
//! Invariants:
//! * One operator leads, fenced by its Lease and by the directory's epoch.
//! * Nothing is decided before every watch has listed what there is, and no absence of an object, a Secret or a shard is
//!   taken for a removal but the deletion of the object itself.
//! * The memory of mailboxes (their bindings) is with the shards; an operator that starts reads it back.
//! * Nothing is written that says what is there already.
//! * Every task is owned: the end of one that matters ends the process.

pub mod apply;
mod board;
pub mod children;
mod error;
mod events;
pub mod index;
mod keys;
pub mod lease;
mod manager;
mod metrics;
pub mod names;
pub mod server;
mod shard;
pub mod status;
mod watch;

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::{Api, Client};
use probes::Health;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use error::OperatorError;
pub use keys::first_keys;
pub use shard::{ShardClient, ShardError};

use events::Events;
use lease::Election;
use metrics::Metrics;
use server::Context;
use watch::Watched;

/// How an operator is started.
#[derive(Debug, Clone)]
pub struct Config {
    /// The namespace it runs in: its Lease is there.
    pub namespace: String,
    /// Its own name, which no other process has: its pod's.
    pub name: String,
    /// What MailServers run that name no image; none = what this operator's own pod runs.
    pub image: Option<String>,
    /// The only namespace it looks at; none = all.
    pub only: Option<String>,
}

/// Works until `stop`. It is ready (`health`) once it knows what there is, leading or waiting for its turn.
pub async fn run(config: Config, health: Health, stop: CancellationToken) -> Result<(), OperatorError> {
    health.wait("the first list of every kind");
    let metrics = Metrics::register(&health);
    let client = Client::try_default().await.map_err(|error| OperatorError::Config(Box::new(error)))?;
    let election = Election::new(client.clone(), &config.namespace, &config.name);
    let mut tasks = JoinSet::new();
    let watched = Watched::new(health);
    watch_all(&mut tasks, &client, &watched, config.only.as_ref());
    let Some(won) = stop.run_until_cancelled(election.win()).await else { return Ok(()) };
    won?;
    metrics.leads.set(1);
    // Loops end before the Lease is let go.
    let (work, lead) = (stop.child_token(), CancellationToken::new());
    let events = Events::new(client.clone(), &config.name);
    let image = match config.image.clone() {
        Some(image) => image,
        None => own_image(&client, &config).await?,
    };
    let board = std::sync::Mutex::default();
    let context = Arc::new(Context { client, config, image, watched, events, metrics, board });
    let mut manager = tokio::spawn(manager::run(context, work.clone()));
    let mut holding = Box::pin(election.hold(lead.clone()));
    let ended = tokio::select! {
        ended = &mut manager => ended.unwrap_or(Err(OperatorError::Ended("the manager"))),
        // At once: another operator may lead in a moment.
        lost = &mut holding => return lost,
        Some(ended) = tasks.join_next() => ended.unwrap_or(Err(OperatorError::Ended("a watch"))),
    };
    work.cancel();
    lead.cancel();
    let _ = holding.await;
    ended
}

/// What this operator's own pod runs.
async fn own_image(client: &Client, config: &Config) -> Result<String, OperatorError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &config.namespace);
    let pod = pods.get(&config.name).await.map_err(OperatorError::api("read its own pod for the image to run"))?;
    let container = pod.spec.and_then(|spec| spec.containers.into_iter().next());
    container.and_then(|container| container.image).ok_or(OperatorError::NoImage)
}

fn watch_all(
    tasks: &mut JoinSet<Result<(), OperatorError>>,
    client: &Client,
    watched: &Watched,
    only: Option<&String>,
) {
    let with = || (watched.clone(), client.clone(), only.cloned());
    let (w, c, n) = with();
    tasks.spawn(w.follow::<api::MailServer>(c, n, false));
    let (w, c, n) = with();
    tasks.spawn(w.follow::<api::Mailbox>(c, n, false));
    let (w, c, n) = with();
    tasks.spawn(w.follow::<api::Alias>(c, n, false));
    let (w, c, n) = with();
    tasks.spawn(w.follow::<api::BackupPolicy>(c, n, false));
    let (w, c, n) = with();
    tasks.spawn(w.follow::<api::MailboxBackup>(c, n, false));
    let (w, c, n) = with();
    tasks.spawn(w.follow::<api::MailboxRestore>(c, n, false));
    let (w, c, n) = with();
    tasks.spawn(w.follow::<StatefulSet>(c, n, true));
    let (w, c, n) = with();
    tasks.spawn(w.follow::<Deployment>(c, n, true));
    let (w, c, n) = with();
    tasks.spawn(w.follow::<PersistentVolumeClaim>(c, n, true));
    let (w, c, n) = with();
    tasks.spawn(w.follow::<Pod>(c, n, true));
}
