use std::fs;
use std::path::Path;

use control::RunAssignment;
use jiff::SignedDuration;
use model::backup::{Run, RunKind};
use model::{ShardId, Term};
use rusqlite::Connection;

use super::super::runs::{Records, Table};
use super::*;
use crate::bucket::{Memory, Object, Unreliable};
use crate::format::{FORMAT, Name, Owner, Signer, document};
use crate::ship::{Outbox, Shipper, States, Told};

const ROOT: &str = "local.mail.0123abcd";

fn mailbox() -> MailboxId {
    MailboxId::from_random([7; 17])
}

fn server() -> ServerId {
    ServerId("0123abcd".to_owned())
}

fn signer(seed: u8) -> Signer {
    Signer::from_seed(&[seed; 32])
}

/// The owner marker of a volume.
async fn mark(bucket: &dyn Bucket, term: u64, seed: u8) {
    let (signer, term) = (signer(seed), Term(term));
    let owner = Owner {
        format: FORMAT,
        server: server(),
        shard: ShardId(0),
        volume: format!("{seed}"),
        term,
        run: "run".to_owned(),
        signer: signer.public(),
        time: Timestamp::UNIX_EPOCH,
    };
    let object = Object::of_bytes(document::write(&owner, &signer).0, "run");
    bucket.put_if_absent(&Name::Owner { shard: ShardId(0), term }.key(ROOT), &object).await.unwrap();
}

/// A spool with so many rows, archived by the volume with that key; its archive's timeline.
async fn archive(bucket: &Arc<dyn Bucket>, dir: &Path, seed: u8, rows: usize) -> u32 {
    let folder = dir.join(format!("{seed}"));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("keys.json"), r#"{"format":1,"version":1}"#).unwrap();
    let spool = Connection::open(folder.join("spool.sqlite")).unwrap();
    spool.execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t(n)").unwrap();
    for n in 0..rows {
        spool.execute("INSERT INTO t VALUES (?)", [n as i64]).unwrap();
    }
    let shipper = Shipper {
        bucket: bucket.clone(),
        root: ROOT.to_owned(),
        server: server(),
        term: Term(1),
        run: "run".to_owned(),
        signer: signer(seed),
        outbox: Outbox::open(folder.join("outbox")).unwrap(),
        states: States::open(&folder.join("sidecar")).unwrap(),
    };
    let mut state = shipper.load(mailbox()).await.unwrap();
    let mut told = Told::default();
    told.unnumbered = true;
    shipper.pass(&folder, &mut state, &told).await.unwrap();
    state.archive.timeline
}

fn restore(bucket: Arc<dyn Bucket>, dir: &Path, seed: u8, at: Option<Timestamp>) -> Restore {
    Restore {
        server: server(),
        source: RestoreSource::Mailbox(mailbox()),
        origin: mailbox(),
        at,
        target: mailbox(),
        in_place: true,
        places: vec![Place { bucket, root: ROOT.to_owned() }],
        desk: Desk::new().0,
        client: Client::new(dir.join("nobody.sock")),
        staging: dir.join("staging"),
        folder: dir.join("target"),
        floor: 0,
        signer: signer(seed).public(),
    }
}

/// A run that may take so long.
fn ticket(dir: &Path, limit: Duration) -> Ticket {
    let kind =
        RunKind::Restore { source: RestoreSource::Mailbox(mailbox()), at: None, target: mailbox(), in_place: true };
    let deadline = Timestamp::now() + SignedDuration::try_from(limit).unwrap();
    let mut table = Table::default();
    let run = Run { id: "ns/a/1".to_owned(), kind, deadline };
    table.want(&[RunAssignment { run, executor: "x".to_owned() }], Timestamp::now());
    Ticket::new(table.begin(1).remove(0), Records::open(dir).unwrap())
}

#[tokio::test]
async fn what_this_volume_signed_is_restored_before_what_a_marker_in_the_bucket_vouches_for() {
    let dir = tempfile::tempdir().unwrap();
    let bucket: Arc<dyn Bucket> = Arc::new(Memory::default());
    mark(bucket.as_ref(), 1, 1).await;
    assert_eq!(archive(&bucket, dir.path(), 1, 3).await, 1);
    let between = Timestamp::now();
    // Somebody else, with a marker of his own.
    mark(bucket.as_ref(), 2, 2).await;
    assert_eq!(archive(&bucket, dir.path(), 2, 1).await, 2);
    let found = async |seed, at| {
        let restore = restore(bucket.clone(), dir.path(), seed, at);
        restore.find().await.map(|(_, archive)| archive.timeline)
    };
    assert!(matches!(found(1, None).await, Ok(1)));
    assert!(matches!(found(2, None).await, Ok(2)));
    // A volume that was lost signs no more: its successor takes the newest there is at that time.
    assert!(matches!(found(3, None).await, Ok(2)));
    assert!(matches!(found(3, Some(between)).await, Ok(1)));
    let before = found(1, Some(Timestamp::UNIX_EPOCH)).await;
    let Err(Trouble::Broken(Broken::Failed(failure))) = before else { panic!() };
    assert!(failure.reason == "ArchiveNotFound" && failure.message.contains("begins at"), "{failure:?}");
}

#[tokio::test]
async fn a_bucket_that_is_away_is_waited_for_until_the_deadline() {
    let dir = tempfile::tempdir().unwrap();
    let memory: Arc<dyn Bucket> = Arc::new(Memory::default());
    mark(memory.as_ref(), 1, 1).await;
    archive(&memory, dir.path(), 1, 3).await;
    let bucket = Arc::new(Unreliable::new(memory, &[]));
    bucket.set_away(true);
    let restore = restore(bucket.clone(), dir.path(), 1, None);

    let late = ticket(dir.path(), Duration::from_millis(300));
    let Err(Broken::Failed(failure)) = late.unless_stopped(restore.assembled(&late)).await else { panic!() };
    assert_eq!(failure.reason, "DeadlineExceeded");
    assert!(failure.message.contains("waiting for the bucket"), "{}", failure.message);

    let patient = ticket(dir.path(), Duration::from_mins(1));
    let (assembled, ()) = tokio::join!(patient.unless_stopped(restore.assembled(&patient)), async {
        let asked = bucket.requests();
        while bucket.requests() < asked + 2 {
            tokio::task::yield_now().await;
        }
        bucket.set_away(false);
    });
    let (archive, assembled) = assembled.unwrap().unwrap();
    assert_eq!((archive.timeline, assembled.mailbox, assembled.keys), (1, None, Some(1)));
    let copy = dir.path().join("staging").join(folder_of("ns/a/1")).join("spool.sqlite");
    let rows: i64 = Connection::open(copy).unwrap().query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 3);
}
