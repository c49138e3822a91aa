//! `sealpost bucket`: from a bucket back to the files of a mailbox, with no server left.

mod by_hand;
mod servers;
mod tampering;

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use jiff::Timestamp;
use serde_json::Value;

use crate::archive;
use crate::export::files::{export, failed, json, succeeded};
use crate::first_light::ANN;
use crate::harness::{Server, sealpost, wait_until};

/// Messages of a round.
const MESSAGES: usize = 3;

/// What a server leaves that is gone: carol has read her mail, ann's waits.
struct Left {
    server: Server,
    /// Everything that came before is archived then, and what came after is not.
    middle: Timestamp,
    /// Objects there were in the middle.
    then: Vec<PathBuf>,
}

impl Left {
    fn new() -> Self {
        Self::begun(|_| {})
    }

    /// One whose WAL of carol's mailbox was folded in, because it had grown large.
    fn of_two_lives() -> Self {
        Self::begun(|server| {
            let mut carol = server.imap("carol@example.org", "tulip");
            carol.ok("CREATE Large");
            for n in 0..5 {
                carol.append("Large", &incompressible(n, 6 << 20));
            }
            wait_until("the WAL is folded in", || {
                objects(&server.state().join("shard-0/mailboxes")).iter().any(|path| path.ends_with("mailbox.wal.json"))
            });
        })
    }

    fn begun(first: impl FnOnce(&Server)) -> Self {
        let manifests = archive::manifests();
        let mut server = archive::start(&manifests);
        first(&server);
        round(&server, 0..MESSAGES);
        server.restart();
        round(&server, MESSAGES..2 * MESSAGES);
        let middle = Timestamp::now();
        let then = objects(&server.state().join("bucket/daily"));
        for n in 2 * MESSAGES..3 * MESSAGES {
            round(&server, n..n + 1);
        }
        server.stop();
        Self { server, middle, then }
    }

    fn bucket(&self) -> PathBuf {
        self.server.state().join("bucket/daily")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.server.dir.path().join(name)
    }

    /// The archive of the mailbox with that address, as `ls` tells it.
    fn archive(&self, address: &str) -> Value {
        let listed = succeeded(&bucket(&["ls", "--address", address, "-o", "json"], &self.bucket()));
        let mut listed: Value = serde_json::from_str(&listed).unwrap();
        let all = listed["archives"].as_array_mut().unwrap();
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    fn id(&self, address: &str) -> String {
        self.archive(address)["id"].as_str().unwrap().to_owned()
    }
}

/// Mail for both, which carol sees, and which is archived then.
fn round(server: &Server, numbers: Range<usize>) {
    let mut carol = server.imap("carol@example.org", "tulip");
    archive::deliver(server, numbers);
    carol.ok("SELECT INBOX");
    carol.ok("UID STORE 1:* +FLAGS (\\Seen)");
    archive::wait_archived(server);
}

/// A message that takes as much room as it has octets, more or less.
fn incompressible(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed + 1;
    let mut message = b"Subject: large\r\n\r\n".to_vec();
    while message.len() < size {
        for _ in 0..64 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            message.push(b'!' + (state >> 57) as u8 % 94);
        }
        message.extend(b"\r\n");
    }
    message
}

/// Runs `sealpost bucket` on a folder.
fn bucket(args: &[&str], folder: &Path) -> Output {
    command(args, &format!("file://{}", folder.display())).output().unwrap()
}

fn command(args: &[&str], url: &str) -> Command {
    let (verb, rest) = args.split_first().unwrap();
    let mut command = sealpost();
    command.args(["bucket", verb, "--url", url]).args(rest);
    command
}

/// Every file below a folder, in order.
fn objects(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() {
            found.extend(objects(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    for path in objects(from) {
        let copied = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(copied.parent().unwrap()).unwrap();
        fs::copy(path, copied).unwrap();
    }
}

fn names(folder: &Path) -> Vec<String> {
    objects(folder).iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn mail_comes_from_a_bucket_by_address_and_password_alone() {
    let left = Left::new();
    let carol = left.archive("carol@example.org");
    let id = carol["id"].as_str().unwrap();
    let time = |name: &str| carol[name].as_str().unwrap().parse::<Timestamp>().unwrap();
    assert!(time("firstTime") < left.middle && left.middle < time("lastTime"), "{carol}");
    assert!(carol["commits"].as_u64().unwrap() > 3 && carol["gaps"].as_array().unwrap().is_empty(), "{carol}");
    let nobody = succeeded(&bucket(&["ls", "--address", "nobody@example.org", "-o", "json"], &left.bucket()));
    assert_eq!(serde_json::from_str::<Value>(&nobody).unwrap()["archives"], Value::Array(vec![]));
    assert!(succeeded(&bucket(&["ls"], &left.bucket())).contains(id));
    let verified = succeeded(&bucket(&["verify"], &left.bucket()));
    assert!(verified.matches("whole: ").count() >= 2 && verified.contains(id), "{verified}");

    for (address, password, files) in [
        ("carol@example.org", "tulip", ["keys.json", "mailbox.sqlite", "spool.sqlite"].as_slice()),
        ("ann@example.org", ANN, &["keys.json", "spool.sqlite"]),
    ] {
        let (out, mail) = (left.path(address), left.path(&format!("{address}.mail")));
        let told = succeeded(&bucket(&["fetch", &left.id(address), "--out", out.to_str().unwrap()], &left.bucket()));
        assert!(told.contains("sealpost export"), "{told}");
        assert_eq!(names(&out), files);
        succeeded(&export(&out, password, "eml", &mail));
        assert_eq!(json(&mail)["messages"].as_array().unwrap().len(), 3 * MESSAGES, "{address}");
    }
    let (middle, out) = (left.middle.to_string(), left.path("middle"));
    succeeded(&bucket(&["fetch", id, "--at", &middle, "--out", out.to_str().unwrap()], &left.bucket()));
    succeeded(&export(&out, "tulip", "eml", &left.path("middle.mail")));
    assert_eq!(json(&left.path("middle.mail"))["messages"].as_array().unwrap().len(), 2 * MESSAGES);

    let again = failed(&bucket(&["fetch", id, "--out", out.to_str().unwrap()], &left.bucket()));
    assert!(again.contains("middle"), "what is there is not overwritten: {again}");
    let early = ["fetch", id, "--at", "2020-01-01T00:00:00Z", "--out", "nowhere"];
    assert!(failed(&bucket(&early, &left.bucket())).contains("begins with commit"));
    assert!(failed(&bucket(&["ls"], &left.path("middle"))).contains("has no archives"));
}
