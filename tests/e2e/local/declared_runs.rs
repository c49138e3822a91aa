//! MailboxBackup and MailboxRestore in the manifests: each is done once, and says what came of it.

use serde_json::Value;

use crate::harness::{Options, Server, wait_until};
use crate::restore::{CAROLS, deliver, mailbox, manifests, numbers, staged, with_carol};
use crate::up::Manifests;

fn backup(name: &str, of: &str) -> String {
    format!(
        "apiVersion: sealpost.dev/v1alpha1\nkind: MailboxBackup\nmetadata: {{name: {name}}}\nspec: {{mailboxRef: {{name: {of}}}}}\n"
    )
}

fn restore(name: &str, source: &str, target: &str) -> String {
    format!(
        "apiVersion: sealpost.dev/v1alpha1\nkind: MailboxRestore\nmetadata: {{name: {name}}}\n\
         spec: {{source: {{mailboxRef: {{name: {source}}}}}, target: {{mailboxRef: {{name: {target}}}}}}}\n"
    )
}

fn declare(manifests: &Manifests, run: &str) {
    let name = run.split("name: ").nth(1).unwrap().split('}').next().unwrap();
    manifests.write(&format!("run-{name}.yaml"), run);
}

fn status(server: &Server, run: &str) -> Value {
    server.status()["declaredRuns"][run].clone()
}

/// Waits for the end of a declared run; status, reason and message of its condition.
fn ended(server: &Server, run: &str) -> (String, String, String) {
    let condition = |server: &Server| status(server, run)["conditions"][0].clone();
    wait_until(&format!("{run} ends"), || {
        ["True", "False"].contains(&condition(server)["status"].as_str().unwrap_or(""))
    });
    let found = condition(server);
    let text = |field: &str| found[field].as_str().unwrap().to_owned();
    (text("status"), text("reason"), text("message"))
}

#[test]
fn a_declared_run_is_done_once_whoever_is_killed_and_whoever_restarts() {
    let manifests = manifests();
    let (mut server, carol) = with_carol(Options::manifests(manifests.path()).faults());
    deliver(&server, CAROLS, 0..3);
    drop(carol);
    for (point, role) in [("restore.object.after", "sidecar"), ("restore.adopted.after", "sidecar")] {
        assert_eq!(mailbox(&server, "bob@example.org")["state"], "AwaitingOwner");
        server.faults.arm(role, point, "pause");
        declare(&manifests, &restore("copy", "carol", "bob"));
        wait_until("it is at work", || server.faults.hit(point));
        wait_until("that is told", || status(&server, "MailboxRestore/copy")["conditions"][0]["reason"] == "Running");
        assert!(server.crash() > 3);
        server.faults.disarm(point);
        if point == "restore.object.after" {
            // Once more from the beginning, as another object of the same name.
            server.faults.arm(role, point, "pause");
            manifests.remove("run-copy.yaml");
            server.start();
            assert!(server.sealpost(&["delete", "MailboxRestore", "copy"]).status.success());
            server.faults.disarm(point);
            wait_until("it was cancelled", || status(&server, "MailboxRestore/copy").is_null() && staged(&server) == 0);
        }
    }
    server.start();
    assert_eq!(ended(&server, "MailboxRestore/copy").0, "True");
    assert_eq!(numbers(&server, "bob@example.org", "tulip"), (0..3).collect());
    let first = status(&server, "MailboxRestore/copy");
    assert!(first["completionTime"].is_string() && first["reachedCommit"].is_u64(), "{first}");
    let text = String::from_utf8(server.sealpost(&["status"]).stdout).unwrap();
    assert!(text.contains("MailboxRestore/copy      Completed 2"), "{text}");

    deliver(&server, "bob@example.org", 5..6);
    server.restart();
    server.crash();
    // Not even a volume that has forgotten all of it does it again.
    std::fs::remove_dir_all(server.state().join("shard-0/sidecar/runs")).unwrap();
    server.start();
    declare(&manifests, &backup("mark", "carol"));
    assert_eq!(ended(&server, "MailboxBackup/mark").0, "True");
    assert_eq!(status(&server, "MailboxRestore/copy"), first, "it is over for ever");
    assert_eq!(numbers(&server, "bob@example.org", "tulip"), [0, 1, 2, 5].into());
}

#[test]
fn a_declared_run_that_fails_says_why_and_what_to_do_and_an_edited_one_stays_as_it_was() {
    let manifests = manifests();
    let (server, _carol) = with_carol(Options::manifests(manifests.path()));
    declare(&manifests, &backup("now", "carol"));
    let (done, _, message) = ended(&server, "MailboxBackup/now");
    assert_eq!(done, "True", "{message}");
    let before = status(&server, "MailboxBackup/now");
    assert!(before["archiveId"].as_str().unwrap().ends_with("/t1"), "{before}");

    // Ann has keys: nothing of hers is replaced.
    declare(&manifests, &restore("onto-ann", "carol", "ann"));
    let (done, reason, message) = ended(&server, "MailboxRestore/onto-ann");
    assert_eq!((done.as_str(), reason.as_str()), ("False", "TargetNotEmpty"), "{message}");
    assert!(message.contains("neither keys nor mail") && message.contains("under another name"), "{message}");
    let text = String::from_utf8(server.sealpost(&["status"]).stdout).unwrap();
    assert!(
        text.contains("MailboxRestore/onto-ann  TargetNotEmpty 2") && text.contains("under another name"),
        "{text}"
    );

    // One that names nobody waits for its mailbox.
    declare(&manifests, &backup("later", "erin"));
    let waiting = || status(&server, "MailboxBackup/later")["conditions"][0].clone();
    wait_until("it waits", || waiting()["reason"] == "MailboxNotFound" && waiting()["status"] == "Unknown");

    declare(&manifests, &backup("now", "ann"));
    wait_until("the edit is told", || {
        let findings = server.status()["findings"].to_string();
        findings.contains("MailboxBackup/now: spec: cannot change; make another MailboxBackup")
    });
    assert_eq!(status(&server, "MailboxBackup/now"), before);
}
