//! What the memory of an idle process, its core file, or its most talkative log gives away: nothing.
//!
//! Memory is read through `/proc/<pid>/mem` while the process stands still: all that a core file holds and also the pages
//! that are kept out of core files. Where that is not permitted (it takes root), the test says so and proves nothing. Then
//! core files are taken as a debugger does (`gcore`) and searched, too.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use memchr::memmem::Finder;

use crate::harness::needles::find;
use crate::harness::{Options, Server, have, signal, wait_until};

/// Words of the mail. What a message holds in base64 is one of them in decoded form.
pub const WORDS: [&str; 9] = [
    "zebrasubject",
    "kingfisher.correspondent",
    "marzipanbody",
    "obsidianattachment",
    "Walrusfolder",
    "$lavenderkeyword",
    "quokkaencoded",
    "cinnabarheader",
    "tangerinedisplay",
];
const PASSWORD: &str = "correct horse battery staple";
/// A switch of debug builds: freed memory keeps what it held.
const KEEPS: &str = "SEALPOST_TEST_KEEPS_FREED_MEMORY";
/// Files close and keys go some seconds after the last session.
const FORGOTTEN: Duration = Duration::from_secs(40);

pub fn message(id: &str) -> Vec<u8> {
    let encoded = data_encoding::BASE64.encode(b"some text with quokkaencoded in it");
    format!(
        "From: tangerinedisplay <kingfisher.correspondent@elsewhere.example>\r\nTo: <ann@example.org>\r\n\
         Subject: zebrasubject\r\nX-Thing: cinnabarheader\r\nMessage-ID: <{id}@elsewhere.example>\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nmarzipanbody {id}\r\n\
         --b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\
         Content-Disposition: attachment; filename=obsidianattachment.txt\r\n\r\n{encoded}\r\n--b--\r\n"
    )
    .into_bytes()
}

/// A process that stands still as long as this lives.
struct Still(u32);

impl Still {
    fn new(pid: u32) -> Self {
        signal(pid, "STOP");
        let stopped = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") T ");
        wait_until("the process stands still", stopped);
        Self(pid)
    }

    fn holds(&self, needles: &[(String, Vec<u8>)]) -> Option<Vec<(String, String)>> {
        search(self.0, needles)
    }
}

