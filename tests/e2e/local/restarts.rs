//! The primary ends in the middle of a command: the session goes on, the answer comes within 20 s, and nothing is there twice.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::harness::imap::{Client, Line, says};
use crate::harness::{Options, Server, signal, wait_until};

const ANN: &str = "ua@example.test";
/// What DESIGN allows a command to wait.
const PATIENCE: Duration = Duration::from_secs(20);

/// As a crash does, and as an upgrade does.
const WAYS: [&str; 2] = ["KILL", "TERM"];

fn message(n: usize) -> Vec<u8> {
    format!(
        "From: <a@elsewhere.example>\r\nMessage-ID: <{n}@elsewhere.example>\r\nSubject: number {n}\r\n\r\nhello {n}\r\n"
    )
    .into()
}

/// Of a size, and never the same twice.
fn large(size: usize) -> Vec<u8> {
    let mut message = b"Subject: large\r\n\r\n".to_vec();
    for n in 0..u32::try_from(size / 31).unwrap() {
        message.extend_from_slice(format!("line {n:08} {:08x} and so\r\n", n.wrapping_mul(2_654_435_761)).as_bytes());
    }
    message
}

/// Ends the primary that runs now; `then` is done as soon as it cannot answer any more.
fn end(server: &Server, way: &str, then: impl FnOnce()) {
    let pid = server.pid("primary-0").expect("a primary runs");
    let gone = || !Path::new(&format!("/proc/{pid}")).exists();
    signal(pid, way);
    if way == "KILL" {
        wait_until("the primary is gone", gone);
    }
    then();
    wait_until("the primary is gone", gone);
}

/// Runs a command whose primary ends when it has come to `point`, and before it can answer.
fn interrupted(
    server: &Server,
    client: &mut Client,
    way: &str,
    point: &str,
    start: impl FnOnce(&mut Client) -> String,
) -> Vec<Line> {
    server.faults.arm("primary", point, "pause");
    let tag = start(client);
    wait_until("the command is under way", || server.faults.hit(point));
    let ended = Instant::now();
    end(server, way, || assert!(server.faults.disarm(point)));
    let lines = client.finish(&tag);
    assert!(ended.elapsed() < PATIENCE, "{way} at {point}: {:?}", ended.elapsed());
    assert!(lines.last().unwrap().text.starts_with(&format!("{tag} OK")), "{way} at {point}: {lines:?}");
    lines
}

fn session(server: &Server) -> Client {
    let mut client = server.imap(ANN, "pass");
    client.ok("SELECT INBOX");
    client
}

#[test]
fn fetch_search_append_and_copy_go_on_where_the_primary_ended_in_their_middle() {
    let server = Options::bench().faults().start();
    let mut client = session(&server);
    let mut messages: Vec<Vec<u8>> = (0..3).map(message).collect();
    for message in &messages {
        client.append("INBOX", message);
    }
    client.ok("NOOP");
    client.ok("CREATE copies");
    for (round, way) in WAYS.into_iter().enumerate() {
        let fetched =
            interrupted(&server, &mut client, way, "wire.write.before", |c| c.start("UID FETCH 1:* (BODY.PEEK[])"));
        let bodies: Vec<_> = fetched.into_iter().filter_map(|mut line| line.literals.pop()).collect();
        assert_eq!(bodies, messages, "FETCH, {way}");

        let found =
            interrupted(&server, &mut client, way, "wire.write.before", |c| c.start("UID SEARCH TEXT \"hello 1\""));
        assert!(says(&found, "* SEARCH 2"), "SEARCH, {way}: {found:?}");

        // The commit is on disk, and nobody was told.
        messages.push(message(10 + round));
        let body = messages.last().unwrap().clone();
        let appended = interrupted(&server, &mut client, way, "store.commit.after", |c| c.start_append("INBOX", &body));
        assert!(says(&appended, "[APPENDUID "), "APPEND, {way}: {appended:?}");
        client.ok("NOOP");
        assert_eq!(client.bodies(), messages, "APPEND, {way}");

        let copied = interrupted(&server, &mut client, way, "store.commit.after", |c| c.start("UID COPY 1:3 copies"));
        assert!(says(&copied, "[COPYUID "), "COPY, {way}: {copied:?}");
        assert_eq!(client.count("copies"), 3 * (round + 1), "COPY, {way}");

        // And before anything is on disk.
        let copied = interrupted(&server, &mut client, way, "store.commit.before", |c| c.start("UID COPY 1 copies"));
        assert!(says(&copied, "[COPYUID "), "COPY, {way}: {copied:?}");
        client.ok("UID SEARCH ALL");
        let mut other = server.imap(ANN, "pass");
        assert_eq!(other.count("copies"), 3 * (round + 1) + 1, "COPY, {way}");
        other.ok("SELECT copies");
        other.ok(&format!("STORE {} +FLAGS.SILENT (\\Deleted)", 3 * (round + 1) + 1));
        other.ok("EXPUNGE");
    }
}

