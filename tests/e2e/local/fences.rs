//! Fences: what is closed for repair stays closed, nobody is told anything for good, and afterwards all mail is there.

use std::path::Path;

use crate::first_light::ANN;
use crate::harness::imap::{Client, Line};
use crate::harness::{Options, Server, wait_until};
use crate::up::{CAROL, Manifests};

const ADDRESS: &str = "ann@example.org";
const SENDER: &str = "a@elsewhere.example";

fn message(word: &str) -> Vec<u8> {
    format!("From: <{SENDER}>\r\nMessage-ID: <{word}@elsewhere.example>\r\nSubject: {word}\r\n\r\n{word}\r\n")
        .into_bytes()
}

/// The reply to a whole message, or to the first line that was refused.
fn deliver(server: &Server, to: &str, word: &str) -> String {
    server.smtp().try_deliver(SENDER, &[to], &message(word)).expect("the MX answers")
}

fn answer(lines: &[Line]) -> &str {
    lines.last().unwrap().text.split_once(' ').unwrap().1
}

fn login(server: &Server, user: &str, password: &str) -> String {
    let mut client = Client::connect(server.endpoint("imap-plain"));
    answer(&client.run(&format!("LOGIN \"{user}\" \"{password}\""))).to_owned()
}

fn state(server: &Server, address: &str) -> String {
    server.status()["mailboxes"][address]["state"].as_str().unwrap_or_default().to_owned()
}

fn wait_state(server: &Server, address: &str, wanted: &str) {
    wait_until(&format!("{address} is {wanted}"), || state(server, address) == wanted);
}

/// Databases of a mailbox that the primary has open, with their WALs.
fn open_files(server: &Server, address: &str) -> Vec<String> {
    let status = server.status();
    let id = status["mailboxes"][address]["id"].as_str().unwrap().to_owned();
    let folder = Path::new("/proc").join(server.pid("primary-0").unwrap().to_string()).join("fd");
    let all = std::fs::read_dir(folder).unwrap().flatten();
    let names = all.filter_map(|fd| std::fs::read_link(fd.path()).ok()).map(|path| path.display().to_string());
    names.filter(|name| name.contains(&id)).collect()
}

#[test]
fn a_fenced_mailbox_has_no_open_file_and_answers_unavailable_and_unfenced_all_mail_is_there() {
    let manifests = Manifests::samples();
    manifests.write("carol.yaml", CAROL);
    let server = Options::manifests(manifests.path()).start();
    let declared = manifests.read("mailbox-ann.yaml");
    let fenced =
        declared.replacen("name: ann\n", "name: ann\n  annotations: {sealpost.dev/fenced: the disk looks ill}\n", 1);
    assert_ne!(declared, fenced);

    assert!(deliver(&server, ADDRESS, "first").starts_with("250"));
    let mut session = server.imap(ADDRESS, ANN);
    session.ok("SELECT INBOX");
    session.append("INBOX", &message("second"));
    let before = session.bodies();
    assert_eq!(before.len(), 2);
    assert!(open_files(&server, ADDRESS).iter().any(|name| name.contains("mailbox.sqlite")), "a session opens it");

    manifests.write("mailbox-ann.yaml", &fenced);
    wait_state(&server, ADDRESS, "Fenced");
    let is_refused = |session: &mut Client| {
        for command in ["FETCH 1 (BODY.PEEK[])", "STORE 1 +FLAGS (\\Flagged)", "STATUS INBOX (MESSAGES)"] {
            let said = session.run(command);
            assert!(answer(&said).starts_with("NO [UNAVAILABLE]"), "{command}: {said:?}");
        }
        let tag = session.start_append("INBOX", &message("refused"));
        let said = session.finish(&tag);
        assert!(answer(&said).starts_with("NO [UNAVAILABLE]"), "APPEND: {said:?}");
        for password in [ANN, "wrong"] {
            let said = login(&server, ADDRESS, password);
            assert!(said.starts_with("NO [UNAVAILABLE]"), "nobody is asked for a password: {said}");
        }
        for to in [ADDRESS, "info@example.org"] {
            let said = deliver(&server, to, "third");
            assert!(said.starts_with("451"), "{to}: {said}");
        }
        assert_eq!(open_files(&server, ADDRESS), Vec::<String>::new());
    };
    is_refused(&mut session);
    // Nobody else is concerned.
    assert!(deliver(&server, "carol@example.org", "other").starts_with("250"));
    assert_eq!(server.imap("carol@example.org", "tulip").count("INBOX"), 1);
    let said = server.status()["findings"].to_string();
    assert!(said.contains("Mailbox/ann: Fenced") && said.contains("sealpost.dev/fenced"), "{said}");

    // What was closed stays closed over a crash, from the first moment on.
    server.kill("primary-0");
    let mut other = Client::connect(server.endpoint("imap-plain"));
    let said = other.run(&format!("LOGIN {ADDRESS} \"{ANN}\""));
    assert!(answer(&said).starts_with("NO [UNAVAILABLE]"), "{said:?}");
    wait_state(&server, ADDRESS, "Fenced");
    is_refused(&mut session);

    manifests.write("mailbox-ann.yaml", &declared);
    wait_state(&server, ADDRESS, "Ready");
    wait_until("a retry of the sender is taken", || deliver(&server, ADDRESS, "third").starts_with("250"));
    // The session that was there before goes on, and a new one sees the same.
    wait_until("it sees the third", || session.count("INBOX") == 3);
    session.ok("NOOP");
    let mut after = session.bodies();
    let third = after.pop().unwrap();
    assert!(third.ends_with(&message("third")));
    assert_eq!(after, before);
    assert_eq!(server.imap(ADDRESS, ANN).count("INBOX"), 3);
}

#[test]
fn mail_that_waits_outlives_a_fence_of_the_whole_shard() {
    let manifests = Manifests::samples();
    manifests.write("carol.yaml", CAROL);
    let server = Options::manifests(manifests.path()).start();
    let declared = manifests.read("mailserver.yaml");
    let fence = |shards: &str| {
        let annotation = format!("name: mail\n  annotations: {{sealpost.dev/fenced-shards: \"{shards}\"}}\n");
        declared.replacen("name: mail\n", &annotation, 1)
    };
    assert!(deliver(&server, ADDRESS, "waits").starts_with("250"));
    assert!(open_files(&server, ADDRESS).iter().any(|name| name.contains("spool.sqlite")), "its spool is in use");

    manifests.write("mailserver.yaml", &fence("0"));
    for address in [ADDRESS, "carol@example.org"] {
        wait_state(&server, address, "Fenced");
        assert!(deliver(&server, address, "refused").starts_with("451"));
        assert_eq!(open_files(&server, address), Vec::<String>::new());
    }
    assert_eq!(server.status()["mailboxes"][ADDRESS]["waiting"], 1, "as it was known");
    assert_eq!(state(&server, "bob@example.org"), "AwaitingOwner");
    // A typing error is told, and is no fence.
    manifests.write("mailserver.yaml", &fence("zero"));
    wait_state(&server, ADDRESS, "Ready");
    wait_until("mail is taken again", || deliver(&server, "carol@example.org", "again").starts_with("250"));
    wait_until("the typing error is told", || server.status()["findings"].to_string().contains("AnnotationInvalid"));

    manifests.write("mailserver.yaml", &declared);
    let mut session = server.imap(ADDRESS, ANN);
    wait_until("what waited is there", || session.count("INBOX") == 1);
    session.ok("SELECT INBOX");
    assert!(session.bodies()[0].ends_with(&message("waits")));
    assert_eq!(server.imap("carol@example.org", "tulip").count("INBOX"), 1);
}
