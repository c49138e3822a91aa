//! `kubectl sealpost`, each command with the rights that docs/operations.md names and no others.

use std::path::PathBuf;
use std::process::Command;

use crate::harness::{ANN, SYSTEM, Tenant, kubectl, within};

const ADDRESS: &str = "ann@example.org";
const OBJECTS: &str = "mailboxes,aliases,backuppolicies,mailboxbackups,mailboxrestores";

/// Somebody with few rights.
struct Person<'a> {
    tenant: &'a Tenant,
    kubeconfig: PathBuf,
    folder: tempfile::TempDir,
}

impl<'a> Person<'a> {
    /// With these rights: verbs and resources.
    fn new(tenant: &'a Tenant, name: &str, rights: &[(&str, &str)]) -> Self {
        tenant.kubectl(&["create", "serviceaccount", name]);
        let account = format!("--serviceaccount={}:{name}", tenant.namespace);
        for (number, (verbs, resources)) in rights.iter().enumerate() {
            let role = format!("{name}-{number}");
            let (verbs, resources) = (format!("--verb={verbs}"), format!("--resource={resources}"));
            tenant.kubectl(&["create", "role", &role, &verbs, &resources]);
            tenant.kubectl(&["create", "rolebinding", &role, &format!("--role={role}"), &account]);
        }
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        let mut config: serde_json::Value =
            serde_json::from_str(&kubectl(&["config", "view", "--minify", "--flatten", "--raw", "-o", "json"]))
                .unwrap();
        let token = tenant.kubectl(&["create", "token", name]);
        config["users"][0]["user"] = serde_json::json!({"token": token.trim()});
        std::fs::write(&kubeconfig, config.to_string()).unwrap();
        let person = Self { tenant, kubeconfig, folder };
        let me = person.kubectl(&["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"]);
        assert!(me.ends_with(name), "the rights of {me} would be tried");
        person
    }

