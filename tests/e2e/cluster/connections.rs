//! Client connections survive, and nothing that was acknowledged is lost or doubled, while pods come and go under load.

use std::collections::BTreeMap;

use crate::harness::load::{Sender, Session, now};
use crate::harness::{ANN, Mail, SYSTEM, Tenant, kubectl, next_image, scale_operator, within};

const ADDRESS: &str = "ann@example.org";
/// How often the primary's pod is deleted.
const ROUNDS: usize = 5;
/// From the accepted deletion to the first message that the next pod gives out: the median, in seconds.
const BACK: f64 = 10.0;

/// How many messages there are of each subject of the load.
fn found(mail: &Mail) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    let subjects = within("ann reads", || mail.subjects(ADDRESS, ANN));
    for subject in subjects.into_iter().filter(|subject| subject.starts_with("load-")) {
        *found.entry(subject).or_default() += 1;
    }
    found
}

/// Every acknowledged message is there, and none twice.
fn all_there(mail: &Mail, taken: &[String]) {
    let found = found(mail);
    let lost: Vec<_> = taken.iter().filter(|subject| !found.contains_key(*subject)).collect();
    let doubled: Vec<_> = found.iter().filter(|(_, count)| **count > 1).collect();
    assert!(lost.is_empty() && doubled.is_empty(), "of {} lost {lost:?}, doubled {doubled:?}", taken.len());
    assert!(!taken.is_empty());
}

fn uid(tenant: &Tenant, object: &str) -> Option<String> {
    Some(tenant.json(object).ok()?["metadata"]["uid"].as_str()?.to_owned())
}

/// Waits until something else has that name.
fn replaced(tenant: &Tenant, object: &str, old: &str) {
    within(&format!("{object} is replaced"), || match uid(tenant, object) {
        Some(uid) if uid != old => Ok(()),
        found => Err(format!("{found:?}")),
    });
}

#[test]
#[ignore = "needs a cluster: tests/e2e/cluster/run"]
fn a_deleted_primary_is_back_in_seconds_and_sessions_stay_open() {
    let tenant = Tenant::with_samples("deleted-primary");
    let mail = tenant.mail();
    mail.send(ADDRESS, "first");
    let session = Session::start(&mail, ADDRESS, ANN);
    let sender = Sender::start(mail.smtp(), ADDRESS);
    let mut took = Vec::new();
    for _ in 0..ROUNDS {
        let old = uid(&tenant, "pod/mail-shard-0-0").unwrap();
        let start = now();
        tenant.kubectl(&["delete", "pod", "mail-shard-0-0", "--wait=false"]);
        replaced(&tenant, "pod/mail-shard-0-0", &old);
        // The volume is one pod's: what is answered from here on comes from the next one.
        took.push(session.answered_after(now()) - start);
        tenant.ready(&["mailserver/mail"]);
    }
    all_there(&mail, &sender.stop());
    took.sort_by(f64::total_cmp);
    println!("seconds from a deleted primary to the next FETCH: {took:.1?}");
    assert!(took[ROUNDS / 2] <= BACK, "{took:?}");
    tenant.end();
}

#[test]
#[ignore = "needs a cluster: tests/e2e/cluster/run"]
fn a_new_image_a_killed_operator_and_restarted_front_ends_lose_no_mail() {
    let tenant = Tenant::with_samples("rolled");
    let mail = tenant.mail();
    mail.send(ADDRESS, "first");
    let sender = Sender::start(mail.smtp(), ADDRESS);

    let old = uid(&tenant, "pod/mail-shard-0-0").unwrap();
    let operator = ["-n", SYSTEM, "delete", "pod", "-l", "app.kubernetes.io/name=sealpost-operator", "--wait=false"];
    kubectl(&operator);
    let patch = format!(r#"{{"spec":{{"image":"{}"}}}}"#, next_image());
    tenant.kubectl(&["patch", "mailserver", "mail", "--type=merge", "-p", &patch]);
    replaced(&tenant, "pod/mail-shard-0-0", &old);
    tenant.ready(&["mailserver/mail"]);
    for set in ["statefulset/mail-shard-0", "deployment/mail-imap", "deployment/mail-mx"] {
        tenant.kubectl(&["rollout", "status", set, "--timeout=180s"]);
        let spec = &tenant.json(set).unwrap()["spec"]["template"]["spec"];
        assert_eq!(spec["containers"][0]["image"], next_image());
    }

    let session = Session::start(&mail, ADDRESS, ANN);
    tenant.kubectl(&["rollout", "restart", "deployment/mail-mx"]);
    tenant.kubectl(&["rollout", "status", "deployment/mail-mx", "--timeout=180s"]);
    session.answered_after(now());
    all_there(&mail, &sender.stop());
    tenant.end();
}

#[test]
#[ignore = "needs a cluster: tests/e2e/cluster/run"]
fn mail_flows_while_the_operator_is_away_and_its_namespace_can_be_deleted() {
    let tenant = Tenant::with_samples("no-operator");
    scale_operator(0);
    let old = uid(&tenant, "pod/mail-shard-0-0").unwrap();
    tenant.kubectl(&["delete", "pod", "mail-shard-0-0", "--wait=false"]);
    replaced(&tenant, "pod/mail-shard-0-0", &old);
    tenant.kubectl(&["wait", "--for=condition=Ready", "pod/mail-shard-0-0", "--timeout=180s"]);
    let mail = tenant.mail();
    mail.send("info@example.org", "on its own");
    assert!(mail.read(ADDRESS, ANN).unwrap().contains("on its own"));
    kubectl(&["delete", "namespace", &tenant.namespace, "--timeout=60s"]);
    scale_operator(1);
}
