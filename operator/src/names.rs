//! Names, labels, annotations and ports of what the operator makes. Fixed: other versions look for them.

use std::collections::BTreeMap;

use model::ShardId;

/// Field manager of everything the operator applies, and `app.kubernetes.io/managed-by` of it.
pub const MANAGER: &str = "sealpost";
/// Label: which MailServer.
pub const SERVER: &str = "sealpost.dev/server";
/// Label: which shard.
pub const SHARD: &str = "sealpost.dev/shard";
/// Label: `primary`, `imap`, `mx`.
pub const COMPONENT: &str = "app.kubernetes.io/component";
/// Label: whose objects these are.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Annotation of a claim: the first half of the SHA-256 of the shard key that its volume was made with.
pub const FINGERPRINT: &str = "sealpost.dev/shard-key-fingerprint";
/// Annotation of a claim: the id of the MailServer that its volume belongs to. It outlives the object.
pub const SERVER_ID: &str = "sealpost.dev/server-id";
/// Annotation of a pod template: a digest of its configuration, so that a change rolls the pods.
pub const CONFIG: &str = "sealpost.dev/config";
/// Annotation of a MailServer: how many addresses a held push may remove.
pub const ALLOW_REMOVALS: &str = "sealpost.dev/allow-removals";
/// Annotation of a MailServer: serve blank volumes although their mail is lost.
pub const ACCEPT_LOSS: &str = "sealpost.dev/accept-loss";

/// The wire and the control endpoint of a primary.
pub const WIRE: i32 = 7700;
/// Probes and metrics of every role.
pub const PROBES: i32 = 8080;
/// Probes and metrics of a sidecar, which has its primary's addresses.
pub const SIDECAR_PROBES: i32 = 8081;
/// IMAP over TLS.
pub const IMAPS: i32 = 1993;
/// IMAP with STARTTLS.
pub const IMAP: i32 = 1143;
/// SMTP from other servers.
pub const SMTP: i32 = 2525;

/// StatefulSet, Service and ConfigMap of a shard.
pub fn shard(server: &str, shard: ShardId) -> String {
    format!("{server}-shard-{shard}")
}

/// Its claim.
pub fn claim(server: &str, shard: ShardId) -> String {
    format!("data-{server}-shard-{shard}")
}

/// The Secret with its key.
pub fn shard_key(server: &str, shard: ShardId) -> String {
    format!("{server}-shard-{shard}-key")
}

/// The Secret with what opens the buckets of all policies.
pub fn buckets(server: &str) -> String {
    format!("{server}-buckets")
}

/// Where its wire is reached from anywhere in the cluster.
pub fn wire_address(namespace: &str, server: &str, number: ShardId) -> String {
    format!("{}.{namespace}.svc:{WIRE}", shard(server, number))
}

/// Labels of everything of a MailServer.
pub fn labels(server: &str) -> BTreeMap<String, String> {
    [
        ("app.kubernetes.io/name", "sealpost"),
        ("app.kubernetes.io/instance", server),
        (MANAGED_BY, MANAGER),
        (SERVER, server),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

/// Labels of a component.
pub fn component(server: &str, component: &str) -> BTreeMap<String, String> {
    let mut labels = labels(server);
    labels.insert(COMPONENT.to_owned(), component.to_owned());
    labels
}

/// Labels of a shard's objects.
pub fn of_shard(server: &str, shard: ShardId) -> BTreeMap<String, String> {
    let mut labels = component(server, "primary");
    labels.insert(SHARD.to_owned(), shard.to_string());
    labels
}

/// The labels that select pods: those that never change.
pub fn selector(labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let fixed = [SERVER, COMPONENT, SHARD];
    labels.iter().filter(|(key, _)| fixed.contains(&key.as_str())).map(|(k, v)| (k.clone(), v.clone())).collect()
}
