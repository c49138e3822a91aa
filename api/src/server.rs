//! MailServer: one deployment of the data plane.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{LocalRef, conditions, passed_on};
use crate::size::Size;

/// One deployment of the data plane: its host name, its domains, its shards and its protocol front ends.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "sealpost.dev",
    version = "v1alpha1",
    kind = "MailServer",
    plural = "mailservers",
    shortname = "msrv",
    category = "sealpost",
    namespaced,
    status = "MailServerStatus",
    derive = "PartialEq",
    doc = "One deployment of the data plane: its host name, its domains, its shards and its protocol front ends.",
    scale(
        spec_replicas_path = ".spec.imap.replicas",
        status_replicas_path = ".status.imap.replicas",
        label_selector_path = ".status.imap.selector"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct MailServerSpec {
    /// The name the server calls itself in greetings and trace headers: a host name that resolves to it.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9-]+([.][a-z0-9-]+)*$')")
        .message("a host name is written in lower case, as A-labels"))]
    pub hostname: String,
    /// The domains it is the authority for; addresses elsewhere are `DomainNotServed`.
    #[schemars(length(min = 1, max = 1000))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub domains: Vec<ServedDomain>,
    /// Certificates for mail clients and other servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// How many primaries share the mailboxes. Grows, never shrinks.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 256))]
    #[x_kube(validation = Rule::new("self >= oldSelf").message("shards never shrink: mailboxes do not move"))]
    pub shards: i32,
    /// The volume of each shard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
    /// The primaries' pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary: Option<Primary>,
    /// The sidecars beside them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sidecar: Option<Sidecar>,
    /// IMAP and POP3. Its `replicas` is what `kubectl scale` and autoscalers change.
    #[serde(default = "front_end", skip_serializing_if = "Option::is_none")]
    pub imap: Option<FrontEnd>,
    /// SMTP submission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submission: Option<FrontEnd>,
    /// SMTP from other servers.
    #[serde(default = "front_end", skip_serializing_if = "Option::is_none")]
    pub mx: Option<FrontEnd>,
    /// Outward delivery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub courier: Option<FrontEnd>,
    /// Load balancers that announce the client's address by PROXY protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyProtocol>,
    /// How mail leaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outbound: Option<Outbound>,
    /// Most that fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// How long a removed address answers 450 (it may come back) before it answers 550.
    #[serde(default = "an_hour")]
    #[schemars(range(min = 0, max = 2_592_000))]
    pub removal_grace_seconds: i32,
    /// Backup policy of mailboxes that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_policy_ref: Option<LocalRef>,
    /// The image to run; absent keeps what runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub image: Option<String>,
    /// Leave everything as it is.
    #[serde(default)]
    pub paused: bool,
}

/// A domain the server is the authority for.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServedDomain {
    /// In lower case, as A-labels.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9-]+([.][a-z0-9-]+)*$')")
        .message("a domain is written in lower case, as A-labels"))]
    pub name: String,
    /// Most that all its mailboxes hold together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<Size>,
    /// Keys that sign its outgoing mail.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["selector"]))]
    pub dkim: Vec<Dkim>,
}

/// A DKIM key (RFC 6376).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Dkim {
    /// The selector its public half is published under.
    #[schemars(length(min = 1, max = 63))]
    pub selector: String,
    /// Secret with the private key.
    pub key_secret_ref: LocalRef,
}

/// Certificates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// Secrets of type `kubernetes.io/tls`; the client's SNI picks one, the first is the default.
    #[schemars(length(min = 1, max = 32))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub secret_refs: Vec<LocalRef>,
}

/// The volume of each shard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// Its size; it can grow.
    pub size: Size,
    /// Its storage class; absent = the cluster's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub storage_class_name: Option<String>,
    /// Who may mount it.
    #[serde(default)]
    pub access_mode: AccessMode,
}

/// Access mode of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum AccessMode {
    /// One pod.
    #[default]
    ReadWriteOncePod,
    /// One node, for drivers that know no better.
    ReadWriteOnce,
}

/// The primaries' pods.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Primary {
    /// Requests and limits of the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// `nodeSelector`, `tolerations`, `affinity`, `priorityClassName` of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "passed_on")]
    pub scheduling: Option<serde_json::Value>,
}

/// The sidecars' containers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Sidecar {
    /// Requests and limits of the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
}

