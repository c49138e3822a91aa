//! Nothing is lost by deletion or absence: senders wait, never bounce, and what is declared again has its mail and keys.

use crate::harness::{ANN, Mail, Tenant, install_again, kubectl, project, within};

const ADDRESS: &str = "ann@example.org";

/// Tries until the server says "later"; "never" fails at once. Answers how many it took before.
fn until_refused_for_now(mail: &Mail, to: &str) -> usize {
    let mut taken = 0;
    within(&format!("mail to {to} is to wait"), || match mail.try_send(to, "in between") {
        Ok(_) => {
            taken += 1;
            Err("it is still taken".to_owned())
        }
        Err(said) if said.contains("<~* 4") => Ok(()),
        Err(said) => panic!("{said}"),
    });
    taken
}

/// How often there is a message of that subject, once the server answers.
fn count(mail: &Mail, subject: &str) -> usize {
    within("ann reads", || mail.count(ADDRESS, ANN, subject))
}

#[test]
#[ignore = "needs a cluster: tests/e2e/cluster/run"]
fn a_mailbox_that_is_deleted_makes_senders_wait_and_declared_again_has_its_mail_and_keys() {
    let tenant = Tenant::with_samples("deleted-mailbox");
    let mail = tenant.mail();
    mail.send(ADDRESS, "before");
    let id = tenant.json("mailbox/ann").unwrap()["status"]["mailboxId"].clone();
    tenant.kubectl(&["delete", "mailbox", "ann"]);
    let taken = until_refused_for_now(&mail, ADDRESS) + until_refused_for_now(&mail, "info@example.org");
    tenant.apply_samples();
    tenant.ready(&["mailbox/ann", "alias/info"]);
    mail.send("info@example.org", "after");
    assert_eq!((count(&mail, "before"), count(&mail, "after"), count(&mail, "in between")), (1, 1, taken));
    assert_eq!(tenant.json("mailbox/ann").unwrap()["status"]["mailboxId"], id);
    tenant.end();
}

#[test]
#[ignore = "needs a cluster: tests/e2e/cluster/run"]
fn everything_that_is_deleted_and_declared_again_has_its_mail_and_keys() {
    let tenant = Tenant::with_samples("deleted-server");
    tenant.mail().send(ADDRESS, "before");
    let samples = project("config/samples");
    let kept = ["pvc/data-mail-shard-0", "secret/mail-shard-0-key", "secret/mail-secret", "secret/mail-ca"];
    let uids = || kept.map(|object| tenant.json(object).unwrap()["metadata"]["uid"].clone());
    let before = uids();
    tenant.kubectl(&["delete", "-f", samples.to_str().unwrap()]);
    within("the pods go with their MailServer", || {
        let left = tenant.kubectl(&["get", "pods,statefulsets,deployments", "-o", "name"]);
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
    assert_eq!(uids(), before);
    tenant.apply_samples();
    tenant.ready(&["mailserver/mail", "mailbox/ann", "alias/info"]);
    let mail = tenant.mail();
    mail.send("info@example.org", "after");
    assert_eq!((count(&mail, "before"), count(&mail, "after")), (1, 1));
    tenant.end();
}

#[test]
#[ignore = "needs a cluster: tests/e2e/cluster/run"]
fn deleted_definitions_take_the_objects_with_them_and_not_the_mail() {
    let tenant = Tenant::with_samples("deleted-crds");
    tenant.mail().send(ADDRESS, "before");
    kubectl(&["delete", "-k", project("crds").to_str().unwrap()]);
    install_again();
    tenant.apply_samples();
    tenant.ready(&["mailserver/mail", "mailbox/ann", "alias/info"]);
    assert_eq!(count(&tenant.mail(), "before"), 1);
    tenant.end();
}

#[test]
#[ignore = "needs a cluster: tests/e2e/cluster/run"]
fn a_lost_shard_key_is_never_made_anew_and_its_return_heals() {
    let tenant = Tenant::with_samples("lost-key");
    tenant.mail().send(ADDRESS, "before");
    let key = tenant.kubectl(&["get", "secret", "mail-shard-0-key", "-o", "yaml"]);
    tenant.kubectl(&["delete", "secret", "mail-shard-0-key"]);
    tenant.kubectl(&["delete", "pod", "mail-shard-0-0"]);
    let told = tenant.wait("mailserver/mail", "ShardsAvailable", "False", Some("ShardKeyMissing"));
    assert!(told.contains("mail-shard-0-key") && told.contains("restore"), "{told}");
    tenant.try_kubectl(&["get", "secret", "mail-shard-0-key"]).unwrap_err();
    let fields = key.lines().filter(|line| !line.contains("resourceVersion:") && !line.contains("uid:"));
    tenant.apply(&fields.collect::<Vec<_>>().join("\n"));
    tenant.ready(&["mailserver/mail", "mailbox/ann"]);
    assert_eq!(count(&tenant.mail(), "before"), 1);
    tenant.end();
}

#[test]
#[ignore = "needs a cluster: tests/e2e/cluster/run"]
fn a_blank_volume_serves_nobody_until_a_person_gives_up_its_mail() {
    let tenant = Tenant::with_samples("lost-volume");
    let mail = tenant.mail();
    mail.send(ADDRESS, "before");
    tenant.kubectl(&["delete", "pvc", "data-mail-shard-0", "--wait=false"]);
    tenant.kubectl(&["delete", "pod", "mail-shard-0-0"]);
    let told = tenant.wait("mailserver/mail", "ShardsAvailable", "False", Some("VolumeLost"));
    assert!(told.contains("sealpost.dev/accept-loss"), "{told}");
    until_refused_for_now(&mail, ADDRESS);
    tenant.kubectl(&["annotate", "mailserver", "mail", "sealpost.dev/accept-loss=true"]);
    tenant.ready(&["mailserver/mail", "mailbox/ann"]);
    mail.send(ADDRESS, "after");
    assert_eq!((count(&mail, "before"), count(&mail, "after")), (0, 1));
    tenant.end();
}
