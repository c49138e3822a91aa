use bytes::Bytes;
use control::Database;
use jiff::Timestamp;
use model::{DeliveryId, TxId};
use proptest::prelude::*;
use store::{Inserted, NewWaiting, SpoolLimits};

use crate::fixture::{id, patient};
use crate::volume::Volume;

fn row(n: u8, size: usize) -> NewWaiting {
    NewWaiting {
        delivery: DeliveryId([n; 16]),
        txid: TxId([n; 16]),
        fp: Some([n; 32]),
        began: Timestamp::from_second(1_700_000_000).unwrap(),
        size: 100,
        at: Timestamp::from_second(1_700_000_000).unwrap(),
        sealed: Bytes::from(vec![n; size]),
        limit: None,
        until: None,
    }
}

#[derive(Debug, Clone)]
enum Op {
    Insert(u8, u16),
    Together(u8),
    Took(u8, u8),
    Archived(u8),
    Aside,
    Settle(u8, bool),
    ForgetSettled,
    Usage(u8),
    Tidy,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        5 => (any::<u8>(), any::<u16>()).prop_map(|(n, size)| Op::Insert(n, size)),
        1 => (1..30_u8).prop_map(Op::Together),
        3 => (0..9_u8, any::<u8>()).prop_map(|(rows, commit)| Op::Took(rows, commit)),
        2 => any::<u8>().prop_map(Op::Archived),
        1 => Just(Op::Aside),
        2 => (any::<u8>(), any::<bool>()).prop_map(|(n, remember)| Op::Settle(n, remember)),
        1 => Just(Op::ForgetSettled),
        1 => any::<u8>().prop_map(Op::Usage),
        2 => Just(Op::Tidy),
    ];
    prop::collection::vec(op, 1..60)
}

async fn run(ops: Vec<Op>) {
    let volume = Volume::new();
    volume.cover();
    let spool = volume.spool();
    for op in ops {
        match op {
            Op::Insert(n, size) => drop(spool.insert(row(n, size.into())).await.unwrap()),
            Op::Together(many) => {
                let inserts: Vec<_> = (0..many)
                    .map(|n| {
                        let spool = spool.clone();
                        tokio::spawn(async move { spool.insert(row(n, 300)).await.unwrap() })
                    })
                    .collect();
                for insert in inserts {
                    insert.await.unwrap();
                }
            }
            Op::Took(rows, commit) => {
                let rows = spool.batch(rows.into(), u64::MAX).await.unwrap();
                spool.took(rows.iter().map(|row| row.id).collect(), commit.into()).await.unwrap();
            }
            Op::Archived(commit) => spool.forget_taken(commit.into()).await.unwrap(),
            Op::Aside => {
                for row in spool.batch(1, u64::MAX).await.unwrap() {
                    spool.set_aside(row.id, "x".into(), row.at).await.unwrap();
                }
            }
            Op::Settle(n, remember) => spool.settle(vec![TxId([n; 16])], remember).await.unwrap(),
            Op::ForgetSettled => {
                let settled = spool.settled().await.unwrap();
                spool.forget_settled(settled).await.unwrap();
            }
            Op::Usage(n) => spool.set_usage(n.into(), 1).await.unwrap(),
            Op::Tidy => spool.tidy().await.unwrap(),
        }
        if volume.path(Database::Spool).exists() {
            volume.check_numbers(Database::Spool);
        }
    }
    let state = spool.state().await.unwrap();
    let rows = spool.batch(1000, u64::MAX).await.unwrap();
    assert_eq!((state.waiting, state.bytes), (rows.len() as u64, 100 * rows.len() as u64));
}

#[test]
fn every_commit_of_a_spool_has_its_number_and_notices_name_its_last_frame() {
    let mut config = ProptestConfig::with_cases(12);
    config.failure_persistence = None;
    proptest!(config, |(ops in ops())| {
        tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(run(ops));
    });
}

#[tokio::test]
async fn opening_a_spool_changes_nothing() {
    let volume = Volume::with(patient(), SpoolLimits { open: 1, ..SpoolLimits::default() });
    volume.cover();
    volume.spool().insert(row(1, 10)).await.unwrap();
    let before = volume.wal(Database::Spool);
    for n in 0..3 {
        let other = model::MailboxId::from_random([n; 17]);
        volume.layout.create_mailbox_dir(other).unwrap();
        volume.spools.of(other).insert(row(n, 10)).await.unwrap();
        assert_eq!(volume.spool().state().await.unwrap().waiting, 1);
    }
    assert_eq!(volume.wal(Database::Spool), before);
}

