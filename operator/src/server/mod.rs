//! The loop of one MailServer: children, directory, keys, status. Nothing else writes anything for it.
//!
//! A pass looks at everything and does what is due; it is repeated when something has changed, soon where something is
//! still missing, and every [`STEADY`] to see what the shards say. Each step is of a file:
//! [`children`](make) makes the objects, [`route`] pushes the directory and installs first keys, [`backup`] does what is to be
//! done about copies, [`report`] writes what is known.

mod backup;
mod copies;
mod directory;
mod make;
mod report;
mod route;
pub mod secrets;
mod volumes;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::MailServer;
use kube::{Client, ResourceExt};
use model::{ServerId, ShardId};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::apply::Applied;
use crate::board::Board;
use crate::events::Events;
use crate::index::Key;
use crate::metrics::{Ended, Metrics};
use crate::shard::ShardClient;
use crate::watch::Watched;
use crate::{Config, OperatorError};
use copies::Copies;
use directory::Desk;
use secrets::{Problem, Secrets};

/// How often the shards are asked when nothing happens.
const STEADY: Duration = Duration::from_secs(5);
/// How soon a pass is repeated while something is missing; doubles up to [`STEADY`].
const SOON: Duration = Duration::from_millis(500);
/// Changes that come together make one pass.
const SETTLE: Duration = Duration::from_millis(50);
/// How often children are compared although nothing is known to have changed.
const RESYNC: Duration = Duration::from_mins(5);

/// What all loops share.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// How the operator was started.
    pub config: Config,
    /// What MailServers run that name no image and have not run any.
    pub image: String,
    /// What the watches have told.
    pub watched: Watched,
    /// Where events go.
    pub events: Events,
    /// What is counted.
    pub metrics: Metrics,
    /// How policies fare.
    pub board: Mutex<Board>,
}

impl Context {
    /// The board, for a moment: never across an await.
    pub fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The loop's memory.
pub struct Server {
    context: Arc<Context>,
    key: Key,
    secrets: Secrets,
    applied: Applied,
    desk: Desk,
    copies: Copies,
    /// The id and the links that go with it, once they are known.
    identity: Option<Identified>,
    /// What children were made from, and when.
    made: Option<(Vec<String>, Instant)>,
    /// What was found while they were made.
    found: Found,
}

/// Whose volumes and certificates these are.
struct Identified {
    /// Certificate of the internal CA.
    authority: String,
    id: ServerId,
    shards: BTreeMap<ShardId, ShardClient>,
}

/// What making the children has shown.
#[derive(Debug, Clone, Default)]
struct Found {
    image: String,
    blocked: Option<Problem>,
    certificates: Option<Problem>,
    self_signed: bool,
    storage: Option<Problem>,
    shards: BTreeMap<ShardId, Problem>,
}

impl Server {
    /// Knows nothing yet.
    pub fn new(context: Arc<Context>, key: Key) -> Self {
        let secrets = Secrets::new(context.client.clone(), &key.0, &context.config.namespace);
        Self {
            context,
            key,
            secrets,
            applied: Applied::default(),
            desk: Desk::default(),
            copies: Copies::default(),
            identity: None,
            made: None,
            found: Found::default(),
        }
    }

    /// Works until `stop`; `bell` rings when something of its namespace has changed.
    pub async fn run(mut self, bell: Arc<Notify>, stop: CancellationToken) {
        let mut pause = SOON;
        while !stop.is_cancelled() {
            let settled = match stop.run_until_cancelled(self.pass()).await {
                None => return,
                Some(Ok(settled)) => {
                    self.context.metrics.passed(if settled { Ended::Settled } else { Ended::Waiting });
                    settled
                }
                Some(Err(error)) => {
                    self.context.metrics.passed(Ended::Failed);
                    let (namespace, name) = &self.key;
                    let error = chain(&error);
                    tracing::warn!(namespace, server = name, error, "a pass failed; trying again");
                    false
                }
            };
            pause = if settled { STEADY } else { pause };
            tokio::select! {
                () = bell.notified() => tokio::time::sleep(SETTLE).await,
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return,
            }
            pause = if settled { SOON } else { (pause * 2).min(STEADY) };
        }
    }

    /// One pass; false where another one is due soon.
    async fn pass(&mut self) -> Result<bool, OperatorError> {
        let Some(server) = self.context.watched.index().servers.get(&self.key).cloned() else { return Ok(true) };
        if !crate::index::is_live(&server.metadata) {
            return Ok(true);
        }
        if server.spec.paused {
            self.report_paused(&server).await?;
            return Ok(true);
        }
        if self.is_due(&server) {
            self.made = None;
            self.make(&server).await?;
            self.made = Some((self.causes(&server), Instant::now()));
        }
        let routed = self.route(&server).await?;
        self.report(&server, &routed).await?;
        let clear = self.found.blocked.is_none() && self.found.shards.is_empty() && self.found.certificates.is_none();
        let blocked = !clear || !routed.problems.is_empty();
        self.secrets.hurry(blocked || routed.copied.is_failing());
        let old = self.made.as_ref().is_some_and(|(_, at)| at.elapsed() >= secrets::MISSED);
        if !clear || blocked && old {
            self.made = None;
        }
        Ok(clear && routed.is_settled())
    }

    fn is_due(&self, server: &MailServer) -> bool {
        match &self.made {
            Some((causes, at)) => *causes != self.causes(server) || at.elapsed() >= RESYNC,
            None => true,
        }
    }

    /// Versions of everything that children follow from.
    fn causes(&self, server: &MailServer) -> Vec<String> {
        // Before the index is locked.
        let buckets = format!("{:?}", self.buckets(server));
        let index = self.context.watched.index();
        let ours = |meta: &kube::core::ObjectMeta| {
            meta.labels.as_ref().and_then(|labels| labels.get(crate::names::SERVER)) == Some(&self.key.1)
        };
        // Not the resource version: our own status would be a cause.
        let notes = format!("{:?} {:?}", server.metadata.generation, server.annotations());
        let own = format!("{:?}", server.uid());
        let stamp = |meta: &kube::core::ObjectMeta| format!("{:?} {:?} {:?}", meta.name, meta.uid, meta.generation);
        let sets = index.sets.of(&self.key.0).map(|o| &o.metadata).filter(|m| ours(m)).map(stamp).collect::<Vec<_>>();
        let deployments = index.deployments.of(&self.key.0).map(|o| &o.metadata).filter(|m| ours(m)).map(stamp);
        let claims = index.claims.of(&self.key.0).filter(|o| ours(&o.metadata));
        let claims = claims.map(|o| format!("{:?} {:?}", o.metadata.uid, o.metadata.resource_version));
        [notes, own, buckets].into_iter().chain(sets).chain(deployments).chain(claims).collect()
    }
}

/// An error with its causes, on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
