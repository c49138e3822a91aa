//! What a GitOps tool sees: no difference after an apply, and no write where nothing has changed.

use std::collections::BTreeMap;

use crate::harness::{SYSTEM, Tenant, kubectl, manifests, project, try_kubectl, within};

/// What the operator may write.
const OURS: [&str; 14] = [
    "mailservers",
    "mailboxes",
    "aliases",
    "backuppolicies",
    "mailboxbackups",
    "mailboxrestores",
    "statefulsets",
    "deployments",
    "configmaps",
    "services",
    "secrets",
    "persistentvolumeclaims",
    "networkpolicies",
    "poddisruptionbudgets",
];

/// A number of a line of metrics.
fn value(line: &str) -> f64 {
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Writes that the API server has counted, by what they were.
fn writes() -> BTreeMap<String, f64> {
    let metrics = kubectl(&["get", "--raw", "/metrics"]);
    let is_write = |line: &&str| {
        let verbs = ["POST", "PUT", "PATCH", "APPLY", "DELETE"];
        verbs.iter().any(|verb| line.contains(&format!("verb=\"{verb}\"")))
            && OURS.iter().any(|kind| line.contains(&format!("resource=\"{kind}\"")))
    };
    let lines = metrics.lines().filter(|line| line.starts_with("apiserver_request_total{")).filter(is_write);
    lines.map(|line| (line.rsplit_once(' ').unwrap().0.to_owned(), value(line))).collect()
}

/// Passes in which the operator found nothing left to do.
fn settled() -> f64 {
    let pods = kubectl(&["-n", SYSTEM, "get", "pods", "-l", "app.kubernetes.io/name=sealpost-operator", "-o", "name"]);
    let pod = pods.lines().next().unwrap().trim_start_matches("pod/").to_owned();
    let metrics = kubectl(&["get", "--raw", &format!("/api/v1/namespaces/{SYSTEM}/pods/{pod}:8080/proxy/metrics")]);
    metrics.lines().find(|line| line.contains("passes_total{result=\"settled\"}")).map_or(0.0, value)
}

/// The version of every object that somebody declared or the operator made.
fn versions(tenant: &Tenant) -> BTreeMap<String, String> {
    let kinds = OURS.join(",");
    let form = "jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.resourceVersion}{\"\\n\"}{end}";
    let found = tenant.kubectl(&["get", &kinds, "-o", form]);
    found.lines().filter_map(|line| line.split_once(' ')).map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
}

#[test]
#[ignore = "needs a cluster: tests/e2e/cluster/run"]
fn what_was_applied_shows_no_difference_and_applied_again_causes_no_write() {
    let tenant = Tenant::with_samples("gitops");
    let samples = project("config/samples");
    let samples = samples.to_str().unwrap();
    assert_eq!(tenant.kubectl(&["diff", "-f", samples]), "");
    assert_eq!(try_kubectl(&["diff", "-f", "-"], &manifests()).unwrap(), "");
    // The samples' bucket is nowhere: once the first change waits too long for it, that is the last news.
    tenant.wait("backuppolicy/daily", "WithinRPO", "False", Some("Behind"));
    // Events of the start still come in.
    let since = settled();
    within("the operator settles", || if settled() > since + 1.0 { Ok(()) } else { Err(String::new()) });
    let versions = versions(&tenant);
    // For Secrets with stringData kubectl asks for a change, which is none.
    let again = tenant.apply_samples();
    let same = |line: &str| line.ends_with("unchanged") || line.starts_with("secret/");
    assert!(again.lines().all(same), "{again}");
    let (before, since) = (writes(), settled());
    within("the operator looks", || if settled() > since + 3.0 { Ok(()) } else { Err(String::new()) });
    let after = writes();
    let changed: Vec<_> = after.iter().filter(|(line, count)| before.get(*line) != Some(count)).collect();
    assert!(changed.is_empty(), "{changed:#?}");
    assert_eq!(self::versions(&tenant), versions);
    tenant.end();
}
