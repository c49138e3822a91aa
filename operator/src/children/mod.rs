//! What a MailServer consists of in the cluster: a pure function from what is observed to the objects to apply.
//!
//! * The same input gives the same objects, byte for byte; nothing here depends on the operator's version, so that an
//!   operator's upgrade restarts nobody. Golden files under `golden/` hold it to that.
//! * Secrets and claims are not made here: they outlive the MailServer, see [`crate::server`].
//! * Every pod runs restricted: no root, read-only root file system, no capabilities, no API token.

mod config;
mod egress;
mod front;
mod pod;
mod policy;
mod shard;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use api::MailServer;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::core::ApiResource;
use kube::{Resource, ResourceExt};
use model::{ServerId, ShardId};
use serde::Serialize;
use serde_json::Value;

use crate::names;

pub use egress::Endpoint;

/// What a plan is made of.
#[derive(Debug, Clone)]
pub struct Observed<'a> {
    /// The object.
    pub server: &'a MailServer,
    /// Whose volumes and certificates these are: the uid of the first MailServer object of that name.
    pub id: &'a ServerId,
    /// What to run.
    pub image: &'a str,
    /// The Secret that mail clients' certificate is in.
    pub public_secret: &'a str,
    /// The namespace that the operator pushes from.
    pub operator_namespace: &'a str,
    /// The buckets of its policies.
    pub buckets: &'a BTreeSet<Endpoint>,
}

impl Observed<'_> {
    fn name(&self) -> String {
        self.server.name_any()
    }

    fn namespace(&self) -> String {
        self.server.namespace().unwrap_or_default()
    }

    /// The shards that are declared.
    pub fn shards(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..u32::try_from(self.server.spec.shards).unwrap_or(1)).map(ShardId)
    }

    fn meta(&self, name: String, labels: std::collections::BTreeMap<String, String>) -> ObjectMeta {
        ObjectMeta {
            name: Some(name),
            namespace: self.server.namespace(),
            labels: Some(labels),
            owner_references: Some(vec![owner(self.server)]),
            ..ObjectMeta::default()
        }
    }
}

/// Makes an object go with its MailServer.
pub fn owner(server: &MailServer) -> OwnerReference {
    OwnerReference {
        api_version: api::API_VERSION.to_owned(),
        kind: "MailServer".to_owned(),
        name: server.name_any(),
        uid: server.uid().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: None,
    }
}

/// One object to apply.
#[derive(Debug, Clone, PartialEq)]
pub struct Child {
    /// Where its kind is served.
    pub resource: ApiResource,
    /// Its name.
    pub name: String,
    /// The object itself.
    pub object: Value,
}

impl Child {
    /// An object of a known kind.
    pub fn of<K: Resource<DynamicType = ()> + Serialize>(object: &K) -> Self {
        Self {
            resource: ApiResource::erase::<K>(&()),
            name: object.name_any(),
            // Plain data with text keys: it always has a JSON form.
            object: serde_json::to_value(object).unwrap_or_default(),
        }
    }
}

/// Everything a MailServer consists of, in the order it is applied.
pub fn plan(observed: &Observed<'_>) -> Vec<Child> {
    let mut children = policy::policies(observed);
    for number in observed.shards() {
        children.extend(shard::shard(observed, number));
    }
    children.push(Child::of(&budget(observed, "shards", "primary")));
    for kind in [front::Front::Imap, front::Front::Mx] {
        children.extend(front::front(observed, kind));
        children.push(Child::of(&budget(observed, kind.name(), kind.name())));
    }
    children
}

/// At most one pod at a time may be evicted; one that is not ready anyhow never holds up a node's drain.
fn budget(observed: &Observed<'_>, name: &str, component: &str) -> PodDisruptionBudget {
    let labels = names::component(&observed.name(), component);
    PodDisruptionBudget {
        metadata: observed.meta(format!("{}-{name}", observed.name()), labels.clone()),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(LabelSelector { match_labels: Some(names::selector(&labels)), ..LabelSelector::default() }),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    }
}
