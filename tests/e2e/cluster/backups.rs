//! Copies in a real S3 server: made without a key, waited for by `kubectl`, brought back by `kubectl`; and what is told while
//! the server cannot be used.

use std::process::Command;

use crate::harness::{ANN, S3, Tenant, within};

const ADDRESS: &str = "ann@example.org";

/// A tenant with the samples, whose policy `daily` has a bucket of its own.
fn archived(name: &str) -> (Tenant, S3) {
    let tenant = Tenant::with_samples(name);
    let s3 = tenant.s3();
    tenant.right_credentials("daily-bucket");
    tenant.policy("daily", &s3, ", credentialsSecretRef: {name: daily-bucket}");
    tenant.ready(&["backuppolicy/daily"]);
    (tenant, s3)
}

/// Makes a run and waits for it, as people do.
fn run(tenant: &Tenant, kind: &str, name: &str, spec: &str) -> serde_json::Value {
    tenant
        .apply(&format!("apiVersion: sealpost.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n"));
    let object = format!("{}/{name}", kind.to_lowercase());
    let waited = tenant.try_kubectl(&["wait", "--for=condition=Succeeded", &object, "--timeout=180s"]);
    let status = tenant.json(&object).unwrap()["status"].clone();
    assert!(waited.is_ok(), "{waited:?} {status:#}");
    let moment = |name: &str| status[name].as_str().unwrap_or_else(|| panic!("{name} of {status:#}")).to_owned();
    assert!(moment("startTime") <= moment("completionTime"));
    assert_eq!(status["executor"]["id"], "mail-shard-0");
    status
}

/// How often the containers of the shard's pod were started anew, and which pod it is.
fn life(tenant: &Tenant) -> (String, i64) {
    let pod = tenant.json("pod/mail-shard-0-0").unwrap();
    let all =
        ["initContainerStatuses", "containerStatuses"].map(|kind| pod["status"][kind].as_array().unwrap().clone());
    let restarts = all.iter().flatten().map(|container| container["restartCount"].as_i64().unwrap()).sum();
    (pod["metadata"]["uid"].as_str().unwrap().to_owned(), restarts)
}

/// Waits until the bucket has a new object of a mailbox's database.
fn grows(s3: &S3, before: usize) -> usize {
    within("the archive grows", || {
        let count = s3.keys().iter().filter(|key| key.contains("/wal/") || key.contains("/base/")).count();
        if count > before { Ok(count) } else { Err(format!("{count} segments and bases")) }
    })
}

#[test]
#[ignore = "needs a cluster: tests/e2e/cluster/run"]
fn mail_is_in_the_bucket_and_comes_back_into_a_new_mailbox_with_its_owners_password() {
    let tenant = Tenant::with_samples("backups");
    let mail = tenant.mail();
    // The bucket of the samples is nowhere, and mail flows.
    tenant.wait("backuppolicy/daily", "DestinationReachable", "False", Some("BucketUnreachable"));
    mail.send(ADDRESS, "before the bucket");
    tenant.wait("mailbox/ann", "BackupConfigured", "True", Some("PolicyInForce"));
    let life_before = life(&tenant);

    let s3 = tenant.s3();
    tenant.right_credentials("daily-bucket");
    tenant.policy("daily", &s3, ", credentialsSecretRef: {name: daily-bucket}");
    tenant.ready(&["backuppolicy/daily", "mailserver/mail"]);
    grows(&s3, 0);
    assert_eq!(life(&tenant), life_before, "credentials and policies restart nobody");
    mail.send(ADDRESS, "while locked");
    assert!(mail.read(ADDRESS, ANN).unwrap().contains("while locked"));

    let status = run(&tenant, "MailboxBackup", "now", "{mailboxRef: {name: ann}}");
    let id = tenant.json("mailbox/ann").unwrap()["status"]["mailboxId"].as_str().unwrap().to_owned();
    assert!(status["archiveId"].as_str().unwrap().ends_with(&format!("/{id}/t1")), "{status:#}");

    tenant.apply("apiVersion: sealpost.dev/v1alpha1\nkind: Mailbox\nmetadata: {name: ann-old}\nspec: {address: ann-old@example.org}\n");
    tenant.wait("mailbox/ann-old", "Ready", "False", Some("AwaitingOwner"));
    let spec = "{source: {mailboxRef: {name: ann}}, target: {mailboxRef: {name: ann-old}}}";
    let status = run(&tenant, "MailboxRestore", "back", spec);
    assert!(status["reachedCommit"].as_i64().unwrap() > 0 && status["reachedTime"].is_string(), "{status:#}");
    tenant.ready(&["mailbox/ann-old"]);
    let mut subjects = mail.subjects("ann-old@example.org", ANN).unwrap();
    subjects.sort();
    assert_eq!(subjects, ["before the bucket", "while locked"]);
    mail.send("ann-old@example.org", "and it goes on");
    assert_eq!(mail.subjects(ADDRESS, ANN).unwrap().len(), 2, "the source is as it was");

    // Whoever has the bucket reads none of it.
    for key in s3.keys() {
        let bytes = s3.get(&key);
        for needle in ["before the bucket", "while locked", "it works", ADDRESS] {
            assert!(memchr::memmem::find(&bytes, needle.as_bytes()).is_none(), "{key} has {needle}");
        }
    }
    tenant.end();
}

