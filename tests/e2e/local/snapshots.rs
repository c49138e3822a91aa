//! Snapshots by schedule, and what they are for: mail that bases and segments reach no more. Restores that are tried out.

use std::path::{Path, PathBuf};

use model::MailboxId;
use sidecar::assemble::{Source, Target, archives, assemble, roots};
use sidecar::bucket::Folder;

use crate::first_light::ANN;
use crate::harness::{Options, Server, wait_until};
use crate::up::{CAROL, Manifests};

const SCHEDULE: &str = "  snapshots:\n    schedule: 0 3 * * *\n    timeZone: Etc/UTC\n";

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn snapshots(bucket: &Path) -> Vec<PathBuf> {
    files(bucket).into_iter().filter(|path| path.parent().is_some_and(|it| it.ends_with("snapshots"))).collect()
}

fn staged(server: &Server) -> Vec<PathBuf> {
    let staging = files(&server.state().join("shard-0/staging"));
    staging.into_iter().filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("snapshot-")).collect()
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(work)
}

#[test]
fn a_schedule_makes_snapshots_and_a_mailbox_comes_back_from_one_alone() {
    let manifests = Manifests::samples();
    let policy = manifests.read("backuppolicy.yaml").replace("maxLagSeconds: 10", "maxLagSeconds: 1");
    assert!(policy.contains(SCHEDULE));
    manifests.write("backuppolicy.yaml", &policy.replace(SCHEDULE, ""));
    manifests.write("carol.yaml", CAROL);
    let mut server = Options::manifests(manifests.path()).start();
    wait_until("carol has her keys", || server.status()["mailboxes"]["carol@example.org"]["state"] == "Ready");
    let mut carol = server.imap("carol@example.org", "tulip");
    let body = b"From: <a@elsewhere.example>\r\nSubject: kept\r\n\r\nwhole, compact, verified\r\n";
    for user in ["carol@example.org", "ann@example.org"] {
        for _ in 0..3 {
            server.smtp().deliver("a@elsewhere.example", &[user], body);
        }
    }
    carol.ok("CREATE Kept");
    carol.ok("SELECT INBOX");
    carol.ok("UID COPY 1:2 Kept");
    let bucket = server.state().join("bucket/daily");
    assert_eq!(snapshots(&bucket), Vec::<PathBuf>::new(), "no schedule, no snapshot");

    // Nobody ever had one, so everybody's is due at once.
    manifests.write("backuppolicy.yaml", &policy);
    wait_until("a snapshot is made and none waits", || {
        let daily = server.status()["backups"]["daily"].clone();
        daily["lastSnapshot"].is_string() && daily["nextSnapshot"].is_string() && daily["queued"] == 0
    });
    let made = snapshots(&bucket);
    assert_eq!(made.len(), 2, "carol is here, the others are not: {made:?}");
    assert_eq!(staged(&server), Vec::<PathBuf>::new());
    let text = String::from_utf8(server.sealpost(&["status"]).stdout).unwrap();
    assert!(text.contains("last snapshot 2") && text.contains(", next 2"), "{text}");

    // Ann's comes when she does.
    let mut ann = server.imap("ann@example.org", ANN);
    wait_until("the snapshot that was owed is made", || snapshots(&bucket).len() == 4);
    assert_eq!(ann.count("INBOX"), 3);
    server.crash();

    // All that is left of carol is that snapshot and her keys.
    let id = made[0].ancestors().nth(3).unwrap().file_name().unwrap().to_str().unwrap().parse::<MailboxId>().unwrap();
    let gone = files(&bucket).into_iter().filter(|path| path.to_str().unwrap().contains(&format!("/{id}/t0001/")));
    for path in gone.filter(|path| !made.contains(path)) {
        std::fs::remove_file(path).unwrap();
    }
    let folder = server.state().join("shard-0/mailboxes").join(id.prefix()).join(id.as_str());
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::create_dir_all(&folder).unwrap();
    let restored = run(async {
        let bucket = Folder::new(bucket);
        let root = roots(&bucket).await.unwrap().remove(0);
        let source = Source::open(&bucket, &root).await.unwrap();
        let all = archives(&bucket, &root).await.unwrap();
        let archive = all.into_iter().find(|archive| archive.mailbox == id).unwrap();
        assemble(&source, &archive, Target::Latest, &folder, &mut |_| {}).await.unwrap()
    });
    assert!(restored.snapshot.is_some() && restored.keys.is_some(), "{restored:?}");
    server.start();
    let mut carol = server.imap("carol@example.org", "tulip");
    assert_eq!((carol.count("INBOX"), carol.count("Kept")), (3, 2));
    carol.ok("SELECT Kept");
    assert!(carol.bodies().iter().all(|copy| copy.ends_with(b"whole, compact, verified\r\n")));
}

