//! Who may talk to whom: nobody, and then what mail needs.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::front::Front;
use super::{Child, Observed, egress};
use crate::names;

/// The policies of a MailServer.
pub fn policies(observed: &Observed<'_>) -> Vec<Child> {
    let server = observed.name();
    let all = BTreeMap::from([(names::SERVER.to_owned(), server.clone())]);
    let deny = policy(observed, "deny", select(all), Vec::new(), Vec::new());
    let mut policies = vec![deny, primary(observed, &server)];
    policies.extend([Front::Imap, Front::Mx].map(|kind| front(observed, &server, kind)));
    policies.iter().map(Child::of).collect()
}

/// A primary answers front ends and the operator, and calls nobody; the sidecar in the same pod calls buckets.
fn primary(observed: &Observed<'_>, server: &str) -> NetworkPolicy {
    let mut fronts = select(BTreeMap::from([(names::SERVER.to_owned(), server.to_owned())]));
    fronts.match_expressions = Some(vec![LabelSelectorRequirement {
        key: names::COMPONENT.to_owned(),
        operator: "In".to_owned(),
        values: Some(["courier", "imap", "mx", "submission"].map(str::to_owned).into()),
    }]);
    let fronts = NetworkPolicyPeer { pod_selector: Some(fronts), ..NetworkPolicyPeer::default() };
    let label = |key: &str, value: &str| select(BTreeMap::from([(key.to_owned(), value.to_owned())]));
    let operator = NetworkPolicyPeer {
        namespace_selector: Some(label("kubernetes.io/metadata.name", observed.operator_namespace)),
        pod_selector: Some(label("app.kubernetes.io/name", "sealpost-operator")),
        ..NetworkPolicyPeer::default()
    };
    let wire = ingress(vec![fronts, operator], &["wire"]);
    // By number: not every network plugin finds the names of an init container's ports.
    let sidecar = port(IntOrString::Int(names::SIDECAR_PROBES), "TCP");
    let sidecar = NetworkPolicyIngressRule { from: None, ports: Some(vec![sidecar]) };
    let rules = vec![wire, ingress(Vec::new(), &["probes"]), sidecar];
    policy(observed, "primary", of(server, "primary"), rules, egress::rules(observed.buckets))
}

/// A front end answers everybody, and calls primaries and DNS.
fn front(observed: &Observed<'_>, server: &str, front: Front) -> NetworkPolicy {
    let mut ports: Vec<&str> = front.ports().iter().map(|(name, ..)| *name).collect();
    ports.push("probes");
    let primaries = NetworkPolicyPeer { pod_selector: Some(of(server, "primary")), ..NetworkPolicyPeer::default() };
    let wire = NetworkPolicyEgressRule {
        to: Some(vec![primaries]),
        ports: Some(vec![port(IntOrString::String("wire".to_owned()), "TCP")]),
    };
    let egress = vec![egress::dns(), wire];
    policy(observed, front.name(), of(server, front.name()), vec![ingress(Vec::new(), &ports)], egress)
}

fn policy(
    observed: &Observed<'_>,
    name: &str,
    pods: LabelSelector,
    ingress: Vec<NetworkPolicyIngressRule>,
    egress: Vec<NetworkPolicyEgressRule>,
) -> NetworkPolicy {
    let server = observed.name();
    NetworkPolicy {
        metadata: observed.meta(format!("{server}-{name}"), names::labels(&server)),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(pods),
            policy_types: Some(["Ingress", "Egress"].map(str::to_owned).into()),
            ingress: (!ingress.is_empty()).then_some(ingress),
            egress: (!egress.is_empty()).then_some(egress),
        }),
    }
}

/// Nobody in `from` means everybody.
fn ingress(from: Vec<NetworkPolicyPeer>, ports: &[&str]) -> NetworkPolicyIngressRule {
    let ports = ports.iter().map(|name| port(IntOrString::String((*name).to_owned()), "TCP"));
    NetworkPolicyIngressRule { from: (!from.is_empty()).then_some(from), ports: Some(ports.collect()) }
}

fn port(port: IntOrString, protocol: &str) -> NetworkPolicyPort {
    NetworkPolicyPort { port: Some(port), protocol: Some(protocol.to_owned()), end_port: None }
}

fn of(server: &str, component: &str) -> LabelSelector {
    select(names::selector(&names::component(server, component)))
}

fn select(labels: BTreeMap<String, String>) -> LabelSelector {
    LabelSelector { match_labels: Some(labels), ..LabelSelector::default() }
}
