//! No mailbox depends on its volume: what was acknowledged comes back out of the bucket alone.

use std::collections::BTreeSet;
use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use model::backup::ArchiveId;
use serde_json::Value;
use sidecar::assemble::{Assembled, Source, Target, archives, assemble, roots};
use sidecar::bucket::Folder;

use crate::first_light::ANN;
use crate::harness::{Options, Server, wait_until};
use crate::up::{CAROL, Manifests};

/// Messages of one round.
const MESSAGES: usize = 30;
const BOTH: [&str; 2] = ["ann@example.org", "carol@example.org"];

/// The samples, with carol, and every commit archived within a second.
pub fn manifests() -> Manifests {
    let manifests = Manifests::samples();
    let policy = manifests.read("backuppolicy.yaml").replace("maxLagSeconds: 10", "maxLagSeconds: 1");
    manifests.write("backuppolicy.yaml", &policy);
    manifests.write("carol.yaml", CAROL);
    manifests
}

/// Starts a server on them.
pub fn start(manifests: &Manifests) -> Server {
    let server = Options::manifests(manifests.path()).start();
    wait_until("carol has her keys", || server.status()["mailboxes"]["carol@example.org"]["state"] == "Ready");
    server
}

fn message(n: usize) -> Vec<u8> {
    let filler = "All this is kept elsewhere as well.\r\n".repeat(n * 40 % 900);
    format!("From: <a@elsewhere.example>\r\nMessage-ID: <{n}@archive.example>\r\nX-Number: {n}\r\n\r\n{filler}").into()
}

/// Delivers messages to ann and carol.
pub fn deliver(server: &Server, numbers: std::ops::Range<usize>) {
    for n in numbers {
        server.smtp().deliver("a@elsewhere.example", &BOTH, &message(n));
    }
}

fn backup(server: &Server) -> Value {
    server.status()["backups"]["daily"].clone()
}

/// Waits until the sidecar says, a lag and more after now, that nothing waits.
pub fn wait_archived(server: &Server) {
    let since = Timestamp::now() + SignedDuration::from_secs(3);
    wait_until("everything is archived", || {
        let backup = backup(server);
        let time = backup["time"].as_str().and_then(|time| time.parse::<Timestamp>().ok());
        time.is_some_and(|time| time > since) && backup["lagSeconds"] == 0 && backup["reachable"]["status"] == true
    });
}

fn bucket(server: &Server) -> Folder {
    Folder::new(server.state().join("bucket/daily"))
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(work)
}

fn known(server: &Server) -> Vec<ArchiveId> {
    let bucket = bucket(server);
    run(async {
        let roots = roots(&bucket).await.unwrap();
        assert_eq!(roots.len(), 1);
        archives(&bucket, &roots[0]).await.unwrap()
    })
}

fn folder(server: &Server, archive: &ArchiveId) -> PathBuf {
    let mailboxes = server.state().join("shard-0/mailboxes");
    mailboxes.join(archive.mailbox.prefix()).join(archive.mailbox.as_str())
}

/// Puts the newest archive of every mailbox where its files were.
fn restore_all(server: &Server) -> Vec<Assembled> {
    let _ = std::fs::remove_dir_all(server.state().join("shard-0/mailboxes"));
    let _ = std::fs::remove_dir_all(server.state().join("shard-0/outbox"));
    let all = known(server);
    let newest =
        all.iter().filter(|one| !all.iter().any(|other| other.mailbox == one.mailbox && other.timeline > one.timeline));
    let bucket = bucket(server);
    newest
        .map(|archive| {
            let folder = folder(server, archive);
            std::fs::create_dir_all(&folder).unwrap();
            let assembled = run(async {
                let root = roots(&bucket).await.unwrap().remove(0);
                let source = Source::open(&bucket, &root).await.unwrap();
                assemble(&source, archive, Target::Latest, &folder, &mut |_| {}).await
            });
            assembled.unwrap_or_else(|error| panic!("{archive}: {error}"))
        })
        .collect()
}

/// Numbers of the messages in an INBOX, each of them there once.
fn numbers(server: &Server, user: &str, password: &str) -> BTreeSet<usize> {
    let mut imap = server.imap(user, password);
    imap.ok("SELECT INBOX");
    let bodies = imap.bodies();
    let number = |body: &Vec<u8>| {
        let text = String::from_utf8_lossy(body).into_owned();
        text.lines().find_map(|line| line.strip_prefix("X-Number: ")).unwrap().trim().parse().unwrap()
    };
    let numbers: BTreeSet<usize> = bodies.iter().map(number).collect();
    assert_eq!(numbers.len(), bodies.len(), "{user} has a message twice");
    numbers
}

#[test]
fn mail_of_open_and_locked_mailboxes_comes_back_when_their_files_are_lost() {
    let manifests = manifests();
    let mut server = start(&manifests);
    // Carol is here, ann has never been: her mail is sealed and waits.
    let mut carol = server.imap("carol@example.org", "tulip");
    deliver(&server, 0..MESSAGES);
    carol.ok("CREATE Kept");
    carol.ok("SELECT INBOX");
    carol.ok("UID STORE 1 +FLAGS (\\Flagged)");
    carol.ok("UID COPY 1:3 Kept");
    wait_archived(&server);
    server.crash();

    let restored = restore_all(&server);
    assert_eq!(restored.len(), 2, "ann and carol; bob has no keys, so no mail");
    assert_eq!(restored.iter().filter(|one| one.mailbox.is_some()).count(), 1, "ann never logged in");
    assert!(restored.iter().all(|one| one.damages.is_empty()), "{restored:?}");
    server.start();
    let all: BTreeSet<usize> = (0..MESSAGES).collect();
    assert_eq!(numbers(&server, "ann@example.org", ANN), all);
    assert_eq!(numbers(&server, "carol@example.org", "tulip"), all);
    let mut carol = server.imap("carol@example.org", "tulip");
    assert_eq!(carol.count("Kept"), 3);

    // The volume is behind the archive in nothing, but it is another one: the archive goes on beside the first.
    deliver(&server, MESSAGES..MESSAGES + 5);
    wait_archived(&server);
    let second = known(&server).iter().filter(|archive| archive.timeline == 2).count();
    assert!(second >= 2, "{:?}", known(&server));
    server.crash();
    restore_all(&server);
    server.start();
    let all: BTreeSet<usize> = (0..MESSAGES + 5).collect();
    assert_eq!(numbers(&server, "ann@example.org", ANN), all);
    assert_eq!(numbers(&server, "carol@example.org", "tulip"), all);
}
