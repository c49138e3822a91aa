//! `sealpost restore`: mail comes back as it was, where it should, and nothing else changes.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Output;

use files::wal::Wal;
use jiff::Timestamp;
use model::backup::ArchiveId;
use model::{MailboxId, ServerId};
use serde_json::Value;
use sidecar::assemble::{Source, roots, timelines};
use sidecar::bucket::Folder;
use sidecar::format::DataFile;

use crate::first_light::ANN;
use crate::harness::imap::{Client, says};
use crate::harness::{Options, Server, wait_until};
use crate::up::{CAROL, Manifests};

pub const CAROLS: &str = "carol@example.org";

/// The samples with carol, dave who awaits his owner as bob does, and every commit archived within a second.
pub fn manifests() -> Manifests {
    let manifests = Manifests::samples();
    let policy = manifests.read("backuppolicy.yaml").replace("maxLagSeconds: 10", "maxLagSeconds: 1");
    manifests.write("backuppolicy.yaml", &policy);
    manifests.write("carol.yaml", CAROL);
    let dave =
        "apiVersion: sealpost.dev/v1alpha1\nkind: Mailbox\nmetadata: {name: dave}\nspec: {address: dave@example.org}\n";
    manifests.write("dave.yaml", dave);
    manifests
}

pub fn start(options: Options) -> Server {
    let server = options.start();
    wait_until("carol has her keys", || mailbox(&server, CAROLS)["state"] == "Ready");
    server
}

/// A server, and carol with an empty INBOX, whose archive has begun: a moment before that cannot be restored.
pub fn with_carol(options: Options) -> (Server, Client) {
    let server = start(options);
    deliver(&server, CAROLS, 999..1000);
    begun(&server, "spool");
    let mut carol = server.imap(CAROLS, "tulip");
    carol.ok("SELECT INBOX");
    carol.ok("STORE 1 +FLAGS (\\Deleted)");
    carol.ok("EXPUNGE");
    begun(&server, "mailbox");
    (server, carol)
}

/// Waits for the first base of a database of carol's.
fn begun(server: &Server, database: &str) {
    let id = mailbox(server, CAROLS)["id"].as_str().unwrap().to_owned();
    wait_until("carol's archive has begun", || {
        let roots = std::fs::read_dir(server.state().join("bucket/daily")).into_iter().flatten().flatten();
        let bases = |root: std::fs::DirEntry| root.path().join(&id).join("t0001").join(database).join("base");
        roots.map(bases).any(|bases| std::fs::read_dir(bases).is_ok_and(|mut found| found.next().is_some()))
    });
}

pub fn mailbox(server: &Server, address: &str) -> Value {
    server.status()["mailboxes"][address].clone()
}

fn message(n: usize) -> Vec<u8> {
    let filler = "As it was, octet for octet: \u{fc}\r\n".repeat(n * 70 % 500);
    format!("From: <a@elsewhere.example>\r\nMessage-ID: <{n}@restore.example>\r\nX-Number: {n}\r\n\r\n{filler}").into()
}

pub fn deliver(server: &Server, to: &str, numbers: std::ops::Range<usize>) {
    for n in numbers {
        server.smtp().deliver("a@elsewhere.example", &[to], &message(n));
    }
}

fn restore(server: &Server, args: &[&str]) -> Output {
    server.sealpost(&[&["restore"], args].concat())
}