#[test]
fn whoever_asks_gets_a_snapshot_now_and_is_told_what_came_of_it() {
    let manifests = Manifests::samples();
    let policy = manifests.read("backuppolicy.yaml");
    manifests.write("backuppolicy.yaml", &policy.replace(SCHEDULE, ""));
    manifests.write("carol.yaml", CAROL);
    let server = Options::manifests(manifests.path()).start();
    wait_until("carol has her keys", || server.status()["mailboxes"]["carol@example.org"]["state"] == "Ready");
    let mut carol = server.imap("carol@example.org", "tulip");
    carol.ok("CREATE Kept");
    let bucket = server.state().join("bucket/daily");
    let backup = |args: &[&str]| {
        let output = server.sealpost(&[&["backup"], args].concat());
        let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        (output.status.success(), out + &err)
    };
    let (done, text) = backup(&["carol@example.org", "--run", "first"]);
    assert!(done && text.contains("backed up carol@example.org to ") && text.contains("0 messages"), "{text}");
    assert_eq!(snapshots(&bucket).len(), 2);
    let (done, text) = backup(&["carol@example.org"]);
    assert!(done && text.contains("nothing has changed"), "{text}");
    carol.ok("CREATE More");
    let (done, again) = backup(&["carol@example.org", "--run", "first"]);
    assert!(done && again.contains("backed up") && snapshots(&bucket).len() == 2, "it was done before: {again}");
    let (done, _) = backup(&["carol@example.org"]);
    assert!(done && snapshots(&bucket).len() == 4);
    let (done, text) = backup(&["ann@example.org"]);
    assert!(done && text.contains("its owner is not here"), "{text}");
    let (done, text) = backup(&["nobody@example.org"]);
    assert!(!done && text.contains("there is no mailbox nobody@example.org"), "{text}");
    assert_eq!(staged(&server), Vec::<PathBuf>::new());
}

#[test]
fn restores_are_tried_out_and_what_is_damaged_is_told_by_name() {
    let manifests = Manifests::samples();
    manifests.write("carol.yaml", CAROL);
    let mut server = Options::manifests(manifests.path()).start();
    wait_until("carol has her keys", || server.status()["mailboxes"]["carol@example.org"]["state"] == "Ready");
    let mut carol = server.imap("carol@example.org", "tulip");
    server.smtp().deliver("a@elsewhere.example", &["carol@example.org"], b"Subject: kept\r\n\r\nrestorable\r\n");
    assert_eq!(carol.count("INBOX"), 1);
    let verified = |server: &Server| server.status()["backups"]["daily"]["verified"].clone();
    wait_until("a restore was tried out", || verified(&server)["reason"] == "Restorable");
    assert!(server.status()["backups"]["daily"]["lastVerify"].is_string());
    let text = String::from_utf8(server.sealpost(&["status"]).stdout).unwrap();
    assert!(text.contains("restore verified 2"), "{text}");
    let bucket = server.state().join("bucket/daily");
    let bases = || files(&bucket).into_iter().filter(|path| path.to_str().unwrap().contains("/mailbox/base/"));
    wait_until("her mailbox is archived", || bases().count() > 0);
    server.stop();

    let base = bases().next().unwrap();
    let mut bytes = std::fs::read(&base).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&base, bytes).unwrap();
    let staging = server.state().join("shard-0/staging");
    std::fs::create_dir_all(staging.join("verify-left-by-a-crash")).unwrap();
    // As if none had ever been tried out.
    std::fs::remove_file(server.state().join("shard-0/sidecar/verified.json")).unwrap();
    server.start();
    wait_until("it is found out", || verified(&server)["reason"] == "VerifyFailed");
    let key = base.strip_prefix(&bucket).unwrap().to_str().unwrap();
    let findings = server.status()["findings"].to_string();
    assert!(findings.contains("BackupPolicy/daily: VerifyFailed") && findings.contains(key), "{key}: {findings}");
    let left = std::fs::read_dir(staging).unwrap().flatten().map(|entry| entry.file_name().into_string().unwrap());
    assert_eq!(left.filter(|name| name.starts_with("verify-")).collect::<Vec<_>>(), Vec::<String>::new());
}
