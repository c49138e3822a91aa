//! Golden files: a difference in a pod template would restart the data plane of everybody who upgrades the operator.
//! `SEALPOST_GOLDEN=write` writes them.

use std::path::Path;

use super::*;

/// What the API server adds to an object.
const SMALL: &str = "
metadata: {name: mail, namespace: post, uid: 11111111-2222-3333-4444-555555555555}
spec: {hostname: mx.example.org, domains: [{name: example.org}]}";
const LARGE: &str = "
metadata: {name: mail, namespace: post, uid: 11111111-2222-3333-4444-555555555555}
spec:
  hostname: mx.example.org
  domains: [{name: example.org}]
  shards: 2
  tls: {secretRefs: [{name: mail-tls}]}
  sidecar: {resources: {requests: {cpu: 50m, memory: 128Mi}, limits: {memory: 256Mi}}}
  primary:
    resources: {requests: {cpu: 2, memory: 4Gi}, limits: {memory: 4Gi}}
    scheduling: {nodeSelector: {disk: fast}, priorityClassName: mail, tolerations: [{key: mail, operator: Exists}]}
  imap: {replicas: 3, service: {type: LoadBalancer}}
  mx: {replicas: 2, service: {type: NodePort}}";

fn planned(text: &str, public_secret: &str) -> Vec<Child> {
    let text = format!("apiVersion: sealpost.dev/v1alpha1\nkind: MailServer{text}");
    let server: MailServer = serde_norway::from_str(&text).unwrap();
    let id = ServerId("11111111-2222-3333-4444-555555555555".into());
    // The large one has a bucket of each kind.
    let endpoints = ["https://s3.example.org", "https://minio.store.svc:9000", "https://198.51.100.7:9000"];
    let buckets =
        endpoints.iter().filter(|_| server.spec.shards > 1).map(|it| Endpoint::of(Some(it), "post")).collect();
    plan(&Observed {
        server: &server,
        id: &id,
        image: "example/sealpost:1",
        public_secret,
        operator_namespace: "sealpost-system",
        buckets: &buckets,
    })
}

fn golden(name: &str, children: &[Child]) {
    let documents = children.iter().map(|child| serde_norway::to_string(&child.object).unwrap());
    let text = documents.collect::<Vec<_>>().join("---\n");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("golden/{name}.yaml"));
    if std::env::var("SEALPOST_GOLDEN").is_ok_and(|v| v == "write") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == text, "{} differs; if that is meant, run again with SEALPOST_GOLDEN=write", path.display());
}

#[test]
fn the_children_of_a_small_server_are_those_of_the_golden_file() {
    golden("small", &planned(SMALL, "mail-public-tls"));
}

#[test]
fn the_children_of_a_large_server_are_those_of_the_golden_file() {
    golden("large", &planned(LARGE, "mail-tls"));
}

/// All pod templates of a plan.
fn pods(children: &[Child]) -> Vec<&Value> {
    children.iter().map(|child| &child.object["spec"]["template"]["spec"]).filter(|pod| pod.is_object()).collect()
}

#[test]
fn no_pod_has_a_token_a_capability_or_a_way_to_become_root() {
    let children = planned(LARGE, "mail-tls");
    let pods = pods(&children);
    assert_eq!(pods.len(), 4);
    for pod in pods {
        assert_eq!(pod["automountServiceAccountToken"], false);
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        let all = pod["containers"].as_array().into_iter().chain(pod["initContainers"].as_array()).flatten();
        for container in all {
            let security = &container["securityContext"];
            assert_eq!(security["capabilities"]["drop"][0], "ALL");
            assert_eq!(
                (&security["allowPrivilegeEscalation"], &security["readOnlyRootFilesystem"]),
                (&false.into(), &true.into())
            );
            for port in container["ports"].as_array().unwrap() {
                assert!(port["containerPort"].as_i64().unwrap() > 1024);
            }
        }
    }
}

#[test]
fn a_changed_host_name_rolls_the_front_ends_and_leaves_the_primaries_alone() {
    let digests = |children: &[Child]| -> Vec<(String, Value)> {
        let templates = children.iter().filter(|child| child.object["spec"]["template"].is_object());
        let digest = |child: &Child| child.object["spec"]["template"]["metadata"]["annotations"][names::CONFIG].clone();
        templates.map(|child| (child.name.clone(), digest(child))).collect()
    };
    let before = digests(&planned(SMALL, "mail-public-tls"));
    let after = digests(&planned(&SMALL.replace("mx.example.org", "new.example.org"), "mail-public-tls"));
    let changed: Vec<_> = before.iter().zip(&after).filter(|(a, b)| a != b).map(|(a, _)| a.0.as_str()).collect();
    assert_eq!(changed, ["mail-imap", "mail-mx"]);
}

#[test]
fn keys_and_what_opens_buckets_are_in_no_container_together_and_mail_waits_for_no_sidecar() {
    let children = planned(SMALL, "mail-public-tls");
    let pod = pods(&children)[0];
    let (primary, sidecar) = (&pod["containers"][0], &pod["initContainers"][0]);
    let has = |container: &Value, volume: &str| {
        container["volumeMounts"].as_array().unwrap().iter().any(|mount| mount["name"] == volume)
    };
    assert_eq!((&primary["name"], &sidecar["name"]), (&"primary".into(), &"sidecar".into()));
    for key in ["keys", "identity"] {
        assert!(has(primary, key) && !has(sidecar, key), "{key}");
    }
    assert!(has(sidecar, "buckets") && !has(primary, "buckets"));
    let data = sidecar["volumeMounts"].as_array().unwrap().iter().filter(|mount| mount["name"] == "data");
    let data: Vec<_> = data.map(|mount| (mount["subPath"].as_str().unwrap(), mount["readOnly"] == true)).collect();
    assert_eq!(data, [("mailboxes", true), ("outbox", false), ("sidecar", false), ("staging", false)]);
    let volume = pod["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == "buckets").unwrap();
    assert_eq!(
        (&volume["secret"]["secretName"], &volume["secret"]["optional"]),
        (&"mail-buckets".into(), &true.into())
    );
    // It is started first and ends last; neither its start nor its state keeps the pod from serving.
    assert_eq!(sidecar["restartPolicy"], "Always");
    assert!(sidecar["startupProbe"].is_null() && sidecar["readinessProbe"].is_null());
}