/// A restore that must succeed, as its JSON says it.
pub fn restored(server: &Server, args: &[&str]) -> Value {
    let output = restore(server, &[args, &["-o", "json"]].concat());
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A restore that must fail with exit code 1, and what it says.
fn refused(server: &Server, args: &[&str]) -> String {
    let output = restore(server, args);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The messages of an INBOX, in order.
fn inbox(server: &Server, user: &str, password: &str) -> Vec<Vec<u8>> {
    let mut imap = server.imap(user, password);
    imap.ok("SELECT INBOX");
    imap.bodies()
}

/// Their numbers, each there once.
pub fn numbers(server: &Server, user: &str, password: &str) -> BTreeSet<usize> {
    let bodies = inbox(server, user, password);
    let number = |body: &Vec<u8>| {
        let text = String::from_utf8_lossy(body).into_owned();
        text.lines().find_map(|line| line.strip_prefix("X-Number: ")).unwrap().trim().parse().unwrap()
    };
    let numbers: BTreeSet<usize> = bodies.iter().map(number).collect();
    assert_eq!(numbers.len(), bodies.len(), "{user} has a message twice");
    numbers
}

/// A moment behind everything that was delivered to carol. It is so when all of it is archived: a commit whose notice comes
/// late has the time of its upload.
pub fn after_all(server: &Server) -> String {
    let id: MailboxId = mailbox(server, CAROLS)["id"].as_str().unwrap().parse().unwrap();
    let bucket = Folder::new(server.state().join("bucket/daily"));
    let volume = server.state().join("shard-0/mailboxes").join(id.prefix()).join(id.as_str());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    wait_until("all of it is archived", || {
        let inventory = runtime.block_on(async {
            let root = roots(&bucket).await.unwrap().remove(0);
            let timeline = timelines(&bucket, &root, id).await.unwrap().into_iter().max().unwrap();
            let server = ServerId(root.rsplit('.').next().unwrap().to_owned());
            let source = Source::trusting(&bucket, &root, Vec::new());
            source.inventory(&ArchiveId { server, mailbox: id, timeline }).await.unwrap()
        });
        DataFile::ALL.into_iter().all(|file| {
            let path = volume.join(format!("{}.sqlite-wal", file.database().name()));
            let Some(wal) = Wal::open(&path).unwrap() else { return true };
            let end = wal.commits_after(&wal.start(), u64::MAX).unwrap().last().map_or(0, |last| last.frame);
            let names = inventory.databases.get(&file);
            end == 0 || names.and_then(|names| names.segments.last()).is_some_and(|last| last.last == end)
        })
    });
    Timestamp::now().to_string()
}

fn replaced(server: &Server, report: &Value) -> PathBuf {
    server.state().join("shard-0").join(report["replaced"].as_str().unwrap())
}

/// Files of restores that are still in staging.
pub fn staged(server: &Server) -> usize {
    let all = std::fs::read_dir(server.state().join("shard-0/staging")).into_iter().flatten().flatten();
    // Snapshots are made there as well.
    all.filter(|entry| entry.file_name().to_str().unwrap().starts_with("restore-")).count()
}

#[test]
fn a_mailbox_as_it_was_comes_into_a_new_one_with_its_keys_and_what_waits() {
    let manifests = manifests();
    let (server, mut carol) = with_carol(Options::manifests(manifests.path()));
    deliver(&server, CAROLS, 0..4);
    carol.ok("CREATE Kept");
    carol.ok("SELECT INBOX");
    carol.ok("COPY 1:2 Kept");
    carol.ok("STORE 3 +FLAGS (\\Flagged)");
    let before = carol.bodies();
    assert_eq!(before.len(), 4);
    let time = after_all(&server);
    deliver(&server, CAROLS, 4..6);
    carol.ok("STORE 1:2 +FLAGS (\\Deleted)");
    carol.ok("EXPUNGE");
    carol.ok("DELETE Kept");
    // Ann has never been here: all of her mail waits.
    deliver(&server, "ann@example.org", 10..13);

    let report = restored(&server, &[CAROLS, "--at", &time, "--to", "bob@example.org", "--run", "first"]);
    assert_eq!((&report["succeeded"], &report["replaced"]), (&Value::Bool(true), &Value::Null), "{report}");
    assert!(report["reachedTime"].as_str().unwrap().parse::<Timestamp>().unwrap() <= time.parse().unwrap());
    assert!(inbox(&server, "bob@example.org", "tulip") == before, "byte for byte");
    let mut bob = server.imap("bob@example.org", "tulip");
    assert_eq!(bob.count("Kept"), 2);
    bob.ok("SELECT INBOX");
    assert!(says(&bob.ok("SEARCH FLAGGED"), "* SEARCH 3"));
    assert_eq!(numbers(&server, CAROLS, "tulip"), (2..6).collect(), "the source is what it was");
    wait_until("bob's pages were looked at", || mailbox(&server, "bob@example.org")["unchecked"].is_null());

    deliver(&server, "bob@example.org", 6..7);
    let again = restored(&server, &[CAROLS, "--at", &time, "--to", "bob@example.org", "--run", "first"]);
    assert_eq!(again["completed"], report["completed"], "it was done before");
    assert_eq!(numbers(&server, "bob@example.org", "tulip"), [0, 1, 2, 3, 6].into());
    let other = refused(&server, &[CAROLS, "--to", "bob@example.org", "--run", "first"]);
    assert!(other.contains("another one") && other.contains("--run"), "{other}");

    restored(&server, &["ann@example.org", "--to", "dave@example.org"]);
    assert_eq!(numbers(&server, "dave@example.org", ANN), (10..13).collect(), "mail that nobody ever unlocked");
    assert_eq!(numbers(&server, "ann@example.org", ANN), (10..13).collect());
    assert_eq!(staged(&server), 0);
}

#[test]
fn a_mailbox_goes_back_in_its_own_place_and_what_it_had_is_kept() {
    let manifests = manifests();
    let (mut server, mut carol) = with_carol(Options::manifests(manifests.path()));
    deliver(&server, CAROLS, 0..3);
    carol.ok("SELECT INBOX");
    let before = carol.bodies();
    let time = after_all(&server);
    carol.ok("STORE 1 +FLAGS (\\Deleted)");
    carol.ok("EXPUNGE");
    deliver(&server, CAROLS, 3..5);

    // At once: the last mail is not archived yet.
    let report = restored(&server, &[CAROLS, "--at", &time, "--in-place"]);
    let last = std::iter::from_fn(|| carol.try_line()).last();
    assert!(last.is_some_and(|line| line.text.starts_with("* BYE")), "a session sees that it has ended");
    assert!(inbox(&server, CAROLS, "tulip") == before, "byte for byte");
    let kept = replaced(&server, &report);
    assert!(kept.join("mailbox.sqlite").exists() && kept.join("keys.json").exists());
    wait_until("carol's pages were looked at", || mailbox(&server, CAROLS)["unchecked"].is_null());

    // What was rolled back is in the archive that was left, to its last message.
    let archive = report["archive"].as_str().unwrap();
    assert!(archive.ends_with("/t1"), "{archive}");
    restored(&server, &[archive, "--to", "bob@example.org"]);
    assert_eq!(numbers(&server, "bob@example.org", "tulip"), (1..5).collect());

    // And the archive goes on: with what came since, and with what was before.
    deliver(&server, CAROLS, 5..7);
    let report = restored(&server, &[CAROLS, "--in-place"]);
    assert!(report["archive"].as_str().unwrap().ends_with("/t2"), "{report}");
    assert_eq!(numbers(&server, CAROLS, "tulip"), [0, 1, 2, 5, 6].into());
    // Before anything is committed in it, once more, and back to the first.
    restored(&server, &[CAROLS, "--in-place"]);
    restored(&server, &[CAROLS, "--at", &time, "--in-place"]);
    assert!(inbox(&server, CAROLS, "tulip") == before);
    let mut carol = server.imap(CAROLS, "tulip");
    let uidnext = carol.ok("STATUS INBOX (UIDNEXT)").swap_remove(0).text;
    let uidnext: u64 = uidnext.split("UIDNEXT ").nth(1).unwrap().trim_end_matches(')').parse().unwrap();
    assert!(uidnext > 1 << 20, "no UID is given twice");
    server.restart();
    deliver(&server, CAROLS, 7..8);
    assert_eq!(numbers(&server, CAROLS, "tulip"), [0, 1, 2, 7].into());
    restored(&server, &[CAROLS, "--to", "dave@example.org"]);
    assert_eq!(numbers(&server, "dave@example.org", "tulip"), [0, 1, 2, 7].into());
    assert_eq!(staged(&server), 0);
}

#[test]
fn a_restore_that_cannot_be_done_says_why_and_what_to_do() {
    let manifests = manifests();
    let mut server = start(Options::manifests(manifests.path()));
    deliver(&server, "ann@example.org", 0..1);
    let cases: [(&[&str], &[&str]); 6] = [
        (&["eve@example.org", "--in-place"], &["no mailbox eve@example.org", "declare it"]),
        (&[CAROLS, "--to", "eve@example.org"], &["no mailbox eve@example.org", "declare it"]),
        (&[CAROLS, "--to", "ann@example.org"], &["has keys already", "--in-place"]),
        (&["dave@example.org", "--to", "bob@example.org"], &["ArchiveNotFound", "no archive of"]),
        (&["ann@example.org", "--to", "bob@example.org", "--at", "2020-01-01T00:00:00Z"], &["begins at", "later one"]),
        (&["elsewhere/aaaaaaaaaaaaaaaaaaaaaaaaaa/t1", "--to", "bob@example.org"], &["another server"]),
    ];
    for (args, words) in cases {
        let said = refused(&server, args);
        assert!(words.iter().all(|word| said.contains(word)), "{args:?}: {said}");
    }
    assert_eq!(mailbox(&server, "bob@example.org")["state"], "AwaitingOwner");
    for args in [&[CAROLS][..], &[CAROLS, "--in-place", "--to", "bob@example.org"], &["carol", "--in-place"]] {
        assert_eq!(restore(&server, args).status.code(), Some(2), "{args:?}");
    }
    server.stop();
    let said = refused(&server, &[CAROLS, "--in-place"]);
    assert!(said.contains("nothing runs") && said.contains("sealpost up"), "{said}");
}

/// Where a process is killed in the middle of a restore, and in which role.
const KILLS: [(&str, &str); 13] = [
    ("sidecar", "restore.object.after"),
    ("sidecar", "restore.assembled.after"),
    ("sidecar", "restore.intended.after"),
    ("primary", "adopt.begun.after"),
    ("primary", "adopt.merged.after"),
    ("primary", "adopt.aside.after"),
    ("primary", "adopt.moved.after"),
    ("primary", "adopt.marked.after"),
    ("primary", "adopt.placed.after"),
    ("primary", "adopt.done.after"),
    ("sidecar", "restore.adopted.after"),
    ("sidecar", "restore.archived.after"),
    ("primary", "adopt.keyed.after"),
];

#[test]
fn a_restore_is_done_once_whoever_is_killed_in_its_middle() {
    let manifests = manifests();
    let (server, _) = with_carol(Options::manifests(manifests.path()).faults());
    let mut expected = BTreeSet::new();
    for (round, (role, point)) in KILLS.into_iter().enumerate() {
        let n = 10 * round;
        // One comes while carol is here, one waits for her.
        let carol = server.imap(CAROLS, "tulip");
        deliver(&server, CAROLS, n..n + 1);
        drop(carol);
        deliver(&server, CAROLS, n + 1..n + 2);
        expected.extend([n, n + 1]);
        let time = after_all(&server);
        deliver(&server, CAROLS, n + 2..n + 3);
        let carol = server.imap(CAROLS, "tulip");
        deliver(&server, CAROLS, n + 3..n + 4);
        drop(carol);

        server.faults.arm(role, point, "kill@1");
        let name = format!("round-{round}");
        if point == "adopt.keyed.after" {
            let args = [CAROLS, "--at", &time, "--to", "bob@example.org", "--run", &name];
            restored(&server, &args);
            assert!(server.faults.hit(point), "{point}");
            let found = numbers(&server, "bob@example.org", "tulip");
            assert!(expected.is_subset(&found), "{point}: {found:?}");
            continue;
        }
        let args = [CAROLS, "--at", &time, "--in-place", "--run", &name];
        let report = restored(&server, &args);
        assert!(server.faults.hit(point), "{point}");
        assert!(replaced(&server, &report).join("mailbox.sqlite").exists(), "{point}");
        assert_eq!(restored(&server, &args)["completed"], report["completed"], "{point}");
        let found = numbers(&server, CAROLS, "tulip");
        // What waited then, or waits now, is there; what was taken since is in what was replaced.
        assert!(expected.is_subset(&found), "{point}: {found:?}");
        assert!(!found.contains(&(n + 3)), "{point}: {found:?}");
        expected = found;
        assert_eq!(staged(&server), 0, "{point}");
    }
    // The archive has all of it.
    restored(&server, &[CAROLS, "--to", "dave@example.org"]);
    let all = numbers(&server, CAROLS, "tulip");
    assert_eq!(numbers(&server, "dave@example.org", "tulip"), all);
}
