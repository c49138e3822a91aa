//! What goes wrong is said, and leaves nothing that looks whole.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crypto::{Argon2Cost, Dek, Keyset, NewKeyset, NewSlot, Secret, SlotKind};
use jiff::Timestamp;
use model::verbs::Scope;

use super::files::{copy, export, failed, fill, folder_of, odd, succeeded};
use crate::harness::{Options, sealpost, wait_until};

/// A folder of a mailbox that was never opened, with all kinds of secrets.
struct Owner {
    dir: tempfile::TempDir,
    recovery: String,
    reader: String,
    sender: String,
}

impl Owner {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (recovery, address) = (Secret::mint(&[]), "ann@example.org".parse().unwrap());
        let new = NewKeyset {
            address: &address,
            password: &Secret::new("correct horse"),
            recovery: Some(&recovery),
            cost: Argon2Cost::CHEAPEST,
            created: Timestamp::UNIX_EPOCH,
        };
        let (mut keyset, dek) = Keyset::create(&new).unwrap();
        let (reader, sender) = (add(&mut keyset, &dek, Scope::Imap), add(&mut keyset, &dek, Scope::Submission));
        fs::create_dir(dir.path().join("files")).unwrap();
        fs::write(dir.path().join("files/keys.json"), keyset.to_json()).unwrap();
        Self { dir, recovery: recovery.reveal().to_string(), reader, sender }
    }
}

fn add(keyset: &mut Keyset, dek: &Dek, scope: Scope) -> String {
    let secret = Secret::mint(&keyset.tags());
    let scopes = BTreeSet::from([scope]);
    let slot = NewSlot { secret: &secret, kind: SlotKind::AppPassword, scopes, created: Timestamp::UNIX_EPOCH };
    keyset.add_slot(dek, &slot).unwrap();
    secret.reveal().to_string()
}

/// Names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn every_secret_that_may_read_mail_opens_the_files_and_no_other_does() {
    let owner = Owner::new();
    let (files, root) = (owner.dir.path().join("files"), owner.dir.path());
    for (n, secret) in ["correct horse", &owner.recovery, &owner.reader].into_iter().enumerate() {
        succeeded(&export(&files, secret, "eml", &root.join(format!("out{n}"))));
    }
    let before = names(root);
    let out = root.join("out");
    let said = failed(&export(&files, "wrong horse", "eml", &out));
    assert!(said.contains("wrong password") && said.contains("recovery key"), "{said}");
    let mistyped = owner.recovery.replace(owner.recovery.chars().last().unwrap(), "~").replace('~', "0");
    if mistyped != owner.recovery {
        let said = failed(&export(&files, &mistyped, "eml", &out));
        assert!(said.contains("mistyped"), "{said}");
    }
    let said = failed(&export(&files, &owner.sender, "eml", &out));
    assert!(said.contains("may not read"), "{said}");
    assert_eq!(names(root), before, "nothing is written");
    let password = root.join("password");
    fs::write(&password, &owner.reader).unwrap();
    let key = sealpost().arg("key").arg(&files).arg("--password-file").arg(&password).output().unwrap();
    assert!(failed(&key).contains("may not read"), "an app password gets no key");
    assert!(key.stdout.is_empty());
}

#[test]
fn a_place_that_is_taken_is_refused_and_so_are_files_that_are_not_a_mailbox() {
    let owner = Owner::new();
    let (files, root) = (owner.dir.path().join("files"), owner.dir.path());
    fs::create_dir(root.join("taken")).unwrap();
    fs::write(root.join("taken/letter"), "dear").unwrap();
    let said = failed(&export(&files, "correct horse", "maildir", &root.join("taken")));
    assert!(said.contains("not an empty folder") && said.contains("choose a folder"), "{said}");
    assert_eq!(names(&root.join("taken")), ["letter"]);
    let said = failed(&export(root, "correct horse", "maildir", &root.join("out")));
    assert!(said.contains("no keys.json"), "{said}");
    fs::write(files.join("mailbox.sqlite-wal"), "a WAL").unwrap();
    let said = failed(&export(&files, "correct horse", "maildir", &root.join("out")));
    assert!(said.contains("missing beside its WAL"), "{said}");
    assert!(!root.join("out").exists() && !root.join("out.incomplete").exists());
}

#[test]
fn files_of_a_server_that_runs_are_refused_and_a_copy_of_other_keys_is_named() {
    let mut server = Options::bench().start();
    fill(&server, "ua@example.test", odd().into_iter());
    let (ua, ub) = (folder_of(&server, "ua@example.test"), folder_of(&server, "ub@example.test"));
    let out = server.dir.path().join("out");
    let said = failed(&export(&ua, "pass", "eml", &out));
    assert!(said.contains("a server that runs"), "{said}");
    server.stop();
    let mixed = server.dir.path().join("mixed");
    copy(&ua, &mixed);
    fs::copy(ub.join("keys.json"), mixed.join("keys.json")).unwrap();
    let said = failed(&export(&mixed, "pass", "eml", &out));
    assert!(said.contains("do not belong together"), "{said}");
    assert!(!out.exists());
    succeeded(&export(&ua, "pass", "eml", &out));
}

#[test]
fn an_export_that_was_killed_or_found_no_room_is_marked_and_the_next_one_is_whole() {
    let mut server = Options::bench().start();
    fill(&server, "ua@example.test", odd().into_iter().cycle().take(160));
    let files = folder_of(&server, "ua@example.test");
    server.stop();
    let root = server.dir.path();
    let (out, incomplete) = (root.join("out"), root.join("out.incomplete"));
    let password = root.join("password");
    fs::write(&password, "pass").unwrap();
    let mut command = sealpost();
    command.args(["export", "--format", "eml", "--password-file"]).arg(&password).arg("--out").arg(&out).arg(&files);
    let mut running = command.spawn().unwrap();
    wait_until("it writes", || incomplete.join("result/INBOX").exists());
    running.kill().unwrap();
    running.wait().unwrap();
    assert!(!out.exists() && incomplete.exists());
    succeeded(&export(&files, "pass", "eml", &out));
    assert!(out.join("manifest.json").exists() && !incomplete.exists());

    let small = root.join("small");
    fs::create_dir(&small).unwrap();
    let script = "mount -t tmpfs -o size=8m tmpfs \"$1\" && shift && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]).arg(&small);
    command.arg(env!("CARGO_BIN_EXE_sealpost")).args(["export", "--format", "maildir", "--password-file"]);
    let output = command.arg(&password).arg("--out").arg(small.join("out")).arg(&files).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if said.contains("unshare:") || said.contains("mount:") {
        eprintln!("no small file system can be made here: this part proves nothing");
        return;
    }
    assert!(failed(&output).contains("No space left") && said.contains("run the same command again"), "{said}");
}
