//! Mailboxes as folders of files, and the tools on them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::harness::corpus::Corpus;
use crate::harness::{Options, Server, have, imap, sealpost};

/// Keywords that messages get in turn.
pub const KEYWORDS: [&str; 3] = ["$Forwarded", "$MDNSent", "Work"];
/// Folders that messages go to in turn; their names are hard for somebody.
pub const FOLDERS: [&str; 8] =
    ["INBOX", "Sent", "cur", "Входящие/работа", "受信箱", "a.b/c.mbox", "back\\slash", "INBOX/Rechnungen & Belege"];

/// The folder of a mailbox on the volume.
pub fn folder_of(server: &Server, address: &str) -> PathBuf {
    let id = server.status()["mailboxes"][address]["id"].as_str().unwrap().to_owned();
    server.state().join("shard-0/mailboxes").join(&id[..2]).join(id)
}

/// A copy of a mailbox's files without `-shm`.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        if !entry.path().display().to_string().ends_with("-shm") {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// An export of real mail of which one message waited, in a folder of its own that may be given to another user; with the
/// manifest. None where a tool is missing.
pub fn exported(format: &str, tools: &[&str]) -> Option<(tempfile::TempDir, Value)> {
    let there = tools.iter().all(|tool| have(tool));
    let corpus = Corpus::fetch().filter(|_| there)?;
    let mut server = Options::bench().start();
    fill(&server, "ua@example.test", corpus.messages(8));
    server.restart();
    server.smtp().deliver("a@elsewhere.example", &["ua@example.test"], b"Subject: waits\r\n\r\n");
    let files = folder_of(&server, "ua@example.test");
    server.stop();
    let copied = server.dir.path().join("copied");
    copy(&files, &copied);
    let dir = tempfile::tempdir().unwrap();
    succeeded(&export(&copied, "pass", format, &dir.path().join("out")));
    let manifest = json(&dir.path().join("out"));
    Some((dir, manifest))
}

/// Runs `sealpost export`.
pub fn export(folder: &Path, password: &str, format: &str, out: &Path) -> Output {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, format!("{password}\n")).unwrap();
    let mut command = sealpost();
    command.arg("export").arg("--password-file").arg(file.path()).args(["--format", format]);
    command.arg("--out").arg(out).arg(folder).stdin(Stdio::null()).output().unwrap()
}

/// Runs `sealpost import` with the password of the benchmark's mailboxes.
pub fn import(server: &Server, address: &str, format: &str, path: &Path) -> Output {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, "pass").unwrap();
    let (file, path) = (file.path().to_str().unwrap().to_owned(), path.to_str().unwrap());
    server.sealpost(&["import", address, "--password-file", &file, "--format", format, path])
}

/// The command succeeded; what it said.
pub fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The command failed as it must; what it said.
pub fn failed(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A message as a manifest tells it, without its place: flags, keywords, date, digest.
pub type Told = (Vec<String>, Vec<String>, String, String, bool);

/// Folders with their messages in order.
pub fn manifest(out: &Path) -> BTreeMap<String, Vec<Told>> {
    let manifest = json(out);
    let mut folders: BTreeMap<String, Vec<Told>> = BTreeMap::new();
    for folder in manifest["folders"].as_array().unwrap() {
        folders.insert(folder["name"].as_str().unwrap().to_owned(), Vec::new());
    }
    for message in manifest["messages"].as_array().unwrap() {
        let texts = |name: &str| {
            let mut all: Vec<_> = message[name].as_array().unwrap().iter().map(text).collect();
            all.sort();
            all
        };
        let told = (
            texts("flags"),
            texts("keywords"),
            text(&message["internalDate"]),
            text(&message["sha256"]),
            message["waiting"].as_bool().unwrap(),
        );
        folders.get_mut(message["folder"].as_str().unwrap()).unwrap().push(told);
    }
    folders
}

/// `manifest.json`.
pub fn json(out: &Path) -> Value {
    serde_json::from_slice(&fs::read(out.join("manifest.json")).unwrap()).unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Puts messages into the folders in turn, with flags, keywords and dates that tell them apart.
pub fn fill(server: &Server, address: &str, messages: impl Iterator<Item = Vec<u8>>) {
    let mut imap = server.imap(address, "pass");
    for folder in FOLDERS.iter().skip(2) {
        imap.ok(&format!("CREATE {}", quoted(folder)));
    }
    imap.ok(&format!("SUBSCRIBE {}", quoted("a.b/c.mbox")));
    imap.ok("SUBSCRIBE \"gone/away\"");
    imap.ok("UNSUBSCRIBE \"Junk\"");
    let mut waiting = std::collections::VecDeque::new();
    for (n, message) in messages.enumerate() {
        waiting.push_back(start_append(&mut imap, n, &message));
        if waiting.len() == 16 {
            finish(&mut imap, &waiting.pop_front().unwrap());
        }
    }
    for tag in waiting {
        finish(&mut imap, &tag);
    }
    imap.ok("LOGOUT");
}

fn start_append(imap: &mut imap::Client, n: usize, message: &[u8]) -> String {
    let tag = format!("a{n}");
    let system = ["\\Seen", "\\Answered", "\\Flagged", "\\Draft", "\\Deleted"];
    let mut flags: Vec<&str> =
        system.iter().enumerate().filter(|(bit, _)| n >> bit & 1 == 1).map(|(_, f)| *f).collect();
    flags.extend(KEYWORDS.iter().enumerate().filter(|(bit, _)| n >> (bit + 5) & 1 == 1).map(|(_, f)| *f));
    let (day, hour, minute, second) = (n % 28 + 1, n / 28 % 24, n / 672 % 60, n % 60);
    let date = format!("{day:2}-Feb-{} {hour:02}:{minute:02}:{second:02} -0330", 1975 + n % 60);
    let folder = quoted(FOLDERS[n % FOLDERS.len()]);
    let head = format!("{tag} APPEND {folder} ({}) \"{date}\" {{{}+}}\r\n", flags.join(" "), message.len());
    imap.send(&[head.as_bytes(), message, b"\r\n"].concat());
    tag
}

fn finish(imap: &mut imap::Client, tag: &str) {
    let lines = imap.finish(tag);
    assert!(lines.last().unwrap().text.contains(" OK "), "{lines:?}");
}

/// A folder name as IMAP takes it.
pub fn quoted(folder: &str) -> String {
    format!("\"{}\"", model::mutf7::encode(folder).replace('\\', "\\\\"))
}

/// Messages of every kind a mailbox can hold: bare line feeds, no line end, 8-bit, lines that look like an mbox.
pub fn odd() -> Vec<Vec<u8>> {
    let mut large = b"Subject: large\r\n\r\n".to_vec();
    large.extend("all work and no play\r\n".repeat(100_000).bytes());
    vec![
        b"Subject: no line end\r\n\r\ntext".to_vec(),
        b"Subject: bare\n\nline feeds\nFrom here\n>From there\n\nFrom x\n\n".to_vec(),
        b"Subject: \xff\r\n\r\n\x80 is not UTF-8\r\n".to_vec(),
        b"From the first line\r\n\r\nbody\r\n".to_vec(),
        b"no header at all".to_vec(),
        b"\r\n".to_vec(),
        b"Status: RO\r\nX-Keywords: theirs\r\nX-Sealpost-Size: 3\r\n\r\nold\r\n".to_vec(),
        large,
    ]
}
