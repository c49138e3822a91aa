//! Manifests that change while `up` runs.

use std::path::Path;

use tempfile::TempDir;

use crate::first_light::ANN;
use crate::harness::{Options, Server, project, wait_until};

pub const CAROL: &str = "apiVersion: sealpost.dev/v1alpha1\nkind: Mailbox\nmetadata: {name: carol}\n\
    spec: {address: carol@example.org, passwordSecretRef: {name: carol-password}}\n---\n\
    apiVersion: v1\nkind: Secret\nmetadata: {name: carol-password}\nstringData: {password: tulip}\n";

/// A folder of manifests that a test edits; at first the samples.
pub struct Manifests(TempDir);

impl Manifests {
    pub fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn samples() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(project("config/samples")).unwrap().flatten() {
            std::fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
        }
        Self(dir)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    pub fn remove(&self, name: &str) {
        std::fs::remove_file(self.0.path().join(name)).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.path().join(name)).unwrap()
    }
}

fn alias(name: &str, targets: &str) -> String {
    format!(
        "apiVersion: sealpost.dev/v1alpha1\nkind: Alias\nmetadata: {{name: {name}}}\n\
         spec: {{address: {name}@example.org, targets: [{{mailboxRef: {{name: {targets}}}}}]}}\n"
    )
}

/// Tries to deliver a message to an address; the final reply.
fn send(server: &Server, to: &str) -> String {
    let message = b"From: <a@elsewhere.example>\r\nSubject: manifests\r\n\r\nhello\r\n";
    server.smtp().try_deliver("a@elsewhere.example", &[to], message).expect("the MX answers")
}

/// What `status` finds, but for what it always has to say of the samples: bob awaits his owner.
fn findings(server: &Server) -> Vec<String> {
    let status = server.status();
    let all = status["findings"].as_array().unwrap().iter().map(|f| f.as_str().unwrap().to_owned());
    all.filter(|finding| !finding.contains("sealpost password bob@example.org")).collect()
}

/// Waits until one finding contains all of these words, and returns it.
fn wait_finding(server: &Server, words: &[&str]) -> String {
    let mut found = None;
    wait_until(&format!("a finding says {words:?}"), || {
        found = findings(server).into_iter().find(|finding| words.iter().all(|word| finding.contains(word)));
        found.is_some()
    });
    found.unwrap()
}

fn wait_no_findings(server: &Server) {
    wait_until("there is nothing to say any more", || findings(server).is_empty());
}

