//! A shard: one StatefulSet of one pod, its Service, its configuration.

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec};
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaimVolumeSource, PodSpec, ProjectedVolumeSource, SecretProjection, Service, ServicePort,
    ServiceSpec, Volume, VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use model::ShardId;

use super::config::{self, DATA_DIR, IDENTITY_DIR, KEYS_DIR};
use super::{Child, Observed, pod};
use crate::names;

/// How long a primary may take to end its calls and close its mailboxes.
const GRACE: i64 = 60;

/// The objects of one shard.
pub fn shard(observed: &Observed<'_>, shard: ShardId) -> Vec<Child> {
    let (server, spec) = (observed.name(), &observed.server.spec);
    let name = names::shard(&server, shard);
    let labels = names::of_shard(&server, shard);
    let selector = names::selector(&labels);
    let (map, digest) = config::map(observed.meta(name.clone(), labels.clone()), &config::primary(observed, shard));
    let volumes = [
        pod::config_volume(&name),
        pod::secret_volume("identity", &format!("{name}-tls"), IDENTITY_DIR),
        (keys(&server, shard), pod::mount("keys", KEYS_DIR, true)),
        (data(&server, shard), pod::mount("data", DATA_DIR, false)),
    ];
    let (volumes, mounts): (Vec<_>, Vec<_>) = volumes.into_iter().unzip();
    let declared = spec.primary.as_ref().and_then(|primary| primary.resources.as_ref());
    let resources = pod::resources(declared, "100m", "256Mi");
    let container =
        pod::container("primary", observed.image, &["primary"], &[("wire", names::WIRE)], mounts, resources);
    let mut template = pod::template(&labels, &digest, GRACE, vec![container], volumes);
    if let Some(pod) = &mut template.spec {
        schedule(pod, spec.primary.as_ref().and_then(|primary| primary.scheduling.as_ref()));
    }
    let set = StatefulSet {
        metadata: observed.meta(name.clone(), labels.clone()),
        spec: Some(StatefulSetSpec {
            replicas: Some(1),
            pod_management_policy: Some("Parallel".to_owned()),
            service_name: Some(name.clone()),
            selector: LabelSelector { match_labels: Some(selector.clone()), ..LabelSelector::default() },
            template,
            ..StatefulSetSpec::default()
        }),
        status: None,
    };
    let wire = ServicePort {
        name: Some("wire".to_owned()),
        port: names::WIRE,
        target_port: Some(IntOrString::String("wire".to_owned())),
        protocol: Some("TCP".to_owned()),
        ..ServicePort::default()
    };
    let service = Service {
        metadata: observed.meta(name, labels),
        spec: Some(ServiceSpec {
            selector: Some(selector),
            ports: Some(vec![wire]),
            // The first directory is pushed to a shard that is not ready yet.
            publish_not_ready_addresses: Some(true),
            type_: Some("ClusterIP".to_owned()),
            ..ServiceSpec::default()
        }),
        status: None,
    };
    vec![Child::of(&map), Child::of(&service), Child::of(&set)]
}

/// The shard's own key and the server's secret, together.
fn keys(server: &str, shard: ShardId) -> Volume {
    let secret = |name: String| VolumeProjection {
        secret: Some(SecretProjection { name, ..SecretProjection::default() }),
        ..VolumeProjection::default()
    };
    Volume {
        name: "keys".to_owned(),
        projected: Some(ProjectedVolumeSource {
            default_mode: Some(0o440),
            sources: Some(vec![secret(names::shard_key(server, shard)), secret(format!("{server}-secret"))]),
        }),
        ..Volume::default()
    }
}

fn data(server: &str, shard: ShardId) -> Volume {
    let claim = PersistentVolumeClaimVolumeSource { claim_name: names::claim(server, shard), read_only: None };
    Volume { name: "data".to_owned(), persistent_volume_claim: Some(claim), ..Volume::default() }
}

/// Takes over what `spec.primary.scheduling` may say; the rest of a pod is not its business.
fn schedule(pod: &mut PodSpec, scheduling: Option<&serde_json::Value>) {
    let Some(mut wanted) = scheduling.cloned() else { return };
    wanted["containers"] = serde_json::json!([]);
    let Ok(wanted) = serde_json::from_value::<PodSpec>(wanted) else { return };
    pod.node_selector = wanted.node_selector;
    pod.tolerations = wanted.tolerations;
    pod.affinity = wanted.affinity;
    pod.priority_class_name = wanted.priority_class_name;
}
