//! `up --buckets s3`: mail goes to the bucket that the policy names, and comes back from there; a lost volume ends nothing.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use sidecar::assemble::Target;
use sidecar::bucket::Folder;

use super::load::{hashes, numbered};
use super::opened::Keys;
use super::*;
use crate::harness::sealpost;
use crate::restore::restored;

fn succeeded(output: &std::process::Output) {
    assert!(output.status.success(), "{output:?}");
}

/// Delivers numbered messages of a round.
pub fn deliver(server: &Server, to: usize, round: usize, numbers: std::ops::Range<usize>) {
    let mut smtp = server.smtp();
    for n in numbers {
        smtp.deliver("a@elsewhere.example", &[&address(to)], &numbered(round, n));
    }
}

/// Asserts that an archive holds exactly these messages.
pub fn holds(remote: &Remote, archive: &ArchiveId, expected: &[(usize, std::ops::Range<usize>)]) {
    let (dir, assembled) = remote.assemble(&remote.bucket(), archive, Target::Latest).unwrap();
    let bodies = Keys::of(dir.path()).open(dir.path(), &assembled);
    let sent: Vec<Vec<u8>> =
        expected.iter().flat_map(|(round, numbers)| numbers.clone().map(|n| numbered(*round, n))).collect();
    let expected = sent.iter().map(|message| (sidecar::format::Sha256::of(message), 1)).collect();
    assert_eq!(hashes(&bodies), expected, "{archive}");
}

pub fn archive_of(remote: &Remote, mailbox: &str) -> ArchiveId {
    remote.newest().into_iter().find(|archive| archive.mailbox.to_string() == mailbox).unwrap()
}

fn owners(remote: &Remote) -> Vec<PathBuf> {
    files(&remote.folder()).into_iter().filter(|path| path.to_str().unwrap().contains("/owner/")).collect()
}

/// All of it, against any S3 server.
fn goes_there_and_comes_back(remote: &Remote, objects: impl Fn(&Remote) -> usize) {
    let manifests = remote.manifests(2, 1);
    manifests.write(
        "bob.yaml",
        "apiVersion: sealpost.dev/v1alpha1\nkind: Mailbox\nmetadata: {name: bob}\nspec: {address: bob@example.org}\n",
    );
    let mut server = start(&manifests);
    let open = server.imap(&address(1), PASSWORD);
    deliver(&server, 0, 1, 0..3);
    deliver(&server, 1, 1, 3..6);
    drop(open);
    wait_archived(&server);
    assert!(objects(remote) > 5);
    assert!(!server.state().join("bucket").exists(), "nothing goes to a folder");

    let credentials = server.state().join("run/credentials");
    for name in ["accessKeyId", "secretAccessKey", "ca.crt"] {
        let mode = std::fs::metadata(credentials.join(format!("daily.{name}"))).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let holding = |path: &PathBuf| memchr::memmem::find(&std::fs::read(path).unwrap(), SECRET.as_bytes()).is_some();
    let holding: Vec<PathBuf> = files(&server.state()).into_iter().filter(holding).collect();
    assert_eq!(holding, [credentials.join("daily.secretAccessKey")], "nobody else is told");

    let ids: Vec<String> = (0..2).map(|n| mailbox(&server, n)).collect();
    server.crash();
    std::fs::remove_dir_all(server.state().join("shard-0")).unwrap();
    server.start();
    // The mailboxes have other keys now, and the shard another term: archives go on beside those before.
    deliver(&server, 0, 2, 0..2);
    deliver(&server, 1, 2, 2..4);
    wait_archived(&server);
    assert_eq!(findings(&server).iter().filter(|it| it.contains("BackupPolicy")).count(), 0);
    let bucket = remote.bucket();
    let archives = remote.run(async {
        let root = roots(&bucket).await.unwrap().remove(0);
        archives(&bucket, &root).await.unwrap()
    });
    for (id, first, second) in [(&ids[0], 0..3, 0..2), (&ids[1], 3..6, 2..4)] {
        let of: Vec<&ArchiveId> = archives.iter().filter(|one| one.mailbox.to_string() == **id).collect();
        let [before, after] = of[..] else { panic!("{archives:?}") };
        holds(remote, before, &[(1, first)]);
        holds(remote, after, &[(2, second)]);
    }

    // What was lost comes back to a mailbox that has no keys yet.
    let lost = archives.iter().find(|one| one.mailbox.to_string() == ids[1] && one.timeline == 1).unwrap();
    restored(&server, &[&lost.to_string(), "--to", "bob@example.org"]);
    let mut bob = server.imap("bob@example.org", PASSWORD);
    assert_eq!(bob.count("INBOX"), 3);
}

#[test]
fn with_s3_buckets_mail_goes_where_the_policy_says_and_a_lost_volume_ends_nothing() {
    let remote = Remote::start();
    goes_there_and_comes_back(&remote, |remote| files(&remote.folder()).len());
    let terms: Vec<String> =
        owners(&remote).iter().map(|it| it.file_name().unwrap().to_str().unwrap().into()).collect();
    assert_eq!(terms, ["0000000001.json", "0000000002.json"]);
    // The page of Python finds the right keys, too.
    if crate::harness::have("python3") && crate::harness::have("zstd") {
        for archive in remote.newest() {
            let out = tempfile::tempdir().unwrap();
            let (ours, _) = remote.assemble(&Folder::new(remote.folder()), &archive, Target::Latest).unwrap();
            let mut python = std::process::Command::new("python3");
            python.arg(crate::harness::project("docs/examples/restore.py")).arg(remote.folder());
            let done = python.arg(archive.to_string()).arg(out.path().join("out")).output().unwrap();
            succeeded(&done);
            let keys = |folder: &Path| std::fs::read(folder.join("keys.json")).unwrap();
            assert!(keys(&out.path().join("out")) == keys(ours.path()), "{archive}");
        }
    }
    let mut verify = sealpost();
    verify.args(["bucket", "verify", "--url", &format!("file://{}", remote.folder().display())]);
    succeeded(&verify.output().unwrap());
}

/// `SEALPOST_MINIO` names the executable; docs/testing.md says how to get one.
#[test]
#[ignore = "needs MinIO"]
fn the_same_with_minio() {
    let executable = PathBuf::from(std::env::var_os("SEALPOST_MINIO").expect("SEALPOST_MINIO names the executable"));
    let remote = Remote::minio(&executable);
    goes_there_and_comes_back(&remote, |remote| {
        remote.run(sidecar::bucket::list_all(&remote.bucket(), "")).unwrap().len()
    });
}
