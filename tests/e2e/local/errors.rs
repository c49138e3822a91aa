//! What goes wrong at the start says how to mend it.

use std::process::Stdio;

use crate::harness::{Options, project, sealpost};

/// Runs `up` that must fail, and returns what it says.
fn fails(manifests: &std::path::Path, state: &std::path::Path, more: &[&str]) -> String {
    let mut command = sealpost();
    command.arg("up").arg("-f").arg(manifests).arg("--state").arg(state).args(more);
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(!output.status.success(), "it must fail");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_second_up_on_the_same_state_names_the_first() {
    let server = Options::samples().start();
    let said = fails(&project("config/samples"), &server.state(), &["--ports", "auto"]);
    assert!(said.contains("another `sealpost up` runs") && said.contains("--state"), "{said}");
}

#[test]
fn a_misspelled_field_names_the_file_and_the_field() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = dir.path().join("mail.yaml");
    let text = "apiVersion: sealpost.dev/v1alpha1\nkind: MailServer\nmetadata: {name: mail}\nspec: {hostnam: mx.example.org}\n";
    std::fs::write(&manifest, text).unwrap();
    let said = fails(&manifest, &dir.path().join("state"), &["--ports", "auto"]);
    assert!(said.contains("mail.yaml") && said.contains("hostnam"), "{said}");
}

#[test]
fn manifests_that_are_not_there_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let said = fails(&dir.path().join("nowhere"), &dir.path().join("state"), &["--ports", "auto"]);
    assert!(said.contains("nowhere"), "{said}");
}

#[test]
fn a_state_folder_that_cannot_be_made_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let said = fails(&project("config/samples"), &file.join("state"), &["--ports", "auto"]);
    assert!(said.contains("state folder") && said.contains("--state"), "{said}");
}

#[test]
fn a_used_port_is_named_with_a_way_out() {
    // Another test or a person may use the fixed ports: either way this bind makes sure one of them is taken.
    let _taken = std::net::TcpListener::bind("127.0.0.1:1993");
    let dir = tempfile::tempdir().unwrap();
    let said = fails(&project("config/samples"), &dir.path().join("state"), &[]);
    assert!(said.contains("1993") && said.contains("--ports auto"), "{said}");
}

#[test]
fn status_without_a_server_names_the_command_that_starts_one() {
    let dir = tempfile::tempdir().unwrap();
    let output = sealpost().args(["status", "--state"]).arg(dir.path()).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("sealpost up"));
}
