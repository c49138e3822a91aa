//! Whoever owns the bucket can destroy archives. Nothing he changed comes out of them unseen.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Left, bucket, copy, objects};
use crate::export::files::{export, failed, json, succeeded};

const CAROL: &str = "carol@example.org";

/// A tampered copy of the bucket is refused by both commands, with the name of the object and what can still be restored;
/// a moment before is fetched.
fn refused(left: &Left, case: &str, named: &Path, tamper: impl Fn(&Path)) {
    let folder = left.path(case);
    copy(&left.bucket(), &folder);
    tamper(&folder);
    let id = left.id(CAROL);
    let name = named.file_name().unwrap().to_str().unwrap();

    let verified = bucket(&["verify", &id], &folder);
    failed(&verified);
    let told = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(told.contains(name), "{case}: {name} is not named: {told}");
    assert!(told.contains("can be restored from"), "{case}: {told}");

    let out = left.path(&format!("{case}.out"));
    let told = failed(&bucket(&["fetch", &id, "--out", out.to_str().unwrap()], &folder));
    assert!(told.contains(name), "{case}: {name} is not named: {told}");
    assert!(told.contains("can be restored"), "{case}: {told}");
    assert!(!out.exists() && !out.with_extension("out.incomplete").exists(), "{case} left something");

    let middle = left.middle.to_string();
    succeeded(&bucket(&["fetch", &id, "--at", &middle, "--out", out.to_str().unwrap()], &folder));
    let mail = left.path(&format!("{case}.mail"));
    succeeded(&export(&out, "tulip", "eml", &mail));
    let told = json(&mail);
    let inbox = told["messages"].as_array().unwrap().iter().filter(|message| message["folder"] == "INBOX");
    assert_eq!(inbox.count(), 2 * super::MESSAGES, "{case}");
    for done in [folder, out, mail] {
        fs::remove_dir_all(done).unwrap();
    }
}

fn flip(path: &Path, at: impl Fn(usize) -> usize) {
    let mut bytes = fs::read(path).unwrap();
    let at = at(bytes.len());
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn what_was_tampered_with_is_refused_by_name_and_an_earlier_moment_is_there() {
    let left = Left::of_two_lives();
    let id = left.id(CAROL);
    let mailbox = id.split('/').nth(1).unwrap();
    let below = |path: &PathBuf| path.strip_prefix(left.bucket()).unwrap().to_owned();
    let of = |part: &str| -> Vec<PathBuf> {
        let part = format!("/{mailbox}/t0001/{part}/");
        objects(&left.bucket()).into_iter().filter(|path| path.to_str().unwrap().contains(&part)).collect()
    };
    // Those that came after the middle; the last one cannot be missed by who does not know of it.
    let segments: Vec<PathBuf> = of("mailbox/wal").iter().filter(|path| !left.then.contains(path)).map(below).collect();
    let [first, second, third, ..] = &segments[..] else { panic!("{segments:?}") };
    let manifests: Vec<PathBuf> = of("manifest").iter().map(below).collect();
    assert!(manifests.len() > 2, "{manifests:?}");

    refused(&left, "a flipped bit", second, |folder| flip(&folder.join(second), |size| size - 100));
    refused(&left, "a flipped bit of a header", second, |folder| flip(&folder.join(second), |_| 100));
    refused(&left, "a swapped object", first, |folder| {
        fs::rename(folder.join(first), folder.join("aside")).unwrap();
        fs::rename(folder.join(second), folder.join(first)).unwrap();
        fs::rename(folder.join("aside"), folder.join(second)).unwrap();
    });
    refused(&left, "a replayed object", second, |folder| {
        fs::copy(folder.join(first), folder.join(second)).unwrap();
    });
    refused(&left, "a truncated segment", second, |folder| {
        let bytes = fs::read(folder.join(second)).unwrap();
        fs::write(folder.join(second), &bytes[..bytes.len() - 1]).unwrap();
    });
    // What is gone has no name any more: it is said what does not follow.
    refused(&left, "a removed segment", third, |folder| fs::remove_file(folder.join(second)).unwrap());
    refused(&left, "a removed manifest", &manifests[2], |folder| fs::remove_file(folder.join(&manifests[1])).unwrap());
    // Nothing that is restored now needs them.
    let snapshots = of("snapshots");
    assert!(snapshots.len() > 1, "{snapshots:?}");
    for snapshot in &snapshots[..2] {
        flip(snapshot, |size| size / 2);
        let verified = bucket(&["verify", &id], &left.bucket());
        failed(&verified);
        let name = snapshot.file_stem().unwrap().to_str().unwrap();
        assert!(String::from_utf8_lossy(&verified.stdout).contains(name), "{verified:?}");
        flip(snapshot, |size| size / 2);
    }
    assert!(succeeded(&bucket(&["verify", &id], &left.bucket())).contains("whole: "));
}
