//! Volumes that take each other's place: keys and timelines of both are told apart.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use sidecar::assemble::Target;
use sidecar::bucket::{Bucket, Memory};
use sidecar::format::DataFile;

use crate::volume::*;

fn keys(digit: char, version: u64) -> String {
    let keyset: String = std::iter::repeat_n(digit, 32).collect();
    format!(r#"{{"format":1,"version":{version},"keysetId":"{keyset}"}}"#)
}

fn written(folder: &Path) -> String {
    fs::read_to_string(folder.join("keys.json")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_archive_comes_back_with_the_newest_keys_of_its_own_keyset() {
    let bucket: Arc<dyn Bucket> = Arc::new(Memory::default());
    let mut lost = Volume::new(bucket.clone()).await;
    for version in 1..=3 {
        fs::write(lost.folder().join("keys.json"), keys('a', version)).unwrap();
        lost.mailbox.transaction("INSERT INTO t(filler) VALUES (randomblob(3000))");
        lost.tell(DataFile::Mailbox);
        lost.ship().await;
    }
    // The volume is gone. What is made in its place has other keys, whose versions begin again.
    let mut made = Volume::new(bucket).await;
    for version in 1..=4 {
        fs::write(made.folder().join("keys.json"), keys('b', version)).unwrap();
        made.ship().await;
        // What is remembered may be lost as well.
        if version == 2 {
            made.restart();
            fs::remove_dir_all(made.dir.path().join("sidecar")).unwrap();
        }
    }
    assert_eq!(made.state.as_ref().unwrap().archive.timeline, 2);
    let (done, dir) = made.assemble(Target::Latest, 2).await.unwrap();
    assert_eq!((done.keys, written(dir.path())), (Some(4), keys('b', 4)));
    let (done, dir) = made.assemble(Target::Latest, 1).await.unwrap();
    assert_eq!((done.keys, written(dir.path())), (Some(3), keys('a', 3)));
    assert_eq!(done.damages, vec![]);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_went_back_and_forward_again_are_told_and_not_stored_beside_themselves() {
    let bucket: Arc<dyn Bucket> = Arc::new(Memory::default());
    let mut volume = Volume::new(bucket).await;
    fs::write(volume.folder().join("keys.json"), keys('a', 3)).unwrap();
    volume.ship().await;
    volume.restart();
    fs::remove_dir_all(volume.dir.path().join("sidecar")).unwrap();
    let other = keys('a', 3).replace("\"format\":1", "\"format\":1,\"other\":true");
    fs::write(volume.folder().join("keys.json"), other).unwrap();
    let troubles = volume.ship().await;
    assert!(troubles.iter().any(|(kind, why)| *kind == "Damaged" && why.contains("version 3")), "{troubles:?}");
    let (_, dir) = volume.assemble(Target::Latest, 1).await.unwrap();
    assert_eq!(written(dir.path()), keys('a', 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_gets_its_shard_back_goes_on_behind_what_was_written_meanwhile() {
    let bucket: Arc<dyn Bucket> = Arc::new(Memory::default());
    let mut first = Volume::new(bucket.clone()).await;
    first.ship().await;
    first.restart();
    let mut second = Volume::new(bucket).await;
    second.term = 2;
    second.ship().await;
    assert_eq!(second.state.as_ref().unwrap().archive.timeline, 2);

    first.term = 3;
    first.mailbox.transaction("INSERT INTO t(filler) VALUES (randomblob(3000))");
    first.tell(DataFile::Mailbox);
    first.tell(DataFile::Spool);
    first.ship().await;
    let state = first.state.as_ref().unwrap();
    assert_eq!(state.archive.timeline, 3, "the second one's mail is older than this");
    let (_, dir) = first.assemble(Target::Latest, 3).await.unwrap();
    assert_eq!(commits(&dir, DataFile::Mailbox), first.mailbox.commit);
    // Nothing has changed hands since: no timeline begins.
    first.restart();
    first.mailbox.transaction("INSERT INTO t(filler) VALUES (randomblob(3000))");
    first.tell(DataFile::Mailbox);
    first.ship().await;
    assert_eq!(first.state.as_ref().unwrap().archive.timeline, 3);
}
