//! `kill -9` of the primary: nothing acknowledged is missing, sessions go on.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::harness::imap::says;
use crate::harness::{Options, wait_until};

/// Kills of one run.
const KILLS: usize = 5;

fn message(n: usize) -> Vec<u8> {
    format!("From: <a@elsewhere.example>\r\nMessage-ID: <{n}@elsewhere.example>\r\nX-Number: {n}\r\n\r\nhello {n}\r\n")
        .into()
}

/// Which numbered messages a folder holds, and how often.
fn numbers(bodies: &[Vec<u8>]) -> HashMap<usize, usize> {
    let mut count = HashMap::new();
    for body in bodies {
        let text = String::from_utf8_lossy(body);
        let number = text.lines().find_map(|l| l.strip_prefix("X-Number: ")).unwrap().trim().parse().unwrap();
        *count.entry(number).or_default() += 1;
    }
    count
}

#[test]
fn mail_acknowledged_while_the_primary_is_killed_again_and_again_is_all_there_once() {
    let server = Options::bench().start();
    let (stop, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    let acknowledged = std::thread::scope(|threads| {
        let sender = threads.spawn(|| {
            let mut acknowledged = Vec::new();
            for n in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                // As a mail server would: the same message again until it is accepted.
                loop {
                    let reply = server.smtp().try_deliver(
                        "a@elsewhere.example",
                        &["ua@example.test", "ub@example.test"],
                        &message(n),
                    );
                    match reply {
                        Some(reply) if reply.starts_with("250") => break,
                        Some(reply) => assert!(reply.starts_with('4'), "{reply}"),
                        None => panic!("the MX itself must stay"),
                    }
                }
                acknowledged.push(n);
                sent.store(n + 1, Ordering::Relaxed);
            }
            acknowledged
        });
        for kill in 1..=KILLS {
            wait_until("some mail flows", || sent.load(Ordering::Relaxed) >= kill * 20);
            server.kill("primary-0");
            wait_until("the primary is back", || server.pid("primary-0").is_some());
        }
        wait_until("mail flows again", || sent.load(Ordering::Relaxed) >= KILLS * 20 + 40);
        stop.store(true, Ordering::Relaxed);
        sender.join().unwrap()
    });
    for user in ["ua@example.test", "ub@example.test"] {
        let mut imap = server.imap(user, "pass");
        imap.ok("SELECT INBOX");
        let found = numbers(&imap.bodies());
        for n in &acknowledged {
            assert_eq!(found.get(n), Some(&1), "message {n} of {} in {user}", acknowledged.len());
        }
        assert_eq!(found.len(), acknowledged.len(), "nothing but what was acknowledged in {user}");
    }
}

#[test]
fn an_imap_session_goes_on_after_the_primary_was_killed() {
    let server = Options::bench().start();
    let mut imap = server.imap("ua@example.test", "pass");
    imap.append("INBOX", &message(1));
    imap.ok("SELECT INBOX");
    let mut idle = server.imap("ua@example.test", "pass");
    idle.ok("SELECT INBOX");
    let tag = idle.idle();
    for round in 1..=3 {
        server.kill("primary-0");
        let flags = imap.ok("UID STORE 1:* +FLAGS (\\Seen)");
        assert!(says(&flags, "\\Seen"), "{flags:?}");
        imap.append("INBOX", &message(1 + round));
        assert!(says(&imap.ok("NOOP"), &format!("* {} EXISTS", 1 + round)) || imap.count("INBOX") == 1 + round);
        idle.wait_for(&format!("* {} EXISTS", 1 + round));
    }
    idle.done(&tag);
    assert_eq!(imap.bodies().len(), 4);
}

#[test]
fn appends_acknowledged_before_a_kill_are_there_once() {
    let server = Options::bench().start();
    let mut imap = server.imap("ua@example.test", "pass");
    let mut acknowledged = 0;
    for round in 0..KILLS {
        let tags: Vec<_> = (0..8).map(|n| imap.start_append("INBOX", &message(round * 8 + n))).collect();
        server.kill("primary-0");
        for tag in tags {
            let lines = imap.finish(&tag);
            assert!(lines.last().unwrap().text.contains(" OK "), "small appends wait and are repeated: {lines:?}");
            acknowledged += 1;
        }
    }
    imap.ok("SELECT INBOX");
    let found = numbers(&imap.bodies());
    assert_eq!(found.len(), acknowledged);
    assert!(found.values().all(|&count| count == 1), "{found:?}");
}
