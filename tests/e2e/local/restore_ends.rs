//! Restores that are cancelled, outlive everything, or begin with nothing.

use std::process::Stdio;

use crate::first_light::ANN;
use crate::harness::{Options, Server, sealpost, wait_until};
use crate::restore::{CAROLS, deliver, mailbox, manifests, numbers, restored, staged, start, with_carol};

#[test]
fn a_restore_that_is_cancelled_leaves_nothing_and_one_that_the_machine_ended_goes_on() {
    let manifests = manifests();
    let (mut server, carol) = with_carol(Options::manifests(manifests.path()).faults());
    deliver(&server, CAROLS, 0..3);
    drop(carol);
    let begin = |server: &Server, name: &str| {
        server.faults.arm("sidecar", "restore.object.after", "pause");
        let mut command = sealpost();
        command.args(["restore", CAROLS, "--to", "bob@example.org", "--run", name, "--state"]).arg(server.state());
        let child = command.stderr(Stdio::piped()).spawn().unwrap();
        wait_until("it is at work", || server.faults.hit("restore.object.after"));
        child
    };
    let child = begin(&server, "first");
    assert_eq!(staged(&server), 1);
    let cancelled = server.sealpost(&["delete", "run", "first"]);
    assert!(cancelled.status.success(), "{cancelled:?}");
    server.faults.disarm("restore.object.after");
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(String::from_utf8_lossy(&ended.stderr).contains("was cancelled"), "{ended:?}");
    wait_until("nothing is left of it", || staged(&server) == 0);
    assert_eq!(mailbox(&server, "bob@example.org")["state"], "AwaitingOwner");

    let child = begin(&server, "second");
    server.crash();
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.code() == Some(1) && said.contains("--run second"), "{said}");
    server.faults.disarm("restore.object.after");
    server.start();
    wait_until("it is done", || mailbox(&server, "bob@example.org")["state"] == "Ready");
    assert_eq!(numbers(&server, "bob@example.org", "tulip"), (0..3).collect());
    let report = restored(&server, &[CAROLS, "--to", "bob@example.org", "--run", "second"]);
    assert_eq!(report["reason"], "Completed");
    assert_eq!(staged(&server), 0);
}

#[test]
fn after_the_loss_of_the_volume_a_mailbox_comes_back_with_its_keys() {
    let manifests = manifests();
    let mut server = start(Options::manifests(manifests.path()));
    let made = server.sealpost(&["password", "bob@example.org"]);
    let said = String::from_utf8_lossy(&made.stdout).into_owned();
    let password = said.split("password: ").nth(1).unwrap().trim().to_owned();
    deliver(&server, "bob@example.org", 0..2);
    assert_eq!(numbers(&server, "bob@example.org", &password), (0..2).collect());
    deliver(&server, "bob@example.org", 2..4);
    deliver(&server, "ann@example.org", 10..12);
    // What the last restore point is, is in the bucket then.
    restored(&server, &["bob@example.org", "--to", "dave@example.org"]);
    restored(&server, &["ann@example.org", "--in-place"]);
    server.crash();
    std::fs::remove_dir_all(server.state().join("shard-0")).unwrap();

    server.start();
    assert_eq!(mailbox(&server, "bob@example.org")["state"], "AwaitingOwner");
    restored(&server, &["bob@example.org", "--in-place"]);
    assert_eq!(numbers(&server, "bob@example.org", &password), (0..4).collect());
    // Ann has new keys, which her archive does not fit: nothing is replaced, and it goes elsewhere.
    let refused = server.sealpost(&["restore", "ann@example.org", "--in-place"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && said.contains("new mailbox"), "{said}");
    restored(&server, &["ann@example.org", "--to", "dave@example.org"]);
    assert_eq!(numbers(&server, "dave@example.org", ANN), (10..12).collect());
}
