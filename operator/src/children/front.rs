//! A protocol front end: a Deployment, its Service, its configuration.

use api::{FrontEnd, ServiceType};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::config::{self, IDENTITY_DIR, PUBLIC_DIR};
use super::{Child, Observed, pod};
use crate::names;

/// How long sessions may take to end after they were told to.
const GRACE: i64 = 30;

/// The front ends there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Front {
    /// IMAP.
    Imap,
    /// SMTP from other servers.
    Mx,
}

impl Front {
    /// Its role, its component label, the end of its objects' names.
    pub fn name(self) -> &'static str {
        match self {
            Front::Imap => "imap",
            Front::Mx => "mx",
        }
    }

    /// Its ports: name, in the Service, in the pod.
    pub fn ports(self) -> &'static [(&'static str, i32, i32)] {
        match self {
            Front::Imap => &[("imaps", 993, names::IMAPS), ("imap", 143, names::IMAP)],
            Front::Mx => &[("smtp", 25, names::SMTP)],
        }
    }

    /// What the MailServer says of it.
    pub fn declared(self, server: &api::MailServer) -> FrontEnd {
        let declared = match self {
            Front::Imap => &server.spec.imap,
            Front::Mx => &server.spec.mx,
        };
        declared.clone().unwrap_or_default()
    }
}

/// The objects of one front end.
pub fn front(observed: &Observed<'_>, front: Front) -> Vec<Child> {
    let declared = front.declared(observed.server);
    let name = format!("{}-{}", observed.name(), front.name());
    let labels = names::component(&observed.name(), front.name());
    let selector = names::selector(&labels);
    let (map, digest) = config::map(
        observed.meta(name.clone(), labels.clone()),
        &[(config::CONFIG, config::secondary(observed, front))],
    );
    let volumes = [
        pod::config_volume(&name),
        pod::secret_volume("identity", &format!("{name}-tls"), IDENTITY_DIR),
        pod::secret_volume("public", observed.public_secret, PUBLIC_DIR),
    ];
    let (volumes, mounts): (Vec<_>, Vec<_>) = volumes.into_iter().unzip();
    let ports: Vec<_> = front.ports().iter().map(|(name, _, port)| (*name, *port)).collect();
    let resources = pod::resources(None, "50m", "96Mi");
    let container = pod::container(front.name(), observed.image, &["secondary"], &ports, mounts, resources);
    let deployment = Deployment {
        metadata: observed.meta(name.clone(), labels.clone()),
        spec: Some(DeploymentSpec {
            replicas: Some(declared.replicas.unwrap_or(1)),
            selector: LabelSelector { match_labels: Some(selector.clone()), ..LabelSelector::default() },
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(1)),
                    max_unavailable: Some(IntOrString::Int(0)),
                }),
            }),
            template: pod::template(&labels, &digest, GRACE, vec![container], volumes),
            ..DeploymentSpec::default()
        }),
        status: None,
    };
    let service = Service {
        metadata: observed.meta(name, labels),
        spec: Some(reached(declared.service.unwrap_or_default().type_, front, selector)),
        status: None,
    };
    vec![Child::of(&map), Child::of(&service), Child::of(&deployment)]
}

fn reached(type_: ServiceType, front: Front, selector: std::collections::BTreeMap<String, String>) -> ServiceSpec {
    let ports = front.ports().iter().map(|(name, port, _)| ServicePort {
        name: Some((*name).to_owned()),
        port: *port,
        target_port: Some(IntOrString::String((*name).to_owned())),
        protocol: Some("TCP".to_owned()),
        ..ServicePort::default()
    });
    let (type_, outside) = match type_ {
        ServiceType::ClusterIP => ("ClusterIP", false),
        ServiceType::NodePort => ("NodePort", true),
        ServiceType::LoadBalancer => ("LoadBalancer", true),
    };
    ServiceSpec {
        selector: Some(selector),
        ports: Some(ports.collect()),
        type_: Some(type_.to_owned()),
        // Otherwise every client looks like a node, and limits by address would hit all of them.
        external_traffic_policy: outside.then(|| "Local".to_owned()),
        ..ServiceSpec::default()
    }
}
