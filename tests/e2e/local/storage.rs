//! A volume that is full, that does not sync, that does not write, that loses its power: what clients see, and that it is
//! over when it is over.

use std::path::PathBuf;
use std::process::Command;

use crate::harness::disk::{Disk, EIO, ENOSPC, Trouble};
use crate::harness::imap::{Client, Line};
use crate::harness::{Options, Server, wait_until};

const ANN: &str = "ua@example.test";
const BOB: &str = "ub@example.test";
const MIB: u64 = 1 << 20;

fn message(n: usize) -> Vec<u8> {
    format!("From: <a@elsewhere.example>\r\nMessage-ID: <{n}@elsewhere.example>\r\nX-Number: {n}\r\n\r\nhello {n}\r\n")
        .into()
}

fn append(imap: &mut Client, n: usize) -> String {
    let tag = imap.start_append("INBOX", &message(n));
    last(&imap.finish(&tag))
}

fn last(lines: &[Line]) -> String {
    let text = &lines.last().unwrap().text;
    text.split_once(' ').unwrap().1.to_owned()
}

fn deliver(server: &Server, to: &str, n: usize) -> String {
    server.smtp().try_deliver("a@elsewhere.example", &[to], &message(n)).expect("the MX itself must stay")
}

/// How often each number is in INBOX.
fn numbers(server: &Server, user: &str) -> Vec<usize> {
    let mut imap = server.imap(user, "pass");
    imap.ok("SELECT INBOX");
    let bodies = imap.bodies();
    let number = |body: &Vec<u8>| {
        let text = String::from_utf8_lossy(body);
        text.lines().find_map(|l| l.strip_prefix("X-Number: ")).unwrap().trim().parse().unwrap()
    };
    let mut numbers: Vec<usize> = bodies.iter().map(number).collect();
    numbers.sort_unstable();
    numbers
}

fn findings(server: &Server) -> String {
    server.status()["findings"].to_string()
}

/// Lines of the primary's log that say this.
fn logged(server: &Server, text: &str) -> usize {
    let log = std::fs::read_to_string(server.state().join("log/primary-0.log")).unwrap();
    log.lines().filter(|line| line.contains(text)).count()
}

/// Leaves so much free space on the volume, and never more than there was or is to be.
fn fill(volume: &std::path::Path, free: u64) {
    let ballast = volume.join("ballast");
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&ballast).unwrap();
    let held = file.metadata().unwrap().len();
    let found = rustix::fs::statvfs(volume).unwrap();
    let size = (held + found.f_bavail * found.f_frsize).saturating_sub(free);
    if size < held {
        file.set_len(size).unwrap();
        return;
    }
    let made = Command::new("fallocate").args(["-l", &size.to_string()]).arg(&ballast).status().unwrap();
    assert!(made.success());
}

#[test]
fn on_a_full_volume_mail_is_refused_everything_else_goes_on_and_it_ends_by_itself() {
    let Some(server) = Options::bench().small_volume(420 * MIB) else { return };
    let volume: PathBuf = server.volume();
    let mut imap = server.imap(ANN, "pass");
    for n in 0..4 {
        assert!(append(&mut imap, n).starts_with("OK"));
    }
    assert!(deliver(&server, BOB, 1).starts_with("250"), "sealed");
    imap.ok("SELECT INBOX");

    // Below the floor of 256 MiB.
    fill(&volume, 100 * MIB);
    for user in [ANN, BOB] {
        let reply = deliver(&server, user, 9);
        assert!(reply.starts_with("452 4.3.1"), "{reply}");
    }
    let reply = append(&mut imap, 9);
    assert!(reply.starts_with("NO [UNAVAILABLE]"), "{reply}");
    wait_until("a person is told", || findings(&server).contains("less than the floor"));
    imap.ok("UID STORE 1 +FLAGS (\\Deleted)");
    imap.ok("UID EXPUNGE 1");
    imap.ok("UID COPY 2 Archive");
    assert_eq!(imap.bodies().len(), 3);
    assert_eq!(numbers(&server, BOB), [1], "a login, and the drain of what was accepted before");
    assert_eq!(logged(&server, "less than the floor"), 1);

    // Really full: what was stored can be read, and nothing is said to be done that is not.
    fill(&volume, 0);
    assert_eq!(imap.bodies().len(), 3);
    assert_eq!(numbers(&server, ANN), [1, 2, 3]);
    let reply = last(&imap.run("UID STORE 2 +FLAGS (\\Flagged)"));
    assert!(reply.starts_with("OK") || reply.starts_with("NO [UNAVAILABLE]"), "{reply}");
    assert!(deliver(&server, ANN, 9).starts_with("452 4.3.1"));

    fill(&volume, 300 * MIB);
    wait_until("the finding goes", || !findings(&server).contains("less than the floor"));
    assert_eq!(logged(&server, "room on the volume again"), 1);
    assert!(deliver(&server, ANN, 5).starts_with("250"));
    assert!(append(&mut imap, 6).starts_with("OK"));
    imap.ok("UID STORE 2 +FLAGS (\\Flagged)");
    assert_eq!(numbers(&server, ANN), [1, 2, 3, 5, 6]);
}

