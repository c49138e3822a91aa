//! Every session sees the same mailbox, on whichever process it landed.

use std::time::{Duration, Instant};

use crate::harness::imap::says;
use crate::harness::{Options, Server};

const MESSAGE: &[u8] =
    b"From: <a@elsewhere.example>\r\nMessage-ID: <live@elsewhere.example>\r\nSubject: live\r\n\r\nhello\r\n";

fn two() -> Server {
    Options::bench().replicas(2).start()
}

#[test]
fn an_idle_client_sees_a_delivery_within_a_second() {
    let server = two();
    let mut idle = server.imap("ua@example.test", "pass");
    idle.ok("SELECT INBOX");
    let tag = idle.idle();
    let mut smtp = server.smtp();
    let mut times: Vec<Duration> = (0..20)
        .map(|n| {
            let started = Instant::now();
            let message = [format!("X-Number: {n}\r\n").as_bytes(), MESSAGE].concat();
            smtp.deliver("a@elsewhere.example", &["ua@example.test"], &message);
            idle.wait_for("EXISTS");
            started.elapsed()
        })
        .collect();
    idle.done(&tag);
    times.sort();
    println!("delivery to EXISTS: median {:?}, slowest {:?}", times[10], times[19]);
    assert!(times[19] < Duration::from_secs(1), "{times:?}");
}

#[test]
fn two_clients_on_two_processes_see_each_others_changes_on_the_next_command() {
    let server = two();
    let mut one = server.imap_at("imap-plain", "ua@example.test", "pass");
    let mut two = server.imap_at("imap-plain-1", "ua@example.test", "pass");
    one.ok("SELECT INBOX");
    two.ok("SELECT INBOX");

    one.append("INBOX", MESSAGE);
    assert!(says(&two.ok("NOOP"), "* 1 EXISTS"));

    two.ok("STORE 1 +FLAGS (\\Flagged $Work)");
    let seen = one.ok("NOOP");
    assert!(says(&seen, "\\Flagged") && says(&seen, "$Work"), "{seen:?}");

    two.ok("CREATE Projects");
    one.ok("COPY 1 Projects");
    assert_eq!(two.count("Projects"), 1);
    two.ok("RENAME Projects Done");
    assert!(says(&one.ok("LIST \"\" *"), "Done") && !says(&one.ok("LIST \"\" *"), "Projects"));

    one.ok("MOVE 1 Done");
    assert!(says(&two.ok("NOOP"), "* 1 EXPUNGE"));
    assert_eq!((two.count("INBOX"), two.count("Done")), (0, 2));

    two.ok("SELECT Done");
    one.ok("SELECT Done");
    one.ok("STORE 1 +FLAGS.SILENT (\\Deleted)");
    one.ok("EXPUNGE");
    assert!(says(&two.ok("NOOP"), "* 1 EXPUNGE"));
}

#[test]
fn an_idle_client_on_the_other_process_sees_flags_and_expunges() {
    let server = two();
    let mut one = server.imap_at("imap-plain", "ua@example.test", "pass");
    one.append("INBOX", MESSAGE);
    one.ok("SELECT INBOX");
    let mut two = server.imap_at("imap-plain-1", "ua@example.test", "pass");
    two.ok("SELECT INBOX");
    let tag = two.idle();
    one.ok("STORE 1 +FLAGS (\\Flagged)");
    two.wait_for("\\Flagged");
    one.append("INBOX", MESSAGE);
    two.wait_for("* 2 EXISTS");
    one.ok("STORE 1 +FLAGS.SILENT (\\Deleted)");
    one.ok("EXPUNGE");
    two.wait_for("* 1 EXPUNGE");
    two.done(&tag);
}
