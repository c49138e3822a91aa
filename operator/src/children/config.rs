//! The roles' configurations: files that the pods mount. `cli` checks that the roles read them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use model::{ShardId, Term};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Observed;
use super::front::Front;
use crate::names;

/// Where a pod finds its configuration.
pub const CONFIG_DIR: &str = "/etc/sealpost";
/// The file of a pod's main container.
pub const CONFIG: &str = "config.json";
/// The file of a sidecar.
pub const SIDECAR_CONFIG: &str = "sidecar.json";
/// Its certificate for the wire.
pub const IDENTITY_DIR: &str = "/run/sealpost/identity";
/// The certificate that mail clients see.
pub const PUBLIC_DIR: &str = "/run/sealpost/public";
/// Key of the shard and secret of the server.
pub const KEYS_DIR: &str = "/run/sealpost/keys";
/// The volume.
pub const DATA_DIR: &str = "/var/lib/sealpost";

/// The folder that primary and sidecar meet in.
pub const MEETING_DIR: &str = "/run/sealpost/sidecar";
/// What opens buckets.
pub const BUCKETS_DIR: &str = "/run/sealpost/buckets";
/// Parts of the volume that a sidecar sees, and whether it may only read them.
pub const SIDECAR_DIRS: [(&str, bool); 4] =
    [("mailboxes", true), ("outbox", false), ("sidecar", false), ("staging", false)];

/// The first term of a shard: ownership has not moved yet.
const FIRST_TERM: Term = Term(1);

/// Configuration of a primary.
pub fn primary(observed: &Observed<'_>, shard: ShardId) -> Value {
    json!({
        "server": observed.id,
        "shard": shard,
        "term": FIRST_TERM,
        "data": DATA_DIR,
        "listen": format!("0.0.0.0:{}", names::WIRE),
        "identity": identity(),
        "shardKey": format!("{KEYS_DIR}/shard.key"),
        "serverSecret": format!("{KEYS_DIR}/server.key"),
        "sidecar": socket(),
    })
}

/// Configuration of its sidecar.
pub fn sidecar(observed: &Observed<'_>, shard: ShardId) -> Value {
    json!({
        "server": observed.id,
        "shard": shard,
        "data": DATA_DIR,
        "socket": socket(),
        "credentials": BUCKETS_DIR,
    })
}

fn socket() -> String {
    format!("{MEETING_DIR}/sidecar.sock")
}

/// Configuration of a front end.
pub fn secondary(observed: &Observed<'_>, front: Front) -> Value {
    let any = |port: i32| format!("0.0.0.0:{port}");
    let listen = match front {
        Front::Imap => json!({"imap": {"imaps": any(names::IMAPS), "imap": any(names::IMAP), "plain": null}}),
        Front::Mx => json!({"mx": {"smtp": any(names::SMTP)}}),
    };
    let (namespace, name) = (observed.namespace(), observed.name());
    let shards = observed.shards().map(|id| json!({"id": id, "address": names::wire_address(&namespace, &name, id)}));
    json!({
        "server": observed.id,
        "hostname": observed.server.spec.hostname,
        "shards": shards.collect::<Vec<_>>(),
        "identity": identity(),
        "public": {"certificate": format!("{PUBLIC_DIR}/tls.crt"), "key": format!("{PUBLIC_DIR}/tls.key")},
        "listen": listen,
    })
}

fn identity() -> Value {
    let file = |name: &str| format!("{IDENTITY_DIR}/{name}");
    json!({"certificate": file("tls.crt"), "key": file("tls.key"), "ca": file("ca.crt")})
}

/// Configurations as an object, by the names of their files, and the digest that rolls the pods when one changes.
pub fn map(metadata: ObjectMeta, configs: &[(&str, Value)]) -> (ConfigMap, String) {
    let text = |(name, config): &(&str, Value)| ((*name).to_owned(), format!("{config:#}\n"));
    let data: BTreeMap<String, String> = configs.iter().map(text).collect();
    let digest = data.values().fold(Sha256::new(), |digest, text| digest.chain_update(text.as_bytes())).finalize();
    let digest = data_encoding::HEXLOWER.encode(&digest[..8]);
    (ConfigMap { metadata, data: Some(data), ..ConfigMap::default() }, digest)
}
