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
/// Its certificate for the wire.
pub const IDENTITY_DIR: &str = "/run/sealpost/identity";
/// The certificate that mail clients see.
pub const PUBLIC_DIR: &str = "/run/sealpost/public";
/// Key of the shard and secret of the server.
pub const KEYS_DIR: &str = "/run/sealpost/keys";
/// The volume.
pub const DATA_DIR: &str = "/var/lib/sealpost";

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
    })
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

/// A configuration as an object, and the digest that rolls the pods when it changes.
pub fn map(metadata: ObjectMeta, config: &Value) -> (ConfigMap, String) {
    let text = format!("{config:#}\n");
    let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(text.as_bytes())[..8]);
    let data = BTreeMap::from([("config.json".to_owned(), text)]);
    (ConfigMap { metadata, data: Some(data), ..ConfigMap::default() }, digest)
}
