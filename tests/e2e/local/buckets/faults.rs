//! A bucket that is away, slow, broken, full, closed; a volume that is full: it is told while it lasts, it is over when it is
//! over, and no commit is missing that is not told as missing.

use std::time::{Duration, Instant};

use super::ship::{archive_of, deliver, holds};
use super::*;
use crate::harness::disk::{ENOSPC, Trouble as DiskTrouble};
use crate::harness::s3::Trouble;

/// A lag of a second, its measurement, two reports on the way, and a machine that has other things to do.
const SOON: Duration = Duration::from_secs(15);

fn none_is_missing(server: &Server) {
    let bad = findings(server).into_iter().filter(|it| ["Gap", "Fork", "Damaged"].iter().any(|bad| it.contains(bad)));
    assert_eq!(bad.collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn whatever_is_wrong_with_the_bucket_is_told_in_time_and_over_when_it_is_over() {
    let cases = [
        (Trouble::Away, "BucketUnreachable"),
        (Trouble::Answers(500, "InternalError"), "BucketUnreachable"),
        (Trouble::Refuses(503, "SlowDown"), "BucketUnreachable"),
        (Trouble::Answers(403, "AccessDenied"), "AccessDenied"),
        (Trouble::Answers(403, "RequestTimeTooSkewed"), "ClockSkew"),
        (Trouble::Answers(404, "NoSuchBucket"), "BucketNotFound"),
        (Trouble::Refuses(507, "XMinioStorageFull"), "BucketFull"),
        (Trouble::Torn(12 << 10), "BucketUnreachable"),
        // What comes slowly comes.
        (Trouble::Slow(1 << 10), "Behind"),
    ];
    let remote = Remote::start();
    let manifests = remote.manifests(2, 1);
    let server = start(&manifests);
    let mut open = server.imap(&address(1), PASSWORD);
    for to in 0..2 {
        deliver(&server, to, 1, 0..5);
    }
    wait_archived(&server);
    for (round, (trouble, reason)) in cases.into_iter().enumerate() {
        let numbers = 5 + 10 * round..5 + 10 * (round + 1);
        remote.server.way.set(trouble);
        let begun = Instant::now();
        for to in 0..2 {
            deliver(&server, to, 1, numbers.clone());
        }
        wait_finding(&server, &["BackupPolicy/daily", reason]);
        let told = begun.elapsed();
        wait_finding(&server, &["BackupPolicy/daily", "Behind"]);
        assert!(remote.server.way.felt() > 0, "{trouble:?} was not felt");
        assert!(backup(&server)["pendingBytes"].as_u64().unwrap() > 0, "{trouble:?}");
        remote.server.way.set(Trouble::None);
        let over = Instant::now();
        wait_archived(&server);
        println!("{trouble:?}: told as {reason} after {told:.1?}, over after {:.1?}", over.elapsed());
        assert!(told < SOON, "{trouble:?} was told after {told:?}");
        none_is_missing(&server);
    }
    // Answers that are lost: what was stored is stored again, and is found to be the same.
    remote.server.way.set(Trouble::Mute);
    for to in 0..2 {
        deliver(&server, to, 1, 95..105);
    }
    wait_until("answers are lost", || remote.server.way.felt() > 2);
    wait_archived(&server);
    remote.server.way.set(Trouble::None);
    none_is_missing(&server);
    wait_until("nothing is left to say", || !findings(&server).iter().any(|it| it.contains("BackupPolicy")));
    assert_eq!(open.count("INBOX"), 105);
    let newest = remote.newest();
    assert!(newest.len() == 2 && newest.iter().all(|archive| archive.timeline == 1), "{newest:?}");
    for archive in &newest {
        holds(&remote, archive, &[(1, 0..105)]);
    }
}

#[test]
fn credentials_that_have_expired_are_told_and_renewed_ones_count_without_a_restart() {
    let remote = Remote::start();
    let manifests = remote.manifests(1, 1);
    let server = start(&manifests);
    deliver(&server, 0, 1, 0..3);
    wait_archived(&server);
    let sidecar = server.pid("sidecar-0");
    remote.server.keys.renew("a fresh secret, with its own forty characters");
    deliver(&server, 0, 1, 3..6);
    let said = wait_finding(&server, &["BackupPolicy/daily", "AccessDenied"]);
    assert!(said.contains("check the credentials"), "{said}");
    manifests.write("policy.yaml", &remote.policy(1, "a fresh secret, with its own forty characters"));
    wait_archived(&server);
    assert_eq!(server.pid("sidecar-0"), sidecar, "nothing was started again");
    none_is_missing(&server);
    std::fs::write(
        remote.server.credentials().join("secretAccessKey"),
        "a fresh secret, with its own forty characters",
    )
    .unwrap();
    let id = mailbox(&server, 0);
    holds(&remote, &archive_of(&remote, &id), &[(1, 0..6)]);
}

/// A message that takes as much room as it has octets.
pub fn large(seed: usize) -> Vec<u8> {
    let mut state = seed as u64 + 1;
    let mut message =
        format!("From: <a@elsewhere.example>\r\nMessage-ID: <large.{seed}@load.example>\r\n\r\n").into_bytes();
    while message.len() < 6 << 20 {
        for _ in 0..64 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            message.push(b'!' + (state >> 57) as u8 % 94);
        }
        message.extend(b"\r\n");
    }
    message
}

/// Bytes of the WALs on a volume.
fn wals(volume: &Path) -> u64 {
    let wal = |path: &PathBuf| path.to_str().unwrap().ends_with("-wal");
    files(&volume.join("mailboxes"))
        .iter()
        .filter(|path| wal(path))
        .filter_map(|path| path.metadata().ok())
        .map(|it| it.len())
        .sum()
}

#[test]
fn while_the_bucket_is_away_wals_are_capped_no_mail_is_refused_and_what_was_let_go_is_told_as_a_gap() {
    let remote = Remote::start();
    let manifests = remote.manifests(1, 1);
    // The floor is 256 MiB: where less than twice that is free the primary folds WALs in alone.
    let Some(server) = Options::manifests(manifests.path()).s3().small_volume(560 << 20) else { return };
    let mut open = server.imap(&address(0), PASSWORD);
    open.append("INBOX", &large(0));
    wait_archived(&server);
    remote.server.way.set(Trouble::Away);
    let mut most = 0;
    for n in 1..16 {
        open.append("INBOX", &large(n));
        most = most.max(wals(&server.volume()));
    }
    assert!(remote.server.way.felt() > 0);
    assert!((20 << 20..100 << 20).contains(&most), "WALs grew to {} MiB", most >> 20);
    wait_finding(&server, &["BackupPolicy/daily", "BucketUnreachable"]);
    remote.server.way.set(Trouble::None);
    wait_finding(&server, &["Gap", "commits"]);
    open.append("INBOX", &large(16));
    wait_archived(&server);
    let id = mailbox(&server, 0);
    let archive = archive_of(&remote, &id);
    assert_eq!(archive.timeline, 1);
    let (dir, assembled) = remote.assemble(&remote.bucket(), &archive, Target::Latest).unwrap();
    assert_eq!(super::opened::Keys::of(dir.path()).open(dir.path(), &assembled).len(), 17, "all that is there now");
}

#[test]
fn a_disk_that_is_full_while_a_copy_is_made_or_a_wal_grows_costs_that_copy_and_no_mail() {
    let remote = Remote::start();
    let manifests = remote.manifests(2, 1);
    let server = Options::manifests(manifests.path()).s3().disk().start();
    let Some(disk) = &server.disk else { return };
    let mut open = server.imap(&address(1), PASSWORD);
    for to in 0..2 {
        deliver(&server, to, 1, 0..5);
    }
    wait_archived(&server);

    // In the middle of VACUUM INTO.
    server.faults.arm("primary", "snapshot.folded.after", "pause");
    let mut backup = crate::harness::sealpost();
    backup.args(["backup", &address(1), "--state"]).arg(server.state());
    let backup = backup.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    wait_until("the copy is about to be made", || server.faults.hit("snapshot.folded.after"));
    let refused = disk.refused();
    disk.set(DiskTrouble { writes: ENOSPC, ..DiskTrouble::NONE });
    server.faults.disarm("snapshot.folded.after");
    wait_until("the disk is felt to be full", || disk.refused() > refused);
    disk.set(DiskTrouble::NONE);
    // It is made again, or whoever asked is told.
    let ended = backup.wait_with_output().unwrap();
    assert!(ended.status.success() || !ended.stderr.is_empty(), "{ended:?}");
    let staged = || files(&server.state().join("shard-0/staging"));
    wait_until("nothing is left of the copy", || staged().is_empty());

    // While WALs grow.
    for to in 0..2 {
        deliver(&server, to, 1, 5..10);
    }
    let refused = disk.refused();
    disk.set(DiskTrouble { writes: ENOSPC, ..DiskTrouble::NONE });
    for to in 0..2 {
        let reply = server.smtp().try_deliver("a@elsewhere.example", &[&address(to)], &super::load::numbered(1, 99));
        assert!(reply.as_ref().is_some_and(|reply| reply.starts_with("45")), "{reply:?}");
    }
    assert!(disk.refused() > refused);
    disk.set(DiskTrouble::NONE);
    let accepted = |to: usize| {
        let reply = server.smtp().try_deliver("a@elsewhere.example", &[&address(to)], &super::load::numbered(1, 10));
        reply.is_some_and(|reply| reply.starts_with("250"))
    };
    for to in 0..2 {
        wait_until("mail is taken again", || accepted(to));
    }
    wait_archived(&server);
    // After a failed write the primary folds the WAL in, copied or not; then that is told.
    let untold = findings(&server).into_iter().filter(|it| ["Fork", "Damaged"].iter().any(|bad| it.contains(bad)));
    assert_eq!(untold.collect::<Vec<_>>(), Vec::<String>::new());
    assert_eq!(open.count("INBOX"), 11);
    let again = server.sealpost(&["backup", &address(1)]);
    assert!(again.status.success(), "{again:?}");
    let newest = remote.newest();
    assert!(newest.iter().all(|archive| archive.timeline == 1), "{newest:?}");
    for archive in &newest {
        holds(&remote, archive, &[(1, 0..11)]);
    }
}
