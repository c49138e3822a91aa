//! What all pods have in common.

use std::collections::BTreeMap;

use api::Resources;
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapVolumeSource, Container, ContainerPort, HTTPGetAction, PodSecurityContext, PodSpec,
    PodTemplateSpec, Probe, ResourceRequirements, SeccompProfile, SecretVolumeSource, SecurityContext,
    TopologySpreadConstraint, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::config::{CONFIG, CONFIG_DIR, SIDECAR_CONFIG};
use crate::names;

/// `nonroot` of the image; the volumes belong to this group.
const USER: i64 = 65532;

/// A container of ours: subcommand, ports, probes, what it mounts.
pub fn container(
    name: &str,
    image: &str,
    args: &[&str],
    ports: &[(&str, i32)],
    mounts: Vec<VolumeMount>,
    resources: ResourceRequirements,
) -> Container {
    let args = args.iter().map(|arg| (*arg).to_owned()).chain(common(CONFIG, names::PROBES)).collect();
    Container {
        name: name.to_owned(),
        image: Some(image.to_owned()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        args: Some(args),
        ports: Some(
            ports.iter().chain(&[("probes", names::PROBES)]).map(|(name, port)| container_port(name, *port)).collect(),
        ),
        resources: Some(resources),
        // Opening a large volume takes its time; what listens meanwhile is the probe.
        startup_probe: Some(probe("/livez", 1, 120)),
        liveness_probe: Some(probe("/livez", 10, 6)),
        readiness_probe: Some(probe("/readyz", 1, 2)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
            read_only_root_filesystem: Some(true),
            ..SecurityContext::default()
        }),
        volume_mounts: Some(mounts),
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        ..Container::default()
    }
}

/// What makes a container a sidecar: it runs before the others and until they have ended. Whether it works keeps nobody from
/// starting and no pod from being ready: mail does not wait for it.
pub fn sidecar(container: Container) -> Container {
    let ports = vec![container_port("sidecar-probes", names::SIDECAR_PROBES)];
    let mut live = probe("/livez", 10, 6);
    if let Some(get) = &mut live.http_get {
        get.port = IntOrString::String("sidecar-probes".to_owned());
    }
    Container {
        args: Some([container.name.clone()].into_iter().chain(common(SIDECAR_CONFIG, names::SIDECAR_PROBES)).collect()),
        restart_policy: Some("Always".to_owned()),
        ports: Some(ports),
        startup_probe: None,
        liveness_probe: Some(live),
        readiness_probe: None,
        ..container
    }
}

/// Arguments that all roles have.
fn common(config: &str, probes: i32) -> [String; 4] {
    let (config, probes) = (format!("{CONFIG_DIR}/{config}"), format!("0.0.0.0:{probes}"));
    ["--config".to_owned(), config, "--probes".to_owned(), probes]
}

/// A pod of ours around its containers.
pub fn template(
    labels: &BTreeMap<String, String>,
    digest: &str,
    grace: i64,
    containers: Vec<Container>,
    volumes: Vec<Volume>,
) -> PodTemplateSpec {
    let spread = ["topology.kubernetes.io/zone", "kubernetes.io/hostname"].map(|key| TopologySpreadConstraint {
        max_skew: 1,
        topology_key: key.to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        // Whatever the shard: those of one server shall not share a node.
        label_selector: Some(LabelSelector {
            match_labels: Some(without_shard(names::selector(labels))),
            ..LabelSelector::default()
        }),
        ..TopologySpreadConstraint::default()
    });
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels.clone()),
            annotations: Some(BTreeMap::from([(names::CONFIG.to_owned(), digest.to_owned())])),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            containers,
            security_context: Some(PodSecurityContext {
                run_as_non_root: Some(true),
                run_as_user: Some(USER),
                run_as_group: Some(USER),
                fs_group: Some(USER),
                fs_group_change_policy: Some("OnRootMismatch".to_owned()),
                seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
                ..PodSecurityContext::default()
            }),
            termination_grace_period_seconds: Some(grace),
            topology_spread_constraints: Some(spread.into()),
            volumes: Some(volumes),
            ..PodSpec::default()
        }),
    }
}

fn without_shard(mut labels: BTreeMap<String, String>) -> BTreeMap<String, String> {
    labels.remove(names::SHARD);
    labels
}

fn container_port(name: &str, port: i32) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: port,
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}

fn probe(path: &str, period: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String("probes".to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(5),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

/// A volume from a ConfigMap, and where it is mounted.
pub fn config_volume(config_map: &str) -> (Volume, VolumeMount) {
    let source = ConfigMapVolumeSource { name: config_map.to_owned(), ..ConfigMapVolumeSource::default() };
    let volume = Volume { name: "config".to_owned(), config_map: Some(source), ..Volume::default() };
    (volume, mount("config", CONFIG_DIR, true))
}

/// A volume from a Secret that must be there, and where it is mounted.
pub fn secret_volume(name: &str, secret: &str, path: &str) -> (Volume, VolumeMount) {
    let source = SecretVolumeSource {
        secret_name: Some(secret.to_owned()),
        default_mode: Some(0o440),
        ..SecretVolumeSource::default()
    };
    let volume = Volume { name: name.to_owned(), secret: Some(source), ..Volume::default() };
    (volume, mount(name, path, true))
}

/// Where a volume is mounted.
pub fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

/// Declared requests and limits, or these requests.
pub fn resources(declared: Option<&Resources>, cpu: &str, memory: &str) -> ResourceRequirements {
    let Some(declared) = declared else {
        let requests =
            [("cpu", cpu), ("memory", memory)].map(|(key, value)| (key.to_owned(), Quantity(value.to_owned())));
        return ResourceRequirements { requests: Some(requests.into()), ..ResourceRequirements::default() };
    };
    let amounts = |amounts: &BTreeMap<String, api::Amount>| {
        let quantity = |amount: &api::Amount| match amount {
            api::Amount::Number(number) => Quantity(number.to_string()),
            api::Amount::Text(text) => Quantity(text.clone()),
        };
        (!amounts.is_empty()).then(|| amounts.iter().map(|(key, amount)| (key.clone(), quantity(amount))).collect())
    };
    ResourceRequirements {
        requests: amounts(&declared.requests),
        limits: amounts(&declared.limits),
        ..ResourceRequirements::default()
    }
}
