//! A shard: one StatefulSet of one pod, in it the primary and its sidecar; its Service, its configuration.

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec};
use k8s_openapi::api::core::v1::{
    Container, EmptyDirVolumeSource, PersistentVolumeClaimVolumeSource, PodSpec, ProjectedVolumeSource,
    SecretProjection, SecretVolumeSource, Service, ServicePort, ServiceSpec, Volume, VolumeMount, VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use model::ShardId;

use super::config::{self, BUCKETS_DIR, DATA_DIR, IDENTITY_DIR, KEYS_DIR, MEETING_DIR, SIDECAR_DIRS};
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
    let configs = [
        (config::CONFIG, config::primary(observed, shard)),
        (config::SIDECAR_CONFIG, config::sidecar(observed, shard)),
    ];
    let (map, digest) = config::map(observed.meta(name.clone(), labels.clone()), &configs);
    let volumes = vec![
        pod::config_volume(&name),
        pod::secret_volume("identity", &format!("{name}-tls"), IDENTITY_DIR),
        (keys(&server, shard), pod::mount("keys", KEYS_DIR, true)),
        (data(&server, shard), pod::mount("data", DATA_DIR, false)),
        (meeting(), pod::mount("meeting", MEETING_DIR, false)),
    ];
    let (mut volumes, mounts): (Vec<_>, Vec<_>) = volumes.into_iter().unzip();
    volumes.push(buckets(&server));
    let declared = spec.primary.as_ref().and_then(|primary| primary.resources.as_ref());
    let resources = pod::resources(declared, "100m", "256Mi");
    let container =
        pod::container("primary", observed.image, &["primary"], &[("wire", names::WIRE)], mounts, resources);
    let mut template = pod::template(&labels, &digest, GRACE, vec![container], volumes);
    if let Some(pod) = &mut template.spec {
        pod.init_containers = Some(vec![sidecar(observed)]);
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

/// What archives the shard. It has no key, and of the volume what it copies and where it works.
fn sidecar(observed: &Observed<'_>) -> Container {
    let parts = SIDECAR_DIRS.map(|(folder, read_only)| VolumeMount {
        sub_path: Some(folder.to_owned()),
        ..pod::mount("data", &format!("{DATA_DIR}/{folder}"), read_only)
    });
    let mut mounts = vec![
        pod::mount("config", config::CONFIG_DIR, true),
        pod::mount("meeting", MEETING_DIR, false),
        pod::mount("buckets", BUCKETS_DIR, true),
    ];
    mounts.extend(parts);
    let declared = observed.server.spec.sidecar.as_ref().and_then(|sidecar| sidecar.resources.as_ref());
    let resources = pod::resources(declared, "20m", "64Mi");
    pod::sidecar(pod::container("sidecar", observed.image, &[], &[], mounts, resources))
}

/// Where the two processes find each other.
fn meeting() -> Volume {
    let memory =
        EmptyDirVolumeSource { medium: Some("Memory".to_owned()), size_limit: Some(Quantity("1Mi".to_owned())) };
    Volume { name: "meeting".to_owned(), empty_dir: Some(memory), ..Volume::default() }
}

/// What opens buckets, once there is any: mail waits for none.
fn buckets(server: &str) -> Volume {
    let source = SecretVolumeSource {
        secret_name: Some(names::buckets(server)),
        default_mode: Some(0o440),
        optional: Some(true),
        ..SecretVolumeSource::default()
    };
    Volume { name: "buckets".to_owned(), secret: Some(source), ..Volume::default() }
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
