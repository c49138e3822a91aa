//! A namespace full of names, and an archive without them.

use serde_json::json;

use super::super::pods::Source;
use super::super::show::Objects;
use super::gather::Facts;
use super::tar::Form;
use super::write;

/// Names of people and places, and what Secrets hold.
const NEEDLES: [&str; 19] = [
    "ann.lee",
    "annlee",
    "ann-lee-keys",
    "bob@example.org",
    "robert",
    "example.org",
    "sales",
    "partner",
    "elsewhere.example",
    "hooks.example.net",
    "token-of-the-hook",
    "storage.example.com",
    "secret-bucket",
    "r2-credentials",
    "correct horse battery staple",
    "for Robert, who knows",
    "gone fishing",
    "192.0.2.77",
    "2001:db8::77",
];

fn object<K: serde::de::DeserializeOwned>(kind: &str, name: &str, spec: &serde_json::Value, message: &str) -> K {
    // As `kubectl apply` leaves it: everything once more.
    let applied =
        json!({"metadata": {"name": name}, "spec": spec, "stringData": {"password": "correct horse battery staple"}});
    serde_json::from_value(json!({
        "apiVersion": api::API_VERSION, "kind": kind,
        "metadata": {
            "name": name, "namespace": "post", "labels": {"team": "robert", "sealpost.dev/server": "mail"},
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": applied.to_string(),
                "sealpost.dev/fenced": "for Robert, who knows"},
            "managedFields": [{"manager": "robert"}],
        },
        "spec": spec,
        "status": {"conditions": [{"type": "Ready", "status": "False", "reason": "Fenced", "message": message,
            "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
    }))
    .unwrap()
}

fn facts() -> Facts {
    let server = json!({"hostname": "mx.example.org", "domains": [{"name": "example.org"}],
        "tls": {"secretRefs": [{"name": "ann-lee-keys"}]}});
    let ann = json!({"address": "ann.lee@example.org", "keysSecretRef": {"name": "ann-lee-keys"}});
    let bob = json!({"address": "bob@example.org", "passwordSecretRef": {"name": "robert-password"}});
    let sales = json!({"address": "sales@example.org", "targets": [{"mailboxRef": {"name": "annlee"}},
        {"address": "partner@elsewhere.example"}, {"webhook": {"url": "https://hooks.example.net/token-of-the-hook"}}]});
    let gone = json!({"address": "left@example.org", "reject": {"code": 550, "message": "gone fishing"}});
    let daily = json!({"destination": {"s3": {"endpoint": "https://storage.example.com", "bucket": "secret-bucket",
        "prefix": "p", "credentialsSecretRef": {"name": "r2-credentials"}}}});
    let told = "its files stay closed (for Robert, who knows): `kubectl sealpost unfence annlee`; ann.lee@example.org";
    let backup = json!({"mailboxRef": {"name": "annlee"}});
    let pod = json!({
        "metadata": {"name": "mail-shard-0-0", "annotations": {"note": "robert"}, "labels": {"sealpost.dev/server": "mail"}},
        "spec": {"nodeName": "n1", "containers": [{"name": "primary", "image": "sealpost:1",
            "env": [{"name": "PASSWORD", "value": "correct horse battery staple"}]}]},
        "status": {"podIP": "192.0.2.77", "phase": "Running"},
    });
    let event = json!({"metadata": {"name": "annlee.18"}, "involvedObject": {"kind": "Mailbox", "name": "annlee"},
        "reason": "Fenced", "message": "(for Robert, who knows) of ann.lee@example.org"});
    let source = Source { namespace: "post".into(), pod: "mail-shard-0-0".into(), container: "primary".into() };
    let log = [
        r#"2026-01-01T00:00:00Z {"timestamp":"2026-01-01T00:00:00Z","level":"WARN","fields":{"message":"a login as ANN.LEE@EXAMPLE.ORG from 192.0.2.77 failed","peer":"[2001:db8::77]:993","mailbox":"k3v"},"target":"sealpost"}"#,
        "2026-01-01T00:00:01Z thread 'main' panicked: <partner@elsewhere.example> at secret-bucket.storage.example.com",
    ];
    Facts {
        namespace: "post".into(),
        servers: vec![object("MailServer", "mail", &server, told)],
        objects: Objects {
            mailboxes: vec![object("Mailbox", "annlee", &ann, told), object("Mailbox", "robert", &bob, told)],
            aliases: vec![object("Alias", "sales", &sales, told), object("Alias", "left", &gone, told)],
            policies: vec![object("BackupPolicy", "daily", &daily, told)],
            backups: vec![object("MailboxBackup", "annlee-20260101", &backup, told)],
            restores: Vec::new(),
        },
        cluster: [("pods", vec![pod]), ("events", vec![event])].into(),
        logs: vec![(source, log.map(str::to_owned).into())],
        ..Facts::default()
    }
}

/// Those of the needles that a text has, in any case.
fn found(text: &str) -> Vec<&'static str> {
    let text = text.to_lowercase();
    NEEDLES.into_iter().filter(|needle| text.contains(&needle.to_lowercase())).collect()
}

fn archive(facts: &Facts) -> String {
    let entries = write::entries(facts, &mut facts.redactor());
    let packed = Form::Zstandard.pack(&entries, jiff::Timestamp::UNIX_EPOCH).unwrap();
    String::from_utf8(zstd::decode_all(packed.as_slice()).unwrap()).unwrap()
}

#[test]
fn no_name_of_a_person_or_a_place_is_in_the_archive() {
    let facts = facts();
    // What the API server answers has every needle: so the search would find what is left of them.
    let objects = &facts.objects;
    let all = json!([&facts.servers, &objects.mailboxes, &objects.aliases, &objects.policies, &objects.backups]);
    let raw = all.to_string() + &json!(facts.cluster).to_string() + &facts.logs[0].1.concat();
    assert_eq!(found(&raw), NEEDLES);
    let archive = archive(&facts);
    assert_eq!(found(&archive), Vec::<&str>::new(), "{archive}");
}

#[test]
fn what_helps_is_in_the_archive_under_the_same_pseudonyms_everywhere() {
    let archive = archive(&facts());
    for wanted in ["mail-shard-0-0", "\"reason\": \"Fenced\"", "\"level\":\"WARN\"", "k3v", "sealpost:1", "shards"] {
        assert!(archive.contains(wanted), "{wanted}: {archive}");
    }
    let mailboxes = archive.split("objects/mailboxes.json").nth(1).unwrap();
    let name = mailboxes.split("\"name\": \"").nth(1).unwrap().split('"').next().unwrap();
    assert!(name.starts_with("name-"), "{name}");
    let alias = archive.split("objects/aliases.json").nth(1).unwrap();
    assert!(alias.contains(&format!("\"name\": \"{name}\"")), "the alias names {name}: {alias}");
    assert!(archive.contains(&format!("unfence {name}")));
}