#[tokio::test]
async fn a_taken_row_counts_no_more_and_leaves_when_its_commit_is_archived() {
    let volume = Volume::new();
    volume.cover();
    let spool = volume.spool();
    for n in 1..=4 {
        spool.insert(row(n, 10)).await.unwrap();
    }
    let ids: Vec<_> = spool.batch(3, u64::MAX).await.unwrap().iter().map(|row| row.id).collect();
    spool.took(ids[..2].to_vec(), 7).await.unwrap();
    spool.took(ids[2..].to_vec(), 8).await.unwrap();
    spool.took(ids.clone(), 9).await.unwrap();
    let state = spool.state().await.unwrap();
    assert_eq!((state.waiting, state.bytes), (1, 100));
    assert_eq!(spool.batch(10, u64::MAX).await.unwrap()[0].delivery, DeliveryId([4; 16]));
    let taken = spool.taken().await.unwrap();
    assert_eq!((taken.rows, taken.last), (3, 8));
    // Known by its id; by its fingerprint it is the mailbox that knows it.
    assert_eq!(spool.insert(row(1, 10)).await.unwrap(), Inserted::Duplicate);
    assert!(!spool.holds([1; 32]).await.unwrap());
    assert_eq!(spool.insert(NewWaiting { fp: Some([1; 32]), ..row(50, 10) }).await.unwrap(), Inserted::Stored);
    spool.forget_taken(7).await.unwrap();
    assert_eq!(spool.taken().await.unwrap().rows, 1);
    // What comes to be taken by a commit that is archived already goes at once.
    volume.archive.set_archived(id(), Database::Mailbox, 20);
    let last: Vec<_> = spool.batch(9, u64::MAX).await.unwrap().iter().map(|row| row.id).collect();
    spool.took(last, 20).await.unwrap();
    assert_eq!(spool.taken().await.unwrap().rows, 1);
    assert_eq!(spool.state().await.unwrap().waiting, 0);
    // When nobody archives the mailbox any more, nothing is kept.
    spool.tidy().await.unwrap();
    assert_eq!(spool.taken().await.unwrap().rows, 1);
    volume.archive.set_policies(std::sync::Arc::default());
    spool.tidy().await.unwrap();
    assert_eq!(spool.taken().await.unwrap().rows, 0);
}

#[tokio::test]
async fn without_a_policy_taken_rows_leave_at_once_and_the_wal_is_folded_in_when_it_is_long() {
    let volume = Volume::with(patient(), SpoolLimits { wal: 1 << 20, ..SpoolLimits::default() });
    let spool = volume.spool();
    for n in 1..=40 {
        spool.insert(row(n, 100_000)).await.unwrap();
        let wal = volume.path(Database::Spool).with_extension("sqlite-wal");
        assert!(wal.metadata().unwrap().len() < 2 << 20);
    }
    let ids = spool.batch(100, u64::MAX).await.unwrap().iter().map(|row| row.id).collect();
    spool.took(ids, 1).await.unwrap();
    spool.tidy().await.unwrap();
    assert_eq!(spool.taken().await.unwrap().rows, 0);
    assert!(volume.path(Database::Spool).metadata().unwrap().len() < 200_000);
}

#[tokio::test]
async fn a_spool_of_the_first_format_is_migrated_with_all_it_holds() {
    let volume = Volume::new();
    std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/spool-1.sqlite"), volume.path(Database::Spool))
        .unwrap();
    let spool = volume.spool();
    let rows = spool.batch(10, u64::MAX).await.unwrap();
    assert_eq!(
        rows.iter().map(|row| (row.id, row.delivery.0[0], row.fp)).collect::<Vec<_>>(),
        [(2, 2, Some([2; 32])), (3, 3, None)]
    );
    assert!(rows.iter().all(|row| row.sealed == [row.delivery.0[0]; 50]));
    let state = spool.state().await.unwrap();
    assert_eq!((state.waiting, state.bytes, state.aside, state.settles), (2, 200, 1, 1));
    assert_eq!((state.mailbox_bytes, state.mailbox_messages), (700, 7));
    assert_eq!(volume.commit(Database::Spool), 1);
    volume.check_numbers(Database::Spool);
    assert_eq!(spool.insert(row(2, 10)).await.unwrap(), Inserted::Duplicate);
}
