//! A mailbox that was restored in its place: its archive goes on beside the one it had.

use std::fs;
use std::sync::Arc;

use control::{Adopt, AdoptMode, AdoptRecord, AdoptStep};
use sidecar::assemble::Target;
use sidecar::bucket::Memory;
use sidecar::format::DataFile;
use sidecar::ship::ShipError;

use crate::volume::*;

const INSERT: &str = "INSERT INTO t(filler) VALUES (randomblob(3000))";

/// As the primary does it: the files, and who they are of.
fn adopt(volume: &mut Volume, run: &str, commit: u64) {
    let bytes = volume.mailbox.copies[commit as usize].clone().unwrap();
    volume.mailbox.replace(&bytes, commit);
    note(volume, run, commit, AdoptStep::Done);
}

fn note(volume: &Volume, run: &str, commit: u64, step: AdoptStep) {
    let (run, folder) = (run.to_owned(), "restore".to_owned());
    let asked = Adopt { run, folder, mailbox: mailbox(), mode: AdoptMode::InPlace, commit };
    let record = AdoptRecord { format: 1, asked, step, replaced: None };
    fs::write(volume.folder().join("adopted.json"), serde_json::to_vec(&record).unwrap()).unwrap();
}

fn timeline(volume: &Volume) -> u32 {
    volume.state.as_ref().unwrap().archive.timeline
}

/// What the archive has is what the volume has.
async fn check(volume: &Volume) {
    let (done, dir) = volume.assemble(Target::Latest, timeline(volume)).await.unwrap();
    assert_eq!(
        (done.mailbox.unwrap().commit, commits(&dir, DataFile::Mailbox)),
        (volume.mailbox.commit, volume.mailbox.commit)
    );
    assert!(sound(&dir, DataFile::Mailbox) == *volume.mailbox.copies.last().unwrap().as_ref().unwrap());
    assert!(sound(&dir, DataFile::Spool) == *volume.spool.copies.last().unwrap().as_ref().unwrap());
    assert_eq!(done.damages, vec![]);
}

#[tokio::test]
async fn after_a_restore_in_place_the_archive_goes_on_in_another_timeline_with_the_restored_files() {
    let mut volume = Volume::recent(Arc::new(Memory::default())).await;
    for _ in 0..6 {
        volume.mailbox.transaction(INSERT);
        volume.tell(DataFile::Mailbox);
        volume.ship().await;
    }
    let whole = volume.mailbox.copies.clone();
    note(&volume, "a", 4, AdoptStep::Moved);
    assert!(matches!(volume.pass().await, Err(ShipError::Replaced { .. })), "nothing is read in the middle of it");

    // Nobody has its key, so nobody can be asked for the numbers of its commits.
    adopt(&mut volume, "a", 4);
    assert_eq!(volume.ship().await, vec![], "it is neither a fork nor a gap");
    assert_eq!(timeline(&volume), 2);
    check(&volume).await;
    // Another one before anything was committed: nothing but its name tells it from the first.
    volume.mailbox.copies.clone_from(&whole);
    adopt(&mut volume, "b", 2);
    volume.ship().await;
    assert_eq!(timeline(&volume), 3);
    check(&volume).await;

    volume.mailbox.open();
    for _ in 0..3 {
        volume.mailbox.transaction(INSERT);
        volume.tell(DataFile::Mailbox);
    }
    volume.ship().await;
    check(&volume).await;
    assert!(volume.fold(DataFile::Mailbox).await);
    volume.mailbox.transaction(INSERT);
    volume.tell(DataFile::Mailbox);
    // Whatever is forgotten, the bucket says which restore this timeline is of.
    volume.restart();
    let _ = fs::remove_dir_all(volume.dir.path().join("sidecar"));
    volume.tell(DataFile::Mailbox);
    volume.ship().await;
    assert_eq!(timeline(&volume), 3);
    check(&volume).await;

    let (_, dir) = volume.assemble(Target::Latest, 1).await.unwrap();
    assert!(sound(&dir, DataFile::Mailbox) == *whole.last().unwrap().as_ref().unwrap(), "the first one is as it was");
}

#[tokio::test]
async fn a_mailbox_that_was_made_from_an_archive_begins_its_own_with_the_commit_it_was_restored_to() {
    let mut volume = Volume::recent(Arc::new(Memory::default())).await;
    for _ in 0..3 {
        volume.mailbox.transaction(INSERT);
    }
    adopt(&mut volume, "a", 3);
    volume.ship().await;
    assert_eq!(timeline(&volume), 1);
    check(&volume).await;
}
