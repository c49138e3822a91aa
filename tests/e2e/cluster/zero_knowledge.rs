//! Zero knowledge: no word of mail and no password that an owner set is in any object or log, and no pod has a token.

use crate::harness::{ANN, SYSTEM, Tenant, kubectl};

/// Words of the mail, none of which may be found.
const NEEDLES: [&str; 3] = ["heliotrope", "it works", "elsewhere.example"];

/// Every object of the namespace, as an administrator reads it; what is in Secrets once more in clear.
fn objects(tenant: &Tenant) -> String {
    let kinds = kubectl(&["api-resources", "--namespaced", "--verbs=list", "-o", "name"]);
    let kinds = kinds.lines().collect::<Vec<_>>().join(",");
    let mut text = tenant.kubectl(&["get", &kinds, "-o", "yaml"]);
    let secrets: serde_json::Value = serde_json::from_str(&tenant.kubectl(&["get", "secrets", "-o", "json"])).unwrap();
    for secret in secrets["items"].as_array().unwrap() {
        for value in secret["data"].as_object().unwrap().values() {
            let bytes = data_encoding::BASE64.decode(value.as_str().unwrap().as_bytes()).unwrap();
            text += &String::from_utf8_lossy(&bytes);
        }
    }
    text
}

fn logs(tenant: &Tenant) -> String {
    let of = |namespace: &str| {
        let pods = kubectl(&["-n", namespace, "get", "pods", "-o", "name"]);
        let log = |pod: &str| kubectl(&["-n", namespace, "logs", pod, "--all-containers"]);
        pods.lines().map(log).collect::<String>()
    };
    of(&tenant.namespace) + &of(SYSTEM)
}

#[test]
#[ignore = "needs a cluster: tests/e2e/cluster/run"]
fn neither_objects_nor_logs_know_of_mail_or_of_an_owners_password_and_no_pod_has_a_token() {
    let tenant = Tenant::with_samples("zero-knowledge");
    let mail = tenant.mail();
    let said = tenant.plugin(&["password", "bob"]).unwrap();
    let password = said.lines().find_map(|line| line.strip_prefix("password: ")).unwrap().to_owned();
    tenant.ready(&["mailbox/bob"]);
    for (address, password) in [("ann@example.org", ANN), ("bob@example.org", &password)] {
        mail.send(address, "heliotrope");
        assert!(mail.read(address, password).unwrap().contains("heliotrope"));
    }
    let (objects, logs) = (objects(&tenant), logs(&tenant));
    // The search finds what is there: an address, a password that was put into a Secret, a line of a log.
    assert!(objects.contains("bob@example.org") && objects.contains(ANN) && logs.contains("the shard serves"));
    for needle in NEEDLES.iter().copied().chain([password.as_str()]) {
        assert!(!objects.contains(needle), "an object contains {needle}");
        assert!(!logs.contains(needle), "a log contains {needle}");
    }
    assert!(!logs.contains(ANN));
    let pods: serde_json::Value = serde_json::from_str(&tenant.kubectl(&["get", "pods", "-o", "json"])).unwrap();
    for pod in pods["items"].as_array().unwrap() {
        assert!(!pod["spec"].to_string().contains("serviceAccountToken"), "{}", pod["metadata"]["name"]);
    }
    tenant.end();
}
