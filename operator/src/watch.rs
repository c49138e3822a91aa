//! The watches: each feeds the index and wakes whoever waits for a change.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt;
use kube::core::{DeserializeGuard, NamespaceResourceScope};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use probes::Health;
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use crate::OperatorError;
use crate::index::{Index, Indexed};
use crate::names;

/// The index, shared, and the bell that rings when it has changed.
#[derive(Debug, Clone)]
pub struct Watched {
    index: Arc<Mutex<Index>>,
    bell: Arc<Notify>,
    health: Health,
}

impl Watched {
    /// Nothing is known yet; the role is ready once everything was listed.
    pub fn new(health: Health) -> Self {
        Self { index: Arc::default(), bell: Arc::default(), health }
    }

    /// The index, for a moment: never across an await.
    pub fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next change.
    pub async fn rung(&self) {
        self.bell.notified().await;
    }

    /// Feeds the index with a kind, in one namespace or in all; never ends by itself.
    pub async fn follow<K>(self, client: Client, namespace: Option<String>, ours: bool) -> Result<(), OperatorError>
    where
        K: Indexed + kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        K: Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let api: Api<DeserializeGuard<K>> = match &namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::all(client),
        };
        let config = watcher::Config::default();
        let config = if ours { config.labels(&format!("{}={}", names::MANAGED_BY, names::MANAGER)) } else { config };
        let mut events = watcher(api, config).default_backoff().boxed();
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    let synced = {
                        let mut index = self.index();
                        index.take(event);
                        index.is_synced()
                    };
                    if synced {
                        self.health.ready();
                    }
                    self.bell.notify_one();
                }
                // The stream goes on with backoff.
                Err(error) => {
                    tracing::warn!(kind = %K::kind(&()), error = error.to_string(), "a watch broke; trying again");
                }
            }
        }
        Err(OperatorError::Ended("a watch"))
    }
}