/// Trouble of the disk, and what mail and APPEND are answered while it lasts.
const TROUBLES: [(&str, Trouble, &str); 4] = [
    ("full", Trouble { writes: ENOSPC, ..Trouble::NONE }, "452 4.3.1"),
    ("no writes", Trouble { writes: EIO, ..Trouble::NONE }, "451"),
    ("no syncs", Trouble::NO_SYNCS, "451"),
    ("no writes and no syncs", Trouble::NO_WRITES, "451"),
];

#[test]
fn after_a_failed_write_or_fsync_nothing_is_acknowledged_until_the_volume_is_sound_and_reading_goes_on() {
    let mut server = Options::bench().disk().start();
    if server.disk.is_none() {
        return;
    }
    let (mut imap, mut acknowledged, mut refused) = (server.imap(ANN, "pass"), vec![0], Vec::new());
    assert!(append(&mut imap, 0).starts_with("OK"));
    imap.ok("SELECT INBOX");
    let mut n = 0;
    for (what, trouble, reply) in TROUBLES {
        let disk = server.disk.as_ref().unwrap();
        let (before, there) = (disk.refused(), imap.bodies().len());
        disk.set(trouble);
        for _ in 0..3 {
            n += 1;
            let told = append(&mut imap, n);
            assert!(told.starts_with("NO [UNAVAILABLE]"), "{what}: {told}");
            refused.push(n);
        }
        for user in [ANN, BOB] {
            let told = deliver(&server, user, 100 + n);
            assert!(told.starts_with(reply), "{what}, {user}: {told}");
        }
        assert_eq!(imap.bodies().len(), there, "{what}: reading goes on");
        assert!(disk.refused() > before, "{what}: the trouble was felt");
        disk.set(Trouble::NONE);
        // By itself: nothing is started again.
        n += 1;
        wait_until("appends go again", || append(&mut imap, n).starts_with("OK"));
        wait_until("mail goes again", || deliver(&server, BOB, n).starts_with("250"));
        acknowledged.push(n);
        imap.ok("NOOP");
    }
    // What was acknowledged after the trouble does not lie behind what was lost in it.
    server.crash();
    server.disk.as_ref().unwrap().power_cut(1);
    server.start();
    let found = numbers(&server, ANN);
    let count = |n: usize| found.iter().filter(|found| **found == n).count();
    for n in acknowledged.iter().copied() {
        assert_eq!(count(n), 1, "{n} was acknowledged: {found:?}");
    }
    for n in refused {
        assert!(count(n) <= 1, "{n}: {found:?}");
    }
    let found = numbers(&server, BOB);
    for n in &acknowledged[1..] {
        assert_eq!(found.iter().filter(|found| *found == n).count(), 1, "{n} was acknowledged: {found:?}");
    }
}

#[test]
fn what_a_process_could_not_sync_before_it_ended_is_not_built_upon_by_the_next_one() {
    let mut server = Options::bench().disk().start();
    let Some(disk) = server.disk.as_ref() else { return };
    let mut imap = server.imap(ANN, "pass");
    assert!(append(&mut imap, 0).starts_with("OK"));
    assert!(deliver(&server, BOB, 0).starts_with("250"));
    disk.set(Trouble::NO_SYNCS);
    assert!(append(&mut imap, 1).starts_with("NO [UNAVAILABLE]"));
    assert!(deliver(&server, BOB, 1).starts_with("451"));
    server.kill("primary-0");
    disk.set(Trouble::NONE);
    for n in 2..5 {
        wait_until("appends go again", || append(&mut imap, n).starts_with("OK"));
        wait_until("mail goes again", || deliver(&server, BOB, n).starts_with("250"));
    }
    server.crash();
    assert!(server.disk.as_ref().unwrap().power_cut(1) > 0);
    server.start();
    for user in [ANN, BOB] {
        let found: Vec<usize> = numbers(&server, user).into_iter().filter(|n| *n != 1).collect();
        assert_eq!(found, [0, 2, 3, 4], "{user}");
    }
}