#[test]
fn idle_stays_silent_while_the_primary_restarts_and_tells_what_came_meanwhile() {
    let server = Options::bench().faults().start();
    let mut client = session(&server);
    let tag = client.idle();
    for (round, way) in WAYS.into_iter().enumerate() {
        let ended = Instant::now();
        end(&server, way, || {});
        // Accepted as soon as there is a primary again.
        server.smtp().deliver("a@elsewhere.example", &[ANN], &message(round));
        let told = std::iter::repeat_with(|| client.line()).find(|line| !line.text.ends_with(" RECENT")).unwrap();
        assert_eq!(told.text, format!("* {} EXISTS", round + 1), "{way}: nothing else is said before");
        assert!(ended.elapsed() < PATIENCE, "{way}: {:?}", ended.elapsed());
    }
    client.done(&tag);
    assert_eq!(client.bodies().len(), 2);
}

/// A FETCH of a large message, and a large APPEND, with the primary ended when so much of them has passed.
fn in_the_middle_of_large_messages(size: usize) {
    let server = Options::bench().network().start();
    let message = large(size);
    let mut client = session(&server);
    client.append("INBOX", &message);
    client.ok("NOOP");
    let wire = &server.networks["secondary-imap-0"];
    for way in WAYS {
        let before = wire.passed();
        let tag = client.start("UID FETCH 1 (BODY.PEEK[])");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n") {
            head.push(client.octets(1)[0]);
        }
        assert!(String::from_utf8_lossy(&head).ends_with(&format!("{{{}}}\r\n", message.len())), "{way}");
        let mut came = client.octets(100_000);
        let passed = usize::try_from(wire.passed() - before).unwrap();
        assert!(passed < message.len() / 2, "{way}: the client cannot be that far ahead: {passed}");
        let ended = Instant::now();
        end(&server, way, || {});
        came.extend(client.octets(message.len() - came.len()));
        assert!(came == message, "{way}: not the same octets");
        let rest = client.finish(&tag);
        assert!(says(&rest, &format!("{tag} OK")), "{way}: {rest:?}");
        println!("FETCH, {way}: {:?} from the end of the primary to the last octet", ended.elapsed());
        assert!(ended.elapsed() < 2 * PATIENCE, "{way}: {:?}", ended.elapsed());
    }
    for (round, way) in WAYS.into_iter().enumerate() {
        let before = wire.passed();
        let tag = format!("large{round}");
        client.send(format!("{tag} APPEND INBOX {{{}+}}\r\n", message.len()).as_bytes());
        client.send(&message[..message.len() / 2]);
        wait_until("much of it has passed", || wire.passed() - before > 1 << 20);
        let ended = Instant::now();
        end(&server, way, || {});
        client.send(&message[message.len() / 2..]);
        client.send(b"\r\n");
        let lines = client.finish(&tag);
        let told = &lines.last().unwrap().text;
        assert!(told.starts_with(&format!("{tag} NO [UNAVAILABLE]")), "{way}: {told}");
        assert!(ended.elapsed() < PATIENCE, "{way}: {:?}", ended.elapsed());
        assert_eq!(client.count("INBOX"), round + 1, "{way}: nothing of it is there");
        client.append("INBOX", &message);
        assert_eq!(client.count("INBOX"), round + 2, "{way}: it can be repeated");
    }
    client.ok("NOOP");
    assert!(client.bodies().iter().all(|body| *body == message));
}

#[test]
fn a_large_fetch_comes_whole_and_a_large_append_can_be_repeated_when_the_primary_ended_in_their_middle() {
    in_the_middle_of_large_messages(50 << 20);
}
