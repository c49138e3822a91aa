//! From nothing to mail: plain manifests, the samples, `Ready`, and real clients.

use std::process::Command;

use crate::harness::{ANN, Tenant, kubectl};

/// The password that a command shows.
fn shown(said: &str) -> String {
    said.lines().find_map(|line| line.strip_prefix("password: ")).unwrap_or_else(|| panic!("{said}")).to_owned()
}

/// A mailbox whose keys are made far from the cluster; its password.
fn made_elsewhere(tenant: &Tenant, name: &str) -> String {
    let address = format!("{name}@example.org");
    let output =
        Command::new(env!("CARGO_BIN_EXE_sealpost")).args(["password", "--offline", &address]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    tenant.apply(std::str::from_utf8(&output.stdout).unwrap());
    tenant.apply(&format!(
        "apiVersion: sealpost.dev/v1alpha1\nkind: Mailbox\nmetadata: {{name: {name}}}\nspec: {{address: {address}, keysSecretRef: {{name: {name}-keys}}}}\n"
    ));
    shown(&String::from_utf8(output.stderr).unwrap())
}

#[test]
#[ignore = "needs a cluster: tests/e2e/cluster/run"]
fn the_samples_become_ready_and_mail_goes_in_by_smtp_and_out_by_imap_over_tls() {
    let tenant = Tenant::with_samples("first-mail");
    tenant.wait("mailbox/bob", "Ready", "False", Some("AwaitingOwner"));
    let mail = tenant.mail();
    mail.send("info@example.org", "first light");
    let read = mail.read("ann@example.org", ANN).unwrap();
    assert!(read.contains("Subject: first light") && read.contains("it works"), "{read}");

    // Bob's senders wait for him, and nobody but him has the password.
    mail.try_send("bob@example.org", "too early").unwrap_err();
    let status = tenant.plugin(&["status"]).unwrap();
    assert!(status.contains("ready") && status.contains("mailbox/bob AwaitingOwner"), "{status}");
    let password = shown(&tenant.plugin(&["password", "bob"]).unwrap());
    tenant.ready(&["mailbox/bob"]);
    mail.send("bob@example.org", "good morning");
    let read = mail.read("bob@example.org", &password).unwrap();
    assert!(read.contains("Subject: good morning"), "{read}");
    mail.read("bob@example.org", ANN).unwrap_err();
    let told = tenant.plugin(&["password", "bob@example.org"]).unwrap_err();
    assert!(told.contains("has its keys already"), "{told}");

    let password = made_elsewhere(&tenant, "cat");
    tenant.ready(&["mailbox/cat"]);
    mail.send("cat@example.org", "from afar");
    assert!(mail.read("cat@example.org", &password).unwrap().contains("Subject: from afar"));
    tenant.end();
}

#[test]
#[ignore = "needs a cluster: tests/e2e/cluster/run"]
fn a_namespace_without_the_binding_is_told_the_command_that_makes_it() {
    let tenant = Tenant::new("no-binding");
    tenant.kubectl(&["delete", "rolebinding", "sealpost-operator"]);
    tenant.apply_samples();
    let told = tenant.wait("mailserver/mail", "Ready", "False", Some("SecretAccessDenied"));
    let command = told.split_once("kubectl ").unwrap().1;
    kubectl(&command.split_whitespace().collect::<Vec<_>>());
    tenant.ready(&["mailserver/mail"]);
    tenant.end();
}