/// Which of the needles are anywhere in the memory of a process, each with where it was seen first.
fn search(pid: u32, needles: &[(String, Vec<u8>)]) -> Option<Vec<(String, String)>> {
    let memory = File::open(format!("/proc/{pid}/mem")).ok()?;
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let finders: Vec<_> = needles.iter().map(|(name, needle)| (name, Finder::new(needle))).collect();
    let mut found = std::collections::BTreeMap::new();
    let mut read_any = false;
    for line in maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|access| access.starts_with('r'))) {
        let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let (start, end) = (u64::from_str_radix(start, 16).unwrap(), u64::from_str_radix(end, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
        // The kernel's own pages cannot be read.
        if memory.read_exact_at(&mut bytes, start).is_err() {
            continue;
        }
        read_any = true;
        for (name, at) in finders.iter().filter_map(|(name, finder)| Some((name, finder.find(&bytes)?))) {
            let around = &bytes[at.saturating_sub(48)..(at + 80).min(bytes.len())];
            found.entry((*name).clone()).or_insert_with(|| format!("{line}: {}", around.escape_ascii()));
        }
    }
    read_any.then(|| found.into_iter().collect())
}

impl Drop for Still {
    fn drop(&mut self) {
        signal(self.0, "CONT");
    }
}

/// What a process holds, and where.
#[derive(Debug)]
#[expect(dead_code, reason = "the place is for the message of a test that fails")]
struct Seen {
    process: String,
    needle: String,
    place: String,
}

/// What each process holds; none where memory cannot be read.
fn held(server: &Server, needles: &[(String, Vec<u8>)]) -> Option<Vec<Seen>> {
    let status = server.status();
    let mut held = Vec::new();
    for (process, pid) in status["pids"].as_object().unwrap() {
        let still = Still::new(u32::try_from(pid.as_u64().unwrap()).unwrap());
        let seen = |(needle, place)| Seen { process: process.clone(), needle, place };
        held.extend(still.holds(needles)?.into_iter().map(seen));
    }
    Some(held)
}

/// Which needles a core file of each process holds, taken by a debugger; none where there is none.
fn dumped(server: &Server, needles: &[(String, Vec<u8>)]) -> Option<Vec<(String, String)>> {
    let status = server.status();
    let pids = status["pids"].as_object().unwrap().iter();
    have("gcore").then(|| {
        pids.flat_map(|(process, pid)| {
            let held = core(u32::try_from(pid.as_u64().unwrap()).unwrap(), needles);
            held.into_iter().map(|needle| (process.clone(), needle))
        })
        .collect()
    })
}

/// Which needles a core file of that process holds.
pub fn core(pid: u32, needles: &[(String, Vec<u8>)]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("gcore");
    command.arg("-o").arg(folder.path().join("core")).arg(pid.to_string());
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let core = std::fs::read(folder.path().join(format!("core.{pid}"))).unwrap();
    assert!(core.len() > 1 << 20, "a core file of {} octets", core.len());
    let held = needles.iter().filter(|(_, needle)| Finder::new(needle).find(&core).is_some());
    held.map(|(name, _)| name.clone()).collect()
}

fn has_open(pid: u32, name: &str) -> bool {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    files.filter_map(|file| file.path().read_link().ok()).any(|file| file.ends_with(name))
}

fn is_seen(held: &[Seen], process: &str, needle: &str) -> bool {
    held.iter().any(|seen| seen.process == process && seen.needle == needle)
}

/// The key of ann's mailbox, as it is and as text.
fn dek(server: &Server) -> Vec<Vec<u8>> {
    let mailboxes = walk(&server.state()).into_iter().filter(|p| p.file_name().is_some_and(|n| n == "keys.json"));
    let mut keysets = mailboxes.map(|path| crypto::Keyset::from_json(&std::fs::read(path).unwrap()).unwrap());
    let unlocked = keysets.find_map(|keyset| keyset.unlock(&crypto::Secret::new(PASSWORD)).ok()).unwrap();
    let dek = unlocked.dek.bytes().to_vec();
    let hex = data_encoding::HEXLOWER.encode(&dek);
    vec![
        hex.clone().into_bytes(),
        hex.to_uppercase().into_bytes(),
        data_encoding::BASE64.encode(&dek).into_bytes(),
        dek,
    ]
}

fn walk(root: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(root).unwrap().flatten();
    entries.flat_map(|e| if e.path().is_dir() { walk(&e.path()) } else { vec![e.path()] }).collect()
}

fn needles(server: &Server) -> Vec<(String, Vec<u8>)> {
    let words = WORDS.iter().chain([&PASSWORD]).map(|word| ((*word).to_owned(), word.as_bytes().to_vec()));
    let keys = dek(server).into_iter().enumerate().map(|(n, key)| (format!("key {n}"), key));
    words.chain(keys).collect()
}

/// Mail waits, is drained, sorted, searched, fetched; other mail comes while the owner is here.
fn live(server: &Server) -> crate::harness::imap::Client {
    let mut smtp = server.smtp();
    smtp.deliver("kingfisher.correspondent@elsewhere.example", &["ann@example.org"], &message("first"));
    let mut imap = server.imap("ann@example.org", PASSWORD);
    imap.ok("CREATE Walrusfolder");
    imap.ok("SELECT INBOX");
    smtp.deliver("kingfisher.correspondent@elsewhere.example", &["ann@example.org"], &message("second"));
    wait_until("both are there", || imap.count("INBOX") == 2);
    imap.append("Walrusfolder", &message("third"));
    imap.ok("NOOP");
    imap.ok("STORE 1:2 +FLAGS ($lavenderkeyword)");
    imap.ok("COPY 1:2 Walrusfolder");
    imap.ok("SEARCH TEXT zebrasubject");
    imap.ok("FETCH 1:2 (ENVELOPE BODYSTRUCTURE BODY.PEEK[1])");
    imap.ok("LIST \"\" *");
    assert_eq!(imap.bodies().len(), 2);
    imap
}

/// What is left of the needles in the end: waits for as long as it takes to forget.
fn left(server: &Server, needles: &[(String, Vec<u8>)]) -> Vec<Seen> {
    let until = Instant::now() + FORGOTTEN;
    loop {
        let left = held(server, needles).unwrap();
        if left.is_empty() || Instant::now() > until {
            return left;
        }
        // Processes forget by their own clock: let them run a little before they stand still again.
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Lives, and leaves. None where memory cannot be read.
fn lived(server: &Server, needles: &[(String, Vec<u8>)]) -> Option<()> {
    let mut imap = live(server);
    if held(server, needles).is_none() {
        eprintln!("memory of other processes cannot be read here: this test proves nothing");
        return None;
    }
    imap.ok("LOGOUT");
    Some(())
}

#[test]
fn an_idle_process_remembers_no_word_of_mail_no_password_and_no_key() {
    let server = Options::samples().start();
    let needles = needles(&server);
    if lived(&server, &needles).is_some() {
        let left = left(&server, &needles);
        assert!(left.is_empty(), "left in memory when everybody had gone: {left:#?}");
        assert_eq!(dumped(&server, &needles).unwrap_or_default(), [], "in core files");
    }
}

/// The other half of the proof: what the search is to miss, it finds where nothing is wiped. Of what is wiped by hand and
/// not by the allocator it is shown where it has to be: a password that is being typed, a key in the process that unwraps it.
#[test]
fn without_hygiene_the_same_search_finds_words_passwords_and_keys() {
    let server = Options::samples().env(KEEPS, "1").start();
    let needles = needles(&server);
    let Some(()) = lived(&server, &needles) else { return };
    let primary = server.pid("primary-0").unwrap();
    wait_until("the mailbox is closed", || !has_open(primary, "mailbox.sqlite"));
    let left = held(&server, &needles).unwrap();
    for process in ["primary-0", "secondary-imap-0", "secondary-mx-0"] {
        for word in ["zebrasubject", "marzipanbody", "cinnabarheader", "kingfisher.correspondent"] {
            assert!(is_seen(&left, process, word), "{process} has forgotten {word} all the same");
        }
    }
    let dumped = dumped(&server, &needles);
    for process in ["primary-0", "secondary-imap-0", "secondary-mx-0"] {
        let finds = |cores: &Vec<(String, String)>| cores.contains(&(process.to_owned(), "zebrasubject".to_owned()));
        assert!(dumped.as_ref().is_none_or(finds), "the core file of {process} does not show what is in its memory");
    }
    let mut typing = crate::harness::imap::Client::connect(server.endpoint("imap-plain"));
    typing.send(format!("a LOGIN ann@example.org \"{PASSWORD}").as_bytes());
    wait_until("what is typed has arrived", || {
        is_seen(&held(&server, &needles).unwrap(), "secondary-imap-0", PASSWORD)
    });
    // This process has unwrapped the key, as a secondary does.
    let own = search(std::process::id(), &needles).unwrap();
    assert!(own.iter().any(|(needle, _)| needle == "key 3"), "the key is not found where it is");
    if have("gcore") {
        assert!(core(std::process::id(), &needles).contains(&"key 3".to_owned()), "nor in a core file");
    }
}

#[test]
fn the_most_talkative_log_tells_no_word_of_mail_no_password_and_no_key() {
    let mut server = Options::samples().log("trace").start();
    let mut imap = live(&server);
    let refused = crate::harness::imap::Client::connect(server.endpoint("imap-plain"))
        .run("LOGIN ann@example.org \"wrong umbrellapassword\"");
    assert!(refused.last().unwrap().text.contains("AUTHENTICATIONFAILED"));
    imap.ok("LOGOUT");
    let mut needles: Vec<Vec<u8>> = needles(&server).into_iter().map(|(_, needle)| needle).collect();
    needles.push(b"umbrellapassword".to_vec());
    needles.push(data_encoding::BASE64.encode(PASSWORD.as_bytes()).into_bytes());
    let logs = server.state().join("log");
    // Proof that the log is as talkative as it can be: it tells of a client that left in the middle.
    let mut leaving = server.smtp();
    leaving.send(b"MAIL FROM:<a@elsewhere.example>\r\nRCPT TO:<ann@example.org>\r\nBDAT 100 LAST\r\nmarzipanbody");
    drop(leaving);
    let told = || walk(&logs).iter().any(|log| std::fs::read_to_string(log).unwrap().contains("\"DEBUG\""));
    wait_until("the log tells it", told);
    server.stop();
    assert_eq!(find(&logs, &needles), []);
    // What is to be missed is found where it is told.
    std::fs::write(logs.join("tells.log"), needles.join(&b' ')).unwrap();
    assert_eq!(find(&logs, &needles).len(), needles.len(), "the search must find every needle where it is");
    let said = std::fs::read(server.dir.path().join("up.err")).unwrap();
    assert!(!needles.iter().any(|needle| crate::harness::needles::contains(&said, needle)), "on standard error");
}
