//! Two that write to one prefix: a stranger, an owner that comes back too late, a volume that is found again.

use super::ship::{archive_of, deliver, holds};
use super::*;

#[test]
fn an_owner_that_comes_back_writes_nothing_and_a_volume_that_is_found_again_goes_on_behind_the_other() {
    let remote = Remote::start();
    let manifests = remote.manifests(2, 1);
    let mut server = start(&manifests);
    let id = mailbox(&server, 0);
    deliver(&server, 0, 1, 0..3);
    wait_archived(&server);
    server.stop();
    let kept = tempfile::tempdir().unwrap();
    let copied = std::process::Command::new("cp").arg("-a").arg(server.state()).arg(kept.path().join("old")).status();
    assert!(copied.unwrap().success());
    std::fs::remove_dir_all(server.state().join("shard-0")).unwrap();
    server.start();
    deliver(&server, 0, 2, 0..2);
    wait_archived(&server);
    let second = archive_of(&remote, &id);
    assert_eq!(second.timeline, 2);
    let before = files(&remote.folder());

    // The one before was only away. It has a volume, a key that signs, and mail that is in no archive.
    let old = Options::manifests(manifests.path()).s3().start_on(&kept.path().join("old"));
    deliver(&old, 0, 3, 0..2);
    wait_finding(&old, &["BackupPolicy/daily", "ForeignWriter", "term 2 owns"]);
    wait_finding(&old, &["BackupPolicy/daily", "Behind"]);
    assert_eq!(files(&remote.folder()), before, "it writes nothing");
    holds(&remote, &second, &[(2, 0..2)]);
    let volume = old.state().join("shard-0");
    let mut old = old;
    old.stop();

    // Somebody decides for the volume that was found: it gets the next term, and a timeline behind the other's.
    server.stop();
    std::fs::remove_dir_all(server.state().join("shard-0")).unwrap();
    let copied = std::process::Command::new("cp").arg("-a").arg(volume).arg(server.state()).status().unwrap();
    assert!(copied.success());
    server.start();
    wait_archived(&server);
    deliver(&server, 0, 4, 0..2);
    wait_archived(&server);
    let third = archive_of(&remote, &id);
    assert_eq!(third.timeline, 3);
    holds(&remote, &third, &[(1, 0..3), (3, 0..2), (4, 0..2)]);
    holds(&remote, &second, &[(2, 0..2)]);
}

#[test]
fn what_a_stranger_put_into_the_prefix_is_told_and_goes_on_when_it_is_gone() {
    let remote = Remote::start();
    let manifests = remote.manifests(2, 1);
    let server = start(&manifests);
    let id = mailbox(&server, 0);
    deliver(&server, 0, 1, 0..3);
    deliver(&server, 1, 1, 0..1);
    wait_archived(&server);
    let manifest = |path: &PathBuf| path.to_str().unwrap().contains(&format!("/{id}/t0001/manifest/"));
    let last = files(&remote.folder()).into_iter().rfind(manifest).unwrap();
    let number: u64 = last.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let next = last.with_file_name(format!("{:010}.json", number + 1));
    std::fs::write(&next, "not ours").unwrap();
    deliver(&server, 0, 1, 3..5);
    wait_archived(&server);

    // A base for the locked mailbox needs a manifest.
    let mut backup = crate::harness::sealpost();
    backup.args(["backup", &address(0), "--state"]).arg(server.state());
    let mut backup = backup.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    wait_finding(&server, &["BackupPolicy/daily", "ForeignWriter", "written by somebody else"]);
    // The other mailbox goes on, and does not hide it.
    deliver(&server, 1, 1, 1..3);
    let other = mailbox(&server, 1);
    wait_until("the other mailbox is archived", || {
        let archive = archive_of(&remote, &other);
        let (_, reached) = remote.assemble(&remote.bucket(), &archive, Target::Latest).unwrap();
        reached.spool.unwrap().commit >= 3
    });
    wait_finding(&server, &["BackupPolicy/daily", "ForeignWriter"]);
    std::fs::remove_file(&next).unwrap();
    assert!(backup.wait().unwrap().success());
    wait_archived(&server);
    wait_until("nothing is left to say", || !findings(&server).iter().any(|it| it.contains("ForeignWriter")));
    holds(&remote, &archive_of(&remote, &id), &[(1, 0..5)]);
    holds(&remote, &archive_of(&remote, &other), &[(1, 0..3)]);
}