    fn kubectl(&self, args: &[&str]) -> String {
        let output = Command::new("kubectl").args(args).env("KUBECONFIG", &self.kubeconfig).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn plugin(&self, args: &[&str]) -> Result<String, String> {
        self.tenant.plugin_with(&self.kubeconfig, args)
    }
}

#[test]
#[ignore = "needs a cluster: tests/e2e/cluster/run"]
fn status_shows_what_rights_allow_sessions_and_waiting_mail_included() {
    let tenant = Tenant::with_samples("plugin-status");
    tenant.mail().send(ADDRESS, "waits for its owner");
    let objects = ("get,list", "mailservers,mailboxes,aliases,backuppolicies");
    let little = Person::new(&tenant, "little", &[objects]);
    let said = little.plugin(&["status"]).unwrap();
    assert!(said.contains("mail (mx.example.org): ready") && said.contains("shard 0    Serves"), "{said}");
    assert!(said.contains("that takes the right to list pods"), "{said}");
    assert!(said.contains("! mailbox/bob AwaitingOwner"), "{said}");

    let more = Person::new(
        &tenant,
        "more",
        &[objects, ("list", "mailboxbackups,mailboxrestores,pods"), ("get", "pods/proxy")],
    );
    within("the numbers of the pods", || {
        let said = more.plugin(&["status", "mail"])?;
        let all = ["0 sessions", "1 messages wait", "connections"].iter().all(|word| said.contains(word));
        if all && !said.contains("not all are known") { Ok(()) } else { Err(said) }
    });
    let json: serde_json::Value = serde_json::from_str(&more.plugin(&["status", "-o", "json"]).unwrap()).unwrap();
    assert_eq!(json[0]["numbers"]["shards"]["0"]["waiting"], 1, "{json:#}");
    tenant.end();
}

#[test]
#[ignore = "needs a cluster: tests/e2e/cluster/run"]
fn a_fence_closes_a_mailbox_or_a_shard_until_it_is_taken_away() {
    let tenant = Tenant::with_samples("plugin-fence");
    let mail = tenant.mail();
    mail.send(ADDRESS, "before the fence");
    let person = Person::new(&tenant, "mender", &[("get,list,patch", "mailboxes"), ("get,patch", "mailservers")]);
    let said = person.plugin(&["fence", ADDRESS, "--reason", "the disk looks ill"]).unwrap();
    assert!(said.contains("mailbox/ann is fenced") && said.contains("kubectl sealpost unfence ann"), "{said}");
    let told = tenant.soon("mailbox/ann", "Fenced", "True", "Fenced");
    assert!(told.contains("the disk looks ill") && told.contains("kubectl sealpost unfence ann"), "{told}");
    tenant.soon("mailbox/ann", "Ready", "False", "Fenced");
    // As soon as the front ends have heard of it; before, their shard refuses.
    let refused = mail.try_send(ADDRESS, "refused").unwrap_err();
    assert!(refused.contains("451"), "{refused}");
    let refused = mail.read(ADDRESS, ANN).unwrap_err();
    assert!(!refused.contains("before the fence"), "{refused}");

    let said = person.plugin(&["unfence", "ann"]).unwrap();
    assert!(said.contains("open again"), "{said}");
    tenant.ready(&["mailbox/ann"]);
    assert!(mail.read(ADDRESS, ANN).unwrap().contains("before the fence"));
    within("the sender's retry", || mail.try_send(ADDRESS, "refused"));
    assert_eq!(mail.count(ADDRESS, ANN, "refused").unwrap(), 1);

    person.plugin(&["fence", "mail/0"]).unwrap();
    tenant.soon("mailserver/mail", "ShardsAvailable", "False", "Fenced");
    assert!(mail.try_send(ADDRESS, "refused too").unwrap_err().contains("451"));
    assert_eq!(tenant.json("mailbox/ann").unwrap()["status"]["conditions"][0]["status"], "True", "told once");
    let said = person.plugin(&["fence", "mail/1"]).unwrap_err();
    assert!(said.contains("there is no shard 1"), "{said}");
    person.plugin(&["unfence", "mail/0"]).unwrap();
    tenant.ready(&["mailserver/mail", "mailbox/ann"]);
    within("mail is taken again", || mail.try_send(ADDRESS, "at last"));
    tenant.end();
}

#[test]
#[ignore = "needs a cluster: tests/e2e/cluster/run"]
fn logs_are_merged_and_a_report_has_no_names() {
    let tenant = Tenant::with_samples("plugin-logs");
    let mail = tenant.mail();
    mail.send(ADDRESS, "something to tell");
    let objects = format!("mailservers,{OBJECTS}");
    let reader = Person::new(
        &tenant,
        "reader",
        &[
            ("get", "mailservers"),
            ("list", &objects),
            ("get", "mailboxes"),
            ("list", "pods,persistentvolumeclaims,events,statefulsets.apps,deployments.apps"),
            ("get", "pods/log"),
        ],
    );
    let said = reader.plugin(&["logs", "mail"]).unwrap();
    assert!(said.contains("mail-shard-0-0/primary") && said.contains("mail-shard-0-0/sidecar"), "{said}");
    assert!(said.contains("INFO  message stored") && said.contains("/mx "), "{said}");
    let said = reader.plugin(&["logs", "--role", "primary", "--shard", "0", "-o", "json"]).unwrap();
    assert!(said.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{said}");
    assert!(said.contains("the shard serves"), "{said}");
    let about = reader.plugin(&["logs", "--mailbox", ADDRESS]).unwrap();
    assert!(about.contains("keys are installed") && !about.contains("the shard serves"), "{about}");
    let refused = reader.plugin(&["logs", "--role", "operator"]).unwrap_err();
    assert!(refused.contains(SYSTEM), "{refused}");
    assert!(tenant.plugin(&["logs", "--role", "operator"]).unwrap().contains("/operator "));

    let file = reader.folder.path().join("help.tar.zst");
    let said = reader.plugin(&["report", "mail", "-o", file.to_str().unwrap()]).unwrap();
    assert!(said.contains("not in it: cannot list pods of the namespace sealpost-system"), "{said}");
    let archive = zstd::decode_all(std::fs::File::open(&file).unwrap()).unwrap();
    let archive = String::from_utf8_lossy(&archive).to_lowercase();
    let there = tenant.kubectl(&["get", &format!("secrets,{objects}"), "-o", "yaml"]).to_lowercase();
    let password = data_encoding::BASE64.encode(ANN.as_bytes()).to_lowercase();
    for needle in [ADDRESS, "ann-password", "mx.example.org", "example.org", password.as_str()] {
        assert!(there.contains(needle), "the search would not find {needle}");
        assert!(!archive.contains(needle), "the report has {needle}");
    }
    assert!(!archive.contains(ANN));
    for wanted in ["mail-shard-0-0", "the shard serves", "awaitingowner", "\"podip\": \"ip-", "kubernetes"] {
        assert!(archive.contains(wanted), "the report lacks {wanted}");
    }
    let again = reader.plugin(&["report", "-o", file.to_str().unwrap()]).unwrap_err();
    assert!(again.contains("cannot be written"), "nothing is overwritten: {again}");
    tenant.end();
}
