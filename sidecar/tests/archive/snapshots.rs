//! Snapshots: made beside the archive, named by it, thinned out, and restored where nothing else reaches.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use model::backup::{ArchiveId, Retention};
use sidecar::assemble::{AssembleError, Source, Target, newest_snapshot};
use sidecar::bucket::{Bucket, Memory, Unreliable, list_all};
use sidecar::format::{DataFile, Fault, Name, Sha256, SnapshotPart, SnapshotRecord};
use sidecar::ship::{Rules, ShipError, Uploaded, at_rest, digest};

use crate::volume::*;

/// What the primary would stage now, and its record.
fn staged(volume: &Volume) -> (PathBuf, SnapshotRecord) {
    let path = volume.dir.path().join("staged.sqlite");
    volume.mailbox.vacuum_into(&path);
    let bytes = fs::read(&path).unwrap();
    let time = volume.mailbox.time_of(volume.mailbox.commit);
    let record = SnapshotRecord {
        commit: volume.mailbox.commit,
        since: time,
        time,
        size: bytes.len() as u64,
        sha256: Sha256::of(&bytes),
        schema: 1,
        messages: 0,
    };
    (path, record)
}

/// A snapshot in the bucket, and in the archive; as a turn does it, however often the bucket fails.
async fn snapshot(volume: &mut Volume) -> SnapshotRecord {
    let (path, record) = staged(volume);
    volume.ship().await;
    let archive = volume.state.as_ref().unwrap().archive.clone();
    let uploaded = loop {
        if let Ok(uploaded) = volume.shipper().upload_snapshot(&archive, record.clone(), &path).await {
            break uploaded;
        }
    };
    note(volume, &uploaded).await;
    record
}

async fn note(volume: &mut Volume, uploaded: &Uploaded) -> bool {
    let mut state = volume.state.take().unwrap();
    let noted = loop {
        if let Ok(noted) = volume.shipper().note_snapshot(&mut state, uploaded).await {
            break noted;
        }
    };
    volume.state = Some(state);
    noted
}

/// So many commits, a new life of the WAL and a base behind each, and a snapshot of each.
async fn archive(bucket: Arc<dyn Bucket>, commits: u64) -> (Volume, Vec<SnapshotRecord>) {
    let mut volume = Volume::new(bucket).await;
    let mut records = Vec::new();
    for _ in 0..commits {
        volume.mailbox.transaction("INSERT INTO t(filler) VALUES (randomblob(1000))");
        volume.tell(DataFile::Mailbox);
        volume.spool.transaction("INSERT INTO t(filler) VALUES (randomblob(1000))");
        volume.tell(DataFile::Spool);
        records.push(snapshot(&mut volume).await);
        assert!(volume.fold(DataFile::Mailbox).await && volume.fold(DataFile::Spool).await);
    }
    volume.ship().await;
    (volume, records)
}

fn rules(window: Timestamp, keep_last: u32) -> Rules {
    let retention = Retention { window_days: 1, keep_last, daily: 0, weekly: 0, monthly: 0 };
    Rules { now: Timestamp::now(), window, retention, zone: TimeZone::UTC, dry: false }
}

async fn retain(volume: &mut Volume, rules: &Rules) -> usize {
    let mut state = volume.state.take().unwrap();
    let removed = volume.shipper().retain(&mut state, rules, async || true).await.unwrap();
    volume.state = Some(state);
    removed.objects
}

async fn keys(bucket: &Memory) -> Vec<String> {
    list_all(bucket, "")
        .await
        .unwrap()
        .into_iter()
        .map(|entry| entry.key)
        .filter(|key| key.contains("/snapshots/"))
        .collect()
}