#[test]
#[ignore = "needs a cluster: tests/e2e/cluster/run"]
fn what_is_wrong_with_a_bucket_is_told_in_seconds_and_mail_flows_meanwhile() {
    let (tenant, s3) = archived("bad-bucket");
    let mail = tenant.mail();
    let policy = "backuppolicy/daily";
    mail.send(ADDRESS, "all is well");
    let before = grows(&s3, 0);
    let life_before = life(&tenant);

    // The server goes away.
    tenant.kubectl(&["scale", "statefulset/s3", "--replicas=0"]);
    tenant.kubectl(&["wait", "--for=delete", "pod/s3-0", "--timeout=60s"]);
    mail.send(ADDRESS, "without a bucket");
    tenant.soon(policy, "DestinationReachable", "False", "BucketUnreachable");
    tenant.soon(policy, "WithinRPO", "False", "Behind");
    assert!(mail.read(ADDRESS, ANN).unwrap().contains("without a bucket"));
    tenant.ready(&["mailserver/mail", "mailbox/ann"]);
    tenant.kubectl(&["scale", "statefulset/s3", "--replicas=1"]);
    tenant.ready(&[policy]);
    let before = grows(&s3, before);

    // A Secret that is not there, and one that is wrong, for a policy that has never worked.
    tenant.policy("gold", &s3, ", credentialsSecretRef: {name: gold-bucket}");
    tenant.soon("backuppolicy/gold", "Ready", "True", "NotInUse");
    tenant.patch("mailbox/ann", r#"{"spec":{"backupPolicyRef":{"name":"gold"}}}"#);
    let told = tenant.soon("backuppolicy/gold", "DestinationReachable", "False", "SecretNotFound");
    assert!(told.contains("gold-bucket"), "{told}");
    mail.send(ADDRESS, "without a secret");
    tenant.credentials("gold-bucket", "nobody", "nothing-that-opens");
    tenant.wait("backuppolicy/gold", "DestinationReachable", "False", Some("AccessDenied"));
    mail.send(ADDRESS, "with a wrong secret");
    tenant.ready(&["mailserver/mail", "mailbox/ann"]);
    tenant.right_credentials("gold-bucket");
    tenant.ready(&["backuppolicy/gold"]);
    grows(&s3, before);

    // A policy that vanishes stays in force, and says so.
    tenant.kubectl(&["delete", "backuppolicy", "gold"]);
    let told = tenant.soon("mailbox/ann", "BackupConfigured", "False", "PolicyNotFound");
    assert!(told.contains("stays in force"), "{told}");
    let before = grows(&s3, 0);
    mail.send(ADDRESS, "under a policy that is gone");
    grows(&s3, before);

    // A run for nobody waits, and fails in the end.
    tenant.apply("apiVersion: sealpost.dev/v1alpha1\nkind: MailboxBackup\nmetadata: {name: nobody}\nspec: {mailboxRef: {name: nobody}, deadlineSeconds: 5}\n");
    tenant.soon("mailboxbackup/nobody", "Succeeded", "Unknown", "MailboxNotFound");
    tenant.wait("mailboxbackup/nobody", "Succeeded", "False", Some("DeadlineExceeded"));
    assert_eq!(life(&tenant), life_before, "none of it restarted anything");
    tenant.end();
}

/// The key of a mailbox, as its owner has it printed.
fn key_of(tenant: &Tenant, s3: &S3) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let id = tenant.json("mailbox/ann").unwrap()["status"]["mailboxId"].as_str().unwrap().to_owned();
    let newest = s3.keys().into_iter().filter(|key| key.contains(&id) && key.contains("/keys/")).max().unwrap();
    std::fs::write(folder.path().join("keys.json"), s3.get(&newest)).unwrap();
    std::fs::write(folder.path().join("password"), ANN).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealpost"));
    command.arg("key").arg(folder.path()).arg("--password-file").arg(folder.path().join("password"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let hex =
        text.split(|c: char| !c.is_ascii_hexdigit()).find(|word| word.len() == 64).unwrap_or_else(|| panic!("{text}"));
    data_encoding::HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).unwrap()
}

#[test]
#[ignore = "needs a cluster: tests/e2e/cluster/run"]
fn the_sidecar_has_no_key_and_the_primary_has_nothing_that_opens_a_bucket() {
    let (tenant, s3) = archived("two-halves");
    let mail = tenant.mail();
    mail.send(ADDRESS, "heliotrope");
    assert!(mail.read(ADDRESS, ANN).unwrap().contains("heliotrope"));
    grows(&s3, 0);
    let pod = tenant.json("pod/mail-shard-0-0").unwrap();
    let mounted = |container: &serde_json::Value, volume: &str| {
        container["volumeMounts"].as_array().unwrap().iter().any(|mount| mount["name"] == volume)
    };
    let (primary, sidecar) = (&pod["spec"]["containers"][0], &pod["spec"]["initContainers"][0]);
    assert!(mounted(sidecar, "buckets") && !mounted(primary, "buckets"));
    assert!(mounted(primary, "keys") && !mounted(sidecar, "keys") && !mounted(sidecar, "identity"));

    let (Some(primary), Some(sidecar)) =
        (tenant.process("mail-shard-0-0", "primary"), tenant.process("mail-shard-0-0", "sidecar"))
    else {
        println!("the pod runs on another machine: its memory is not looked at");
        tenant.end();
        return;
    };
    let buckets = "/run/sealpost/buckets/daily.secretAccessKey";
    assert!(sidecar.sees(buckets) && !primary.sees(buckets) && !primary.sees("/run/sealpost/buckets"));
    assert!(primary.sees("/run/sealpost/keys/shard.key") && !sidecar.sees("/run/sealpost/keys"));
    let mut parts = sidecar.list("/var/lib/sealpost");
    parts.sort();
    assert_eq!(parts, ["mailboxes", "outbox", "sidecar", "staging"]);

    // While a session is open, so that the primary has the key at hand.
    let dek = key_of(&tenant, &s3);
    let session = crate::harness::load::Session::start(&mail, ADDRESS, ANN);
    assert!(!sidecar.holds(&dek), "the sidecar has a mailbox's key");
    let secret = S3::secret().as_bytes();
    assert!(sidecar.holds(secret), "the search finds what is there: the sidecar signs with it");
    assert!(!primary.holds(secret), "the primary has what opens the bucket");
    for process in [primary, sidecar] {
        assert!(!process.holds(ANN.as_bytes()), "a process of the shard has the owner's password");
    }
    drop(session);
    tenant.end();
}
