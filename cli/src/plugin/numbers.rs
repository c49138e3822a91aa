//! What pods count: sessions, mail that waits, the lag of copies. Objects do not say it, because it changes all the time; it is
//! asked of the pods' `/metrics` through the API server, where that is allowed (get on pods/proxy).

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::core::Request;
use kube::{Api, Client, Resource, ResourceExt};
use operator::names;
use serde::Serialize;

/// A pod that does not answer holds nobody up for longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the pods of a MailServer say.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Numbers {
    /// By number of the shard.
    pub shards: BTreeMap<i32, OfShard>,
    /// Connections of mail clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<u64>,
    /// Why not all of it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

/// What the primary of a shard and its sidecar say; none of what they did not.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OfShard {
    /// Attached sessions.
    pub sessions: Option<u64>,
    /// Messages that wait for their owners.
    pub waiting: Option<u64>,
    /// Messages that could not be stored, and are kept.
    pub set_aside: Option<u64>,
    /// Mailboxes whose files are kept closed.
    pub fenced: Option<u64>,
    /// Age of the oldest commit that is not archived.
    pub lag_seconds: Option<u64>,
    /// Mailboxes under a policy.
    pub archived_mailboxes: Option<u64>,
}

/// What a pod is asked for.
struct Wanted {
    pod: String,
    port: i32,
    take: fn(&mut Numbers, i32, &Metrics),
    shard: i32,
}

/// Metrics by name, summed over their labels.
type Metrics = BTreeMap<String, u64>;

/// Asks the pods of a MailServer.
pub async fn ask(client: &Client, namespace: &str, server: &str) -> Numbers {
    let mut numbers = Numbers::default();
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let ours = ListParams::default().labels(&format!("{}={server}", names::SERVER));
    let pods = match pods.list(&ours).await {
        Ok(pods) => pods.items,
        Err(error) => return Numbers { missing: Some(because("list pods", &error)), ..numbers },
    };
    for wanted in pods.iter().flat_map(wanted) {
        match tokio::time::timeout(PATIENCE, metrics(client, namespace, &wanted)).await {
            Ok(Ok(found)) => (wanted.take)(&mut numbers, wanted.shard, &found),
            Ok(Err(error)) => numbers.missing = Some(because("get pods/proxy", &error)),
            Err(_) => numbers.missing = Some(format!("pod/{} does not answer", wanted.pod)),
        }
    }
    numbers
}

/// A pod that does not run has nothing to say, which shows elsewhere.
fn wanted(pod: &Pod) -> Vec<Wanted> {
    let (name, labels) = (pod.name_any(), pod.labels());
    let runs = pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running");
    let shard = labels.get(names::SHARD).and_then(|shard| shard.parse().ok()).unwrap_or(0);
    let wanted = |port: i32, take: fn(&mut Numbers, i32, &Metrics)| Wanted { pod: name.clone(), port, take, shard };
    match labels.get(names::COMPONENT).map(String::as_str) {
        Some("primary") if runs => vec![wanted(names::PROBES, primary), wanted(names::SIDECAR_PROBES, sidecar)],
        Some("imap") if runs => vec![wanted(names::PROBES, front)],
        _ => Vec::new(),
    }
}

fn primary(numbers: &mut Numbers, shard: i32, found: &Metrics) {
    let of = numbers.shards.entry(shard).or_default();
    of.sessions = found.get("sealpost_primary_sessions").copied();
    of.waiting = found.get("sealpost_primary_waiting_messages").copied();
    of.set_aside = found.get("sealpost_primary_messages_set_aside").copied();
    of.fenced = found.get("sealpost_primary_mailboxes_fenced").copied();
}

fn sidecar(numbers: &mut Numbers, shard: i32, found: &Metrics) {
    let of = numbers.shards.entry(shard).or_default();
    of.lag_seconds = found.get("sealpost_sidecar_lag_seconds").copied();
    of.archived_mailboxes = found.get("sealpost_sidecar_mailboxes").copied();
}

fn front(numbers: &mut Numbers, _: i32, found: &Metrics) {
    if let Some(connections) = found.get("sealpost_secondary_connections") {
        *numbers.connections.get_or_insert(0) += connections;
    }
}

async fn metrics(client: &Client, namespace: &str, wanted: &Wanted) -> Result<Metrics, kube::Error> {
    let pods = Request::new(Pod::url_path(&(), Some(namespace)));
    let target = format!("{}:{}", wanted.pod, wanted.port);
    let request = pods.get_subresource("proxy/metrics", &target).map_err(kube::Error::BuildRequest)?;
    Ok(read(&client.request_text(request).await?))
}

/// The numbers of a text in OpenMetrics form.
fn read(text: &str) -> Metrics {
    let mut found = Metrics::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, value)) = line.rsplit_once(' ') else { continue };
        let name = name.split('{').next().unwrap_or(name);
        let Ok(value) = value.parse::<u64>() else { continue };
        *found.entry(name.to_owned()).or_default() += value;
    }
    found
}

fn because(right: &str, error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 403 => format!("that takes the right to {right}"),
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PRIMARY: &str = "# HELP sealpost_primary_sessions Sessions that are attached.\n# TYPE sealpost_primary_sessions gauge\n\
        sealpost_primary_sessions 12\nsealpost_primary_waiting_messages 3\nsealpost_primary_messages_set_aside 1\n# EOF\n";

    #[test]
    fn numbers_of_all_pods_come_together_by_shard() {
        let mut numbers = Numbers::default();
        primary(&mut numbers, 1, &read(PRIMARY));
        sidecar(&mut numbers, 1, &read("sealpost_sidecar_lag_seconds 4\nsealpost_build_info{version=\"0.1.0\"} 1\n"));
        for _ in 0..2 {
            front(&mut numbers, 0, &read("sealpost_secondary_connections 5\n"));
        }
        let of = OfShard {
            sessions: Some(12),
            waiting: Some(3),
            set_aside: Some(1),
            fenced: None,
            lag_seconds: Some(4),
            archived_mailboxes: None,
        };
        assert_eq!(numbers, Numbers { shards: [(1, of)].into(), connections: Some(10), missing: None });
    }

    #[test]
    fn a_primary_is_asked_and_its_sidecar_and_a_pod_that_does_not_run_is_not() {
        let pod = |component: &str, phase: &str| -> Pod {
            let labels = json!({names::COMPONENT: component, names::SHARD: "2"});
            serde_json::from_value(json!({"metadata": {"name": "p", "labels": labels}, "status": {"phase": phase}}))
                .unwrap()
        };
        let ports = |pod: &Pod| wanted(pod).iter().map(|wanted| (wanted.port, wanted.shard)).collect::<Vec<_>>();
        assert_eq!(ports(&pod("primary", "Running")), [(8080, 2), (8081, 2)]);
        assert_eq!(ports(&pod("imap", "Running")), [(8080, 2)]);
        assert_eq!(ports(&pod("primary", "Pending")), []);
        assert_eq!(ports(&pod("mx", "Running")), []);
    }
}