fn key(record: &SnapshotRecord, part: SnapshotPart) -> String {
    record.name(&ArchiveId { server: server(), mailbox: mailbox(), timeline: 1 }, part).key(&root())
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_window_the_newest_snapshot_at_or_before_the_time_is_restored() {
    let memory = Arc::new(Memory::default());
    let (mut volume, records) = archive(memory.clone(), 12).await;
    let rules = rules(volume.mailbox.time_of(10), 100);
    retain(&mut volume, &rules).await;
    assert_eq!(keys(&memory).await.len(), 24, "snapshots are kept by rules of their own");
    // Inside the window every commit, by base and segments.
    for commit in 10..=volume.mailbox.commit {
        let (done, dir) = volume.assemble(Target::Time(volume.mailbox.time_of(commit)), 1).await.unwrap();
        assert_eq!((done.snapshot, commits(&dir, DataFile::Mailbox)), (None, commit));
    }
    // Before it the snapshots.
    for record in records.iter().filter(|record| record.commit < 9) {
        for late in [0, 59] {
            let time = record.time + SignedDuration::from_secs(late);
            let (done, dir) = volume.assemble(Target::Time(time), 1).await.unwrap();
            assert_eq!(done.snapshot.as_ref(), Some(record));
            assert_eq!(done.mailbox.unwrap().commit, record.commit);
            sound(&dir, DataFile::Mailbox);
            assert_eq!(commits(&dir, DataFile::Mailbox), record.commit);
            assert_eq!((done.spool, done.keys), (None, Some(3)));
            assert_eq!(done.damages, []);
        }
    }
    let (done, _dir) = volume.assemble(Target::Commit(records[2].commit), 1).await.unwrap();
    assert_eq!(done.snapshot.as_ref(), Some(&records[2]));
    let before = records[0].time - SignedDuration::from_secs(1);
    let error = volume.assemble(Target::Time(before), 1).await.unwrap_err();
    assert!(matches!(error, AssembleError::Gone { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_without_its_note_does_not_count_and_a_damaged_one_gives_way_to_an_older_one() {
    let memory = Arc::new(Memory::default());
    let (mut volume, records) = archive(memory.clone(), 6).await;
    let rules = rules(volume.mailbox.time_of(6), 100);
    retain(&mut volume, &rules).await;
    let at = Target::Time(records[3].time);
    let restored = async || volume.assemble(at, 1).await.unwrap().0;
    let noted = memory.tamper(&key(&records[3], SnapshotPart::Record), None);
    assert_eq!(restored().await.snapshot.as_ref(), Some(&records[2]), "its upload may have been broken off");
    // Somebody else's note, and one of another snapshot.
    let other = memory.tamper(&key(&records[2], SnapshotPart::Record), None);
    memory.tamper(&key(&records[3], SnapshotPart::Record), other.clone());
    memory.tamper(&key(&records[2], SnapshotPart::Record), other);
    let done = restored().await;
    assert_eq!(done.snapshot.as_ref(), Some(&records[2]));
    assert!(matches!(done.damages[0].fault, Fault::Place(_)), "{:?}", done.damages);
    memory.tamper(&key(&records[3], SnapshotPart::Record), noted);
    let mut bytes = memory.tamper(&key(&records[3], SnapshotPart::Database), None).unwrap().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    memory.tamper(&key(&records[3], SnapshotPart::Database), Some(bytes.into()));
    let done = restored().await;
    assert_eq!(done.snapshot.as_ref(), Some(&records[2]));
    assert_eq!(done.damages[0].object, key(&records[3], SnapshotPart::Database));
    assert!(matches!(done.damages[0].fault, Fault::Content { .. }), "{:?}", done.damages);
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_thins_snapshots_out_names_the_rest_and_leaves_what_is_on_its_way() {
    let memory = Arc::new(Memory::default());
    let (mut volume, records) = archive(memory.clone(), 8).await;
    // Two that nobody names: one was broken off long ago, one is on its way.
    let (path, mut stray) = staged(&volume);
    let archive = volume.state.as_ref().unwrap().archive.clone();
    stray.time += SignedDuration::from_secs(1);
    volume.shipper().upload_snapshot(&archive, stray.clone(), &path).await.unwrap();
    let mut rules = rules(volume.mailbox.time_of(1), 3);
    assert_eq!(retain(&mut volume, &rules).await, 10, "five snapshots with their notes");
    let named = &volume.state.as_ref().unwrap().manifest.snapshots;
    assert_eq!(named, &records[5..]);
    assert_eq!(keys(&memory).await.len(), 7);
    rules.now += SignedDuration::from_hours(25);
    assert_eq!(retain(&mut volume, &rules).await, 1);
    assert!(!keys(&memory).await.contains(&key(&stray, SnapshotPart::Database)));
    assert_eq!(retain(&mut volume, &rules).await, 0);
    // What is remembered is older than the bucket: the manifest there names one more.
    let before = volume.state.clone();
    volume.mailbox.transaction("INSERT INTO t(filler) VALUES (randomblob(1000))");
    volume.tell(DataFile::Mailbox);
    let newest = snapshot(&mut volume).await;
    volume.state = before;
    rules.retention.keep_last = 4;
    assert_eq!(retain(&mut volume, &rules).await, 0);
    assert!(keys(&memory).await.contains(&key(&newest, SnapshotPart::Database)), "it is named, only not remembered");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_fault_of_the_bucket_leaves_a_snapshot_half_recorded() {
    for faults in [
        vec![sidecar::bucket::Fault::Late, sidecar::bucket::Fault::Fail],
        vec![sidecar::bucket::Fault::Fail, sidecar::bucket::Fault::Late],
    ] {
        let memory = Arc::new(Memory::default());
        let (mut volume, records) = archive(Arc::new(Unreliable::new(memory.clone(), &faults)), 4).await;
        volume.bucket = memory.clone();
        assert_eq!(volume.state.as_ref().unwrap().manifest.snapshots, records);
        volume.restart();
        fs::remove_dir_all(volume.dir.path().join("sidecar")).unwrap();
        volume.ship().await;
        let state = volume.state.as_ref().unwrap();
        assert_eq!((state.manifest.snapshots.as_slice(), state.met().at), (records.as_slice(), records[3].time));
        let dir = tempfile::tempdir().unwrap();
        let source = Source::open(memory.as_ref(), &root()).await.unwrap();
        let newest = newest_snapshot(&source, &state.archive, dir.path()).await.unwrap();
        assert_eq!(newest.as_ref(), records.last());
        sound(&dir, DataFile::Mailbox);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_another_one_than_announced_is_not_uploaded() {
    let memory = Arc::new(Memory::default());
    let mut volume = Volume::new(memory.clone()).await;
    volume.ship().await;
    let archive = volume.state.as_ref().unwrap().archive.clone();
    let (path, record) = staged(&volume);
    for wrong in [
        SnapshotRecord { size: record.size + 1, ..record.clone() },
        SnapshotRecord { sha256: Sha256::of(b"other"), ..record.clone() },
    ] {
        let error = volume.shipper().upload_snapshot(&archive, wrong, &path).await.unwrap_err();
        assert!(matches!(error, ShipError::Staged { .. }), "{error}");
    }
    assert_eq!(keys(&memory).await, Vec::<String>::new());
    // One that is ahead of the archive, or of another timeline, is not named.
    let ahead = Uploaded { archive: archive.clone(), record: SnapshotRecord { commit: 99, ..record.clone() } };
    assert!(!note(&mut volume, &ahead).await);
    let other = Uploaded { archive: ArchiveId { timeline: 2, ..archive }, record };
    assert!(!note(&mut volume, &other).await);
    assert_eq!(keys(&memory).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_mailbox_gets_a_base_of_what_changed_and_of_nothing_else() {
    let memory = Arc::new(Memory::default());
    let mut volume = Volume::recent(memory.clone()).await;
    volume.ship().await;
    volume.spool.transaction("INSERT INTO t(filler) VALUES (randomblob(1000))");
    volume.tell(DataFile::Spool);
    volume.ship().await;
    let (folder, told) = (volume.folder(), volume.told.clone());
    let mut state = volume.state.take().unwrap();
    let based = volume.shipper().base_instead(&folder, &mut state, &told).await.unwrap();
    assert!(based.contains(&control::Database::Spool), "{based:?}");
    assert_eq!(volume.shipper().base_instead(&folder, &mut state, &told).await.unwrap(), []);
    volume.state = Some(state);
    let (_, dir) = volume.assemble(Target::Latest, 1).await.unwrap();
    assert_eq!(commits(&dir, DataFile::Spool), volume.spool.commit);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_snapshots_of_an_earlier_timeline_outlive_it() {
    let memory = Arc::new(Memory::default());
    let (mut volume, records) = archive(memory.clone(), 4).await;
    // The volume goes back: a new timeline.
    let mut state = volume.state.take().unwrap().forked();
    volume.shipper().pass(&volume.folder(), &mut state, &volume.told.clone()).await.unwrap();
    volume.state = Some(state);
    for _ in 0..3 {
        volume.mailbox.transaction("INSERT INTO t(filler) VALUES (randomblob(1000))");
        volume.tell(DataFile::Mailbox);
        volume.ship().await;
    }
    let later = volume.mailbox.time_of(volume.mailbox.commit) + SignedDuration::from_hours(1);
    let window = Timestamp::now().max(later);
    assert!(retain(&mut volume, &rules(window, 2)).await > 0);
    let left = list_all(memory.as_ref(), &format!("{}/{}/t0001/", root(), mailbox())).await.unwrap();
    let names: Vec<Name> = left.iter().filter_map(|entry| Name::of_key(&root(), &entry.key)).collect();
    assert_eq!(names.len(), 4, "two snapshots with their notes: {names:?}");
    let (done, dir) = volume.assemble(Target::Latest, 1).await.unwrap();
    assert_eq!(done.snapshot.as_ref(), records.last());
    sound(&dir, DataFile::Mailbox);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_database_rests_a_restore_is_the_very_file_of_the_volume() {
    let (mut volume, _) = archive(Arc::new(Memory::default()), 3).await;
    let (done, dir) = volume.assemble(Target::Latest, 1).await.unwrap();
    let commits = [(DataFile::Mailbox, done.mailbox.unwrap().commit), (DataFile::Spool, done.spool.unwrap().commit)];
    for (file, commit) in commits {
        let restored = digest(&dir.path().join(format!("{}.sqlite", file.database().name()))).unwrap();
        assert_eq!(at_rest(&volume.folder(), file, commit).unwrap(), Some(restored));
        assert_eq!(at_rest(&volume.folder(), file, commit - 1).unwrap(), None, "it is at another commit");
        volume.db(file).transaction("INSERT INTO t(filler) VALUES (randomblob(1000))");
        assert_eq!(at_rest(&volume.folder(), file, commit).unwrap(), None, "it has moved on");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_made_anew_in_the_same_second_finds_a_name_beside_the_one_that_a_crash_left() {
    let memory = Arc::new(Memory::default());
    let mut volume = Volume::new(memory.clone()).await;
    volume.ship().await;
    let archive = volume.state.as_ref().unwrap().archive.clone();
    let (path, left) = staged(&volume);
    volume.shipper().upload_snapshot(&archive, left.clone(), &path).await.unwrap();
    // No two copies of an encrypted file are alike.
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend([0; 4096]);
    fs::write(&path, &bytes).unwrap();
    let anew = SnapshotRecord { size: bytes.len() as u64, sha256: Sha256::of(&bytes), ..left.clone() };
    let uploaded = volume.shipper().upload_snapshot(&archive, anew.clone(), &path).await.unwrap();
    assert_eq!(uploaded.record, SnapshotRecord { time: left.time + SignedDuration::from_secs(1), ..anew });
    let both = [&left, &uploaded.record].map(|record| key(record, SnapshotPart::Database));
    assert_eq!(keys(&memory).await, both);
    assert!(note(&mut volume, &uploaded).await);
}
