//! A purge out of an S3 bucket: what it refuses to remove is named, what is away is waited for, other mailboxes stay.

use super::ship::{archive_of, deliver, holds};
use super::*;
use crate::harness::s3::Trouble;
use crate::purge::{purged, refused};

/// Keys of everything of a mailbox.
fn objects(remote: &Remote, id: &str) -> Vec<PathBuf> {
    files(&remote.folder()).into_iter().filter(|path| path.to_str().unwrap().contains(id)).collect()
}

/// The mailbox is declared no more.
fn delete(server: &Server, manifests: &Manifests, n: usize) {
    let text = manifests.read("mailboxes.yaml");
    let name = format!("name: u{n}}}");
    let kept: Vec<&str> = text.split("---\n").filter(|part| !part.contains(&name)).collect();
    manifests.write("mailboxes.yaml", &kept.join("---\n"));
    wait_finding(server, &[&format!("Mailbox/u{n} has no manifest")]);
    assert!(server.sealpost(&["delete", "Mailbox", &format!("u{n}")]).status.success());
}

#[test]
fn objects_that_a_bucket_keeps_are_named_one_that_is_away_is_waited_for_and_others_stay() {
    let remote = Remote::start();
    let manifests = remote.manifests(3, 1);
    let server = start(&manifests);
    for n in 0..3 {
        deliver(&server, n, 1, 0..3);
    }
    wait_archived(&server);
    let ids: Vec<String> = (0..3).map(|n| mailbox(&server, n)).collect();
    assert!(ids.iter().all(|id| objects(&remote, id).len() >= 3), "all of them are there before");

    delete(&server, &manifests, 0);
    remote.server.way.set(Trouble::Keeps(403, "AccessDenied"));
    let output = server.sealpost(&["purge", &address(0), "--yes", &address(0)]);
    let said = refused(&output);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("is not gone everywhere") && text.contains(" remain"), "{text}");
    assert!(remote.server.way.felt() > 0);
    let words = ["ObjectsRemain", "objects remain in", ids[0].as_str(), "AccessDenied", "purge it again"];
    assert!(words.iter().all(|word| said.contains(word)), "{said}");
    let volume = server.state().join("shard-0/mailboxes").join(&ids[0][..2]).join(&ids[0]);
    assert!(!volume.exists() && objects(&remote, &ids[0]).len() >= 3, "the volume lets it go, the bucket does not");
    wait_finding(&server, &["purged, but not everywhere", &format!("sealpost purge {}", ids[0])]);

    remote.server.way.set(Trouble::None);
    let report = purged(&server, &ids[0]);
    assert_eq!(objects(&remote, &ids[0]), Vec::<PathBuf>::new());
    assert!(report["purged"]["buckets"][0]["objects"].as_u64().unwrap() >= 3, "{report}");
    assert!(report["purged"]["files"].as_u64().unwrap() >= 2, "what went before is counted: {report}");
    wait_until("it is told no more", || !findings(&server).iter().any(|it| it.contains("not everywhere")));

    delete(&server, &manifests, 1);
    remote.server.way.set(Trouble::Away);
    std::thread::scope(|threads| {
        let purge = threads.spawn(|| purged(&server, &address(1)));
        wait_until("it waits for the bucket", || {
            server.status()["runs"].to_string().contains("waiting for the bucket") && remote.server.way.felt() > 2
        });
        remote.server.way.set(Trouble::None);
        purge.join().unwrap();
    });
    assert_eq!(objects(&remote, &ids[1]), Vec::<PathBuf>::new());
    holds(&remote, &archive_of(&remote, &ids[2]), &[(1, 0..3)]);
    let mut verify = crate::harness::sealpost();
    verify.args(["bucket", "verify", "--url", &format!("file://{}", remote.folder().display())]);
    assert!(verify.output().unwrap().status.success());
}
