//! What durability costs: the syncs of the primary, counted by strace.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::harness::{Options, Server, have, signal};

/// Messages of the test; `SEALPOST_SYNCS` is another number, for the figures.
const MESSAGES: usize = 64;
/// APPENDs in flight, as many as a session may have.
const PIPELINED: usize = 16;
/// Syncs of the primary that belong to no message: flags of before, a WAL that is folded in.
const CHORES: usize = 6;

fn message(n: usize) -> Vec<u8> {
    format!(
        "From: <a@elsewhere.example>\r\nMessage-ID: <{n}@elsewhere.example>\r\n\r\n{}",
        "line of text\r\n".repeat(150)
    )
    .into()
}

/// How often the primary syncs anything meanwhile.
fn syncs(server: &Server, work: impl FnOnce()) -> usize {
    let log = server.dir.path().join("syncs");
    let pid = server.pid("primary-0").unwrap().to_string();
    let mut strace = Command::new("strace");
    strace.args(["-f", "-e", "trace=fsync,fdatasync,msync,sync_file_range,sync,syncfs", "-p", &pid, "-o"]).arg(&log);
    let mut strace = strace.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(strace.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert!(line.contains("attached"), "{line}");
    // Read on, so that it never waits for us.
    let reading = std::thread::spawn(move || said.lines().count());
    work();
    signal(strace.id(), "INT");
    strace.wait().unwrap();
    reading.join().unwrap();
    let log = std::fs::read_to_string(log).unwrap();
    // One that another thread interrupts has two lines.
    log.lines().filter(|line| line.contains("sync") && line.contains('(') && !line.contains("resumed>")).count()
}

/// One after the other, by APPEND.
fn appended_one_by_one(server: &Server, messages: usize) -> usize {
    let mut imap = server.imap("ua@example.test", "pass");
    imap.append("INBOX", &message(0));
    syncs(server, || {
        for n in 0..messages {
            imap.append("INBOX", &message(n));
        }
    })
}

/// With as many in flight as a session may have.
fn appended_together(server: &Server, messages: usize) -> usize {
    let mut imap = server.imap("ub@example.test", "pass");
    imap.append("INBOX", &message(0));
    syncs(server, || {
        let mut flying = VecDeque::new();
        for n in 0..messages {
            if flying.len() == PIPELINED {
                let tag: String = flying.pop_front().unwrap();
                assert!(imap.finish(&tag).last().unwrap().text.contains(" OK "));
            }
            flying.push_back(imap.start_append("INBOX", &message(n)));
        }
        for tag in flying {
            assert!(imap.finish(&tag).last().unwrap().text.contains(" OK "));
        }
    })
}

/// One after the other, by SMTP.
fn delivered_one_by_one(server: &Server, to: &str, messages: usize) -> usize {
    let mut smtp = server.smtp();
    let deliver = |smtp: &mut crate::harness::smtp::Client, n| {
        smtp.deliver("a@elsewhere.example", &[to], &message(n));
    };
    deliver(&mut smtp, 0);
    syncs(server, || {
        for n in 1..=messages {
            deliver(&mut smtp, n);
        }
    })
}

#[test]
fn a_message_costs_one_sync_and_messages_in_flight_together_share_them() {
    if !have("strace") {
        return;
    }
    let server = Options::bench().start();
    let messages = std::env::var("SEALPOST_SYNCS").map_or(MESSAGES, |number| number.parse().unwrap());
    let open = server.imap("uc@example.test", "pass");
    let found = [
        ("APPEND one by one", appended_one_by_one(&server, messages), 110),
        ("SMTP into an open mailbox", delivered_one_by_one(&server, "uc@example.test", messages), 110),
        ("SMTP into a locked mailbox", delivered_one_by_one(&server, "ud@example.test", messages), 110),
        ("APPEND, 16 in flight", appended_together(&server, messages), 25),
    ];
    drop(open);
    for (what, syncs, most) in found {
        eprintln!("{what}: {syncs} syncs for {messages} messages");
        assert!(syncs <= messages * most / 100 + CHORES, "{what}: {syncs} syncs for {messages} messages");
        assert!(syncs >= messages / PIPELINED, "{what}: {syncs} syncs for {messages} messages: too few to be true");
    }
}