/// Requests and limits of a container, by resource name.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Resources {
    /// What it is given at least.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub requests: BTreeMap<String, Amount>,
    /// What it gets at most.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub limits: BTreeMap<String, Amount>,
}

/// What an [`Amount`] looks like.
const AMOUNT: &str = "^[0-9]+([.][0-9]+)?(m|Ki|Mi|Gi|Ti|Pi|Ei|k|M|G|T|P|E)?$";

/// A Kubernetes quantity that is passed on unread, for example `500m`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Amount {
    /// Written without unit.
    Number(i64),
    /// Written with a unit.
    Text(String),
}

impl Amount {
    /// True if it is a number with a unit that Kubernetes knows.
    pub fn is_valid(&self) -> bool {
        let Self::Text(text) = self else { return true };
        let plain = ["m", "Ei", "E"].into_iter().find_map(|unit| text.strip_suffix(unit)).unwrap_or(text);
        text.len() <= 32 && Size::new(plain).bytes().is_some()
    }
}

impl JsonSchema for Amount {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Amount".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "pattern": AMOUNT,
            "maxLength": 32,
            "x-kubernetes-int-or-string": true,
        })
    }
}

/// A protocol front end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FrontEnd {
    /// How many pods. Always there in a cluster: the scale subresource fails without.
    #[serde(default = "two", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: Option<i32>,
    /// How it is reached from outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Service>,
}

impl Default for FrontEnd {
    fn default() -> Self {
        Self { replicas: two(), service: None }
    }
}

/// How a front end is reached.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Service {
    /// Type of the Service object.
    #[serde(rename = "type", default)]
    pub type_: ServiceType,
}

/// Type of a Service object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum ServiceType {
    /// Inside the cluster.
    #[default]
    ClusterIP,
    /// A port of every node.
    NodePort,
    /// A load balancer.
    LoadBalancer,
}

/// Load balancers whose PROXY header is believed.
#[derive(KubeSchema, Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ProxyProtocol {
    /// Networks they connect from.
    #[x_kube(validation = Rule::new("self.all(network, isCIDR(network))").message("a network is, for example, 10.0.0.0/8"))]
    #[serde(rename = "trustedCIDRs", default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 64)))]
    pub trusted_cidrs: Vec<String>,
}

/// How mail leaves.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Outbound {
    /// A server that takes all outgoing mail; absent = deliver to each domain's MX.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<Relay>,
}

/// A server that takes outgoing mail.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Relay {
    /// Its host name or address.
    #[schemars(length(min = 1, max = 253))]
    pub host: String,
    /// Its port.
    #[serde(default = "submission_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// Secret with `username` and `password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<LocalRef>,
}

/// Most that fits.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// A mailbox that names no quota of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mailbox_quota: Option<Size>,
    /// All mailboxes together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_quota: Option<Size>,
    /// One message; absent = 50Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_message_size: Option<Size>,
}

/// What the operator knows of a MailServer.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MailServerStatus {
    /// The `metadata.generation` last looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The image that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub image: Option<String>,
    /// Version of the routes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<DirectoryStatus>,
    /// The primaries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["index"]))]
    pub shards: Vec<ShardStatus>,
    /// The IMAP pods, for `kubectl scale` and autoscalers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imap: Option<ScaleStatus>,
    /// See the condition types in the reference.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
}

/// Version of the routes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct DirectoryStatus {
    /// Raised by every new leader before its first push.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub epoch: i64,
}

/// One primary.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ShardStatus {
    /// Counted from 0.
    #[schemars(range(min = 0, max = 255))]
    pub index: i32,
    /// Where it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub node: Option<String>,
    /// What is known of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
}

/// What the scale subresource shows.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ScaleStatus {
    /// Pods that run.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub replicas: i32,
    /// Label selector of those pods.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    pub selector: String,
}

fn one() -> i32 {
    1
}

#[allow(clippy::unnecessary_wraps, reason = "a default has the type of its field")]
fn front_end() -> Option<FrontEnd> {
    Some(FrontEnd::default())
}

#[allow(clippy::unnecessary_wraps, reason = "a default has the type of its field")]
fn two() -> Option<i32> {
    Some(2)
}

fn an_hour() -> i32 {
    3600
}

fn submission_port() -> i32 {
    587
}