/// A refused subcommand; what it says.
fn refused(server: &Server, args: &[&str]) -> String {
    let output = server.sealpost(args);
    assert!(!output.status.success(), "{args:?} must be refused: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_mailbox_and_an_alias_added_while_it_runs_are_usable_without_a_restart() {
    let manifests = Manifests::samples();
    let server = Options::manifests(manifests.path()).start();
    let pids = server.status()["pids"].clone();
    assert!(send(&server, "carol@example.org").starts_with("550"), "nobody has declared her yet");
    manifests.write("carol.yaml", CAROL);
    manifests.write("sales.yaml", &alias("sales", "carol"));
    wait_until("mail for the added mailbox is accepted", || send(&server, "carol@example.org").starts_with("250"));
    wait_until("mail for the added alias is accepted", || send(&server, "sales@example.org").starts_with("250"));
    let mut carol = server.imap("carol@example.org", "tulip");
    assert_eq!(carol.count("INBOX"), 2);

    manifests.write("sales.yaml", &alias("sales", "ann"));
    let mut ann = server.imap("ann@example.org", ANN);
    wait_until("mail for the changed alias goes to its new target", || {
        assert!(send(&server, "sales@example.org").starts_with("250"), "the alias is declared all the time");
        ann.count("INBOX") > 0
    });
    let before = carol.count("INBOX");
    assert!(send(&server, "sales@example.org").starts_with("250"));
    assert_eq!(carol.count("INBOX"), before, "the former target gets nothing any more");
    assert_eq!(server.status()["pids"], pids, "nothing was restarted for it");
}

#[test]
fn a_broken_edit_is_reported_and_the_last_good_state_stays_in_force_until_it_is_mended() {
    let manifests = Manifests::samples();
    let server = Options::manifests(manifests.path()).start();
    assert_eq!(findings(&server), [""; 0]);
    let bob = manifests.read("mailbox-bob.yaml");
    manifests.write("carol.yaml", CAROL);
    manifests.write("mailbox-bob.yaml", &bob.replace("address:", "adress:"));
    let finding = wait_finding(&server, &["mailbox-bob.yaml", "adress", "last good"]);
    assert!(finding.contains("did you mean `address`"), "{finding}");
    assert!(send(&server, "ann@example.org").starts_with("250"));
    assert!(send(&server, "bob@example.org").starts_with("450"), "bob is known and awaits his owner");
    assert_eq!(server.status()["ready"], true, "what is in force is served");
    manifests.write("mailbox-bob.yaml", &bob);
    wait_no_findings(&server);
    wait_until("what was added meanwhile is usable", || send(&server, "carol@example.org").starts_with("250"));
}

#[test]
fn a_second_or_a_renamed_mail_server_is_reported_and_changes_nothing() {
    let manifests = Manifests::samples();
    let mut server = Options::manifests(manifests.path()).start();
    let mail = manifests.read("mailserver.yaml");
    let other = mail.replace("name: mail", "name: other");
    manifests.write("other.yaml", &other);
    wait_finding(&server, &["several MailServers", "last good"]);
    manifests.remove("other.yaml");
    wait_no_findings(&server);
    manifests.write("mailserver.yaml", &other);
    wait_finding(&server, &["MailServer/mail", "MailServer/other", "last good"]);
    assert!(send(&server, "ann@example.org").starts_with("250"));
    assert_eq!(server.status()["ready"], true);
    manifests.write("mailserver.yaml", &mail);
    wait_no_findings(&server);
    // It cannot be deleted from under its mailboxes either.
    manifests.remove("mailserver.yaml");
    wait_finding(&server, &["MailServer/mail has no manifest"]);
    assert!(refused(&server, &["delete", "MailServer", "mail"]).contains("state folder"));
    assert!(send(&server, "ann@example.org").starts_with("250"));
    manifests.write("mailserver.yaml", &mail);
    server.restart();
}

#[test]
fn a_vanished_manifest_removes_nothing_not_even_over_a_restart() {
    let manifests = Manifests::samples();
    let mut server = Options::manifests(manifests.path()).start();
    assert!(send(&server, "info@example.org").starts_with("250"));
    manifests.remove("mailbox-ann.yaml");
    manifests.remove("alias-info.yaml");
    for restarted in [false, true] {
        wait_finding(&server, &["Mailbox/ann has no manifest", "sealpost delete Mailbox ann"]);
        wait_finding(&server, &["Alias/info has no manifest", "sealpost delete Alias info"]);
        assert!(send(&server, "info@example.org").starts_with("250"));
        let mail = server.imap("ann@example.org", ANN).count("INBOX");
        assert_eq!(mail, if restarted { 3 } else { 2 });
        if !restarted {
            server.restart();
        }
    }
}

#[test]
fn a_deleted_mailbox_answers_450_and_declaring_it_again_brings_mail_and_password_back() {
    let manifests = Manifests::samples();
    let mut server = Options::manifests(manifests.path()).start();
    assert!(send(&server, "ann@example.org").starts_with("250"));
    let said = refused(&server, &["delete", "Mailbox", "ann"]);
    assert!(said.contains("still declared") && said.contains("manifests"), "{said}");
    let said = refused(&server, &["delete", "Mailbox", "nobody"]);
    assert!(said.contains("there is no Mailbox/nobody") && said.contains("Mailbox/ann"), "{said}");

    manifests.remove("mailbox-ann.yaml");
    wait_finding(&server, &["Mailbox/ann has no manifest"]);
    let done = server.sealpost(&["delete", "mailbox", "ann"]);
    assert!(done.status.success(), "{done:?}");
    wait_until("the MX learns of it", || !send(&server, "ann@example.org").starts_with("250"));
    server.restart();
    for address in ["ann@example.org", "info@example.org"] {
        let reply = send(&server, address);
        assert!(reply.starts_with("450"), "{address}: {reply}");
    }

    // Without the Secret: what comes back are the old keys.
    let again =
        "apiVersion: sealpost.dev/v1alpha1\nkind: Mailbox\nmetadata: {name: ann}\nspec: {address: ann@example.org}\n";
    manifests.write("ann-again.yaml", again);
    wait_until("mail is accepted again", || send(&server, "ann@example.org").starts_with("250"));
    let before_and_after = server.imap("ann@example.org", ANN).count("INBOX");
    assert!(before_and_after >= 2, "{before_and_after}");
}
