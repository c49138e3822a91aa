//! The way to the buckets, the only one that leads out of a shard's pod.
//!
//! A NetworkPolicy knows pods and addresses; a bucket has a name, and a pod two processes. So it is as narrow as it can be
//! without asking name servers what they said a moment ago (docs/decisions/0011):
//!
//! | endpoint | open |
//! |---|---|
//! | an IPv4 address | that address, its port |
//! | `<service>.<namespace>.svc`, `<service>` | TCP to pods of that namespace: a Service's port is not its pods' |
//! | any other name, or none (AWS) | its port, wherever the name leads |
//!
//! Without a policy in force there is none, not even to name servers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use k8s_openapi::api::networking::v1::{IPBlock, NetworkPolicyEgressRule, NetworkPolicyPeer, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// Of an endpoint that names none.
const HTTPS: i32 = 443;
/// How names of Services end.
const SERVICE_ENDS: [&str; 2] = [".svc", ".svc.cluster.local"];
/// The label that every namespace has.
const NAMESPACE: &str = "kubernetes.io/metadata.name";

/// Where a bucket is reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    /// At an address.
    Address(Ipv4Addr, i32),
    /// In the pods of a namespace.
    Namespace(String),
    /// Behind a name.
    Name(i32),
}

impl Endpoint {
    /// Of `https://host[:port]`; none = AWS. `own` is the namespace in which a host without dots is a Service.
    pub fn of(endpoint: Option<&str>, own: &str) -> Self {
        let Some(host) = endpoint.and_then(|endpoint| endpoint.strip_prefix("https://")) else {
            return Self::Name(HTTPS);
        };
        let (host, port) = host.split_once(':').unwrap_or((host, ""));
        let port = port.parse().unwrap_or(HTTPS);
        if let Ok(address) = host.parse() {
            return Self::Address(address, port);
        }
        if !host.contains('.') {
            return Self::Namespace(own.to_owned());
        }
        let service = SERVICE_ENDS.iter().find_map(|end| host.strip_suffix(end));
        match service.and_then(|service| service.rsplit_once('.')) {
            Some((_, namespace)) => Self::Namespace(namespace.to_owned()),
            None => Self::Name(port),
        }
    }

    fn rule(&self) -> NetworkPolicyEgressRule {
        let (to, port) = match self {
            Self::Address(address, port) => {
                let block = IPBlock { cidr: format!("{address}/32"), except: None };
                (Some(NetworkPolicyPeer { ip_block: Some(block), ..NetworkPolicyPeer::default() }), Some(*port))
            }
            Self::Namespace(namespace) => {
                let labels = BTreeMap::from([(NAMESPACE.to_owned(), namespace.clone())]);
                let selector = LabelSelector { match_labels: Some(labels), ..LabelSelector::default() };
                (Some(NetworkPolicyPeer { namespace_selector: Some(selector), ..NetworkPolicyPeer::default() }), None)
            }
            Self::Name(port) => (None, Some(*port)),
        };
        NetworkPolicyEgressRule { to: to.map(|peer| vec![peer]), ports: Some(vec![tcp(port)]) }
    }
}

/// What a shard's pod may call. Names need name servers.
pub fn rules(buckets: &BTreeSet<Endpoint>) -> Vec<NetworkPolicyEgressRule> {
    let named = buckets.iter().any(|bucket| !matches!(bucket, Endpoint::Address(..)));
    named.then(dns).into_iter().chain(buckets.iter().map(Endpoint::rule)).collect()
}

/// Name servers. Not only those of kube-system: caches on the nodes have addresses of their own.
pub fn dns() -> NetworkPolicyEgressRule {
    let port = |protocol: &str| NetworkPolicyPort { protocol: Some(protocol.to_owned()), ..tcp(Some(53)) };
    NetworkPolicyEgressRule { to: None, ports: Some(["UDP", "TCP"].map(port).into()) }
}

fn tcp(port: Option<i32>) -> NetworkPolicyPort {
    NetworkPolicyPort { port: port.map(IntOrString::Int), protocol: Some("TCP".to_owned()), end_port: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_reached_as_narrowly_as_its_endpoint_says() {
        let of = |endpoint: &str| Endpoint::of(Some(endpoint), "post");
        assert_eq!(of("https://198.51.100.7:9000"), Endpoint::Address([198, 51, 100, 7].into(), 9000));
        for inside in ["https://minio.store.svc:9000", "https://mail.minio.store.svc.cluster.local"] {
            assert_eq!(of(inside), Endpoint::Namespace("store".into()), "{inside}");
        }
        assert_eq!(of("https://minio:9000"), Endpoint::Namespace("post".into()));
        assert_eq!(of("https://account.r2.example.com"), Endpoint::Name(443));
        assert_eq!(of("https://s3.example.org:8443"), Endpoint::Name(8443));
        assert_eq!(Endpoint::of(None, "post"), Endpoint::Name(443));
    }

    #[test]
    fn without_a_policy_a_pod_of_a_shard_calls_nobody_and_an_address_needs_no_name_server() {
        assert!(rules(&BTreeSet::new()).is_empty());
        let address = BTreeSet::from([Endpoint::of(Some("https://198.51.100.7"), "post")]);
        assert_eq!(rules(&address).len(), 1);
        let name = BTreeSet::from([Endpoint::of(None, "post")]);
        assert_eq!(rules(&name).len(), 2);
    }
}