#[test]
fn a_primary_that_cannot_start_ends_and_is_started_again_until_it_can() {
    let server = Options::bench().disk().start();
    let Some(disk) = server.disk.as_ref() else { return };
    let mut imap = server.imap(ANN, "pass");
    assert!(append(&mut imap, 0).starts_with("OK"));
    for _ in 0..3 {
        disk.set(Trouble::DEAD);
        let before = logged(&server, "the role stopped");
        server.kill("primary-0");
        wait_until("it could not start", || logged(&server, "the role stopped") > before + 2);
        disk.set(Trouble::NONE);
        imap.ok("NOOP");
    }
    assert_eq!(numbers(&server, ANN), [0]);
}

#[test]
fn what_was_acknowledged_outlives_a_power_cut_and_what_was_not_synced_is_really_lost_by_it() {
    let mut server = Options::bench().disk().start();
    if server.disk.is_none() {
        return;
    }
    let mut lost = 0;
    for round in 0..3 {
        let mut imap = server.imap(ANN, "pass");
        for n in 0..5 {
            assert!(append(&mut imap, 10 * round + n).starts_with("OK"));
            assert!(deliver(&server, BOB, 10 * round + n).starts_with("250"));
        }
        imap.ok("SELECT INBOX");
        imap.ok("STORE 1:* +FLAGS (\\Seen)");
        server.crash();
        lost += server.disk.as_ref().unwrap().power_cut(u64::try_from(round).unwrap());
        server.start();
        let expected: Vec<usize> = (0..=round).flat_map(|round| (0..5).map(move |n| 10 * round + n)).collect();
        assert_eq!(numbers(&server, ANN), expected);
        if round == 2 {
            assert_eq!(numbers(&server, BOB), expected);
        }
    }
    assert!(lost > 0, "a power cut that loses nothing proves nothing");
}

#[test]
fn a_disk_that_cannot_be_read_is_unavailable_and_never_an_unknown_user_or_a_wrong_password() {
    let mut server = Options::bench().disk().start();
    let Some(disk) = server.disk.as_ref() else { return };
    let mut imap = server.imap(ANN, "pass");
    assert!(append(&mut imap, 1).starts_with("OK"));
    disk.set(Trouble::DEAD);
    let told = deliver(&server, BOB, 1);
    assert!(told.starts_with("45"), "{told}");
    let mut other = Client::connect(server.endpoint("imap-plain"));
    let told = last(&other.run(&format!("LOGIN {BOB} pass")));
    assert!(told.starts_with("OK") || told.starts_with("NO [UNAVAILABLE]"), "{told}");
    disk.set(Trouble::NONE);
    wait_until("mail goes again", || deliver(&server, BOB, 2).starts_with("250"));
    assert!(numbers(&server, BOB).contains(&2));
    assert_eq!(numbers(&server, ANN), [1]);
    // A start on a disk that cannot be read forgets no keys: see `keysets`.
    server.stop();
    server.start();
    assert_eq!(numbers(&server, ANN), [1]);
}

#[test]
fn the_disk_of_tests_fails_where_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("at");
    let Some(disk) = Disk::mount(&at, &folder.path().join("below")) else { return };
    let file = at.join("file");
    std::fs::write(&file, "kept").unwrap();
    std::fs::File::open(&file).unwrap().sync_all().unwrap();
    std::fs::File::open(&at).unwrap().sync_all().unwrap();
    std::fs::write(at.join("new"), "lost").unwrap();
    disk.set(Trouble::NO_SYNCS);
    assert!(std::fs::File::open(&file).unwrap().sync_all().is_err());
    disk.set(Trouble::FULL);
    assert!(std::fs::write(at.join("more"), "x").is_err());
    assert_eq!(rustix::fs::statvfs(&at).unwrap().f_bavail, 0);
    assert!(disk.power_cut(1) > 0);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept");
    assert!(!at.join("new").exists());
}
