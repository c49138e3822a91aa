use std::path::Path;

use super::*;
use crate::{Layout, StoreError};
use model::MailboxId;

fn mailbox() -> MailboxId {
    MailboxId::from_random([1; 17])
}

/// The spools of a volume, as after a start of the process.
fn spools(data: &Path) -> Spools {
    let layout = Layout::new(data);
    let folder = layout.spool(mailbox());
    files::durable::create_dir_all(folder.parent().unwrap()).unwrap();
    Spools::new(layout, SpoolLimits::default())
}

fn row(n: u8) -> NewWaiting {
    NewWaiting {
        delivery: DeliveryId([n; 16]),
        txid: TxId([n; 16]),
        fp: None,
        began: Timestamp::from_second(1_700_000_000).unwrap(),
        size: 100,
        at: Timestamp::from_second(1_700_000_000 + i64::from(n)).unwrap(),
        sealed: Bytes::from(vec![n; 50]),
        limit: None,
        until: None,
    }
}

fn ids(rows: &[Waiting]) -> Vec<u8> {
    rows.iter().map(|row| row.delivery.0[0]).collect()
}

#[tokio::test]
async fn rows_survive_reopening_and_leave_once_in_order() {
    let data = tempfile::tempdir().unwrap();
    {
        let all = spools(data.path());
        let spool = all.of(mailbox());
        assert_eq!(spool.state().await.unwrap(), SpoolState::default());
        let outcomes = in_turn(&spool, 1..=5).await;
        assert_eq!(outcomes, [Inserted::Stored; 5]);
        assert_eq!(spool.insert(row(3)).await.unwrap(), Inserted::Duplicate);
    }
    let first = {
        let all = spools(data.path());
        let spool = all.of(mailbox());
        assert_eq!(spool.state().await.unwrap().waiting, 5);
        let first = spool.batch(2, u64::MAX).await.unwrap();
        spool.took(first.iter().map(|row| row.id).collect(), 1).await.unwrap();
        first
    };
    let all = spools(data.path());
    let spool = all.of(mailbox());
    let rest = spool.batch(100, u64::MAX).await.unwrap();
    assert_eq!(first.len() + rest.len(), 5);
    let mut both = ids(&first);
    both.extend(ids(&rest));
    assert_eq!(both, [1, 2, 3, 4, 5]);
    assert!(rest.iter().all(|row| row.sealed == vec![row.delivery.0[0]; 50]));
    spool.took(rest.iter().map(|row| row.id).collect(), 1).await.unwrap();
    spool.took(rest.iter().map(|row| row.id).collect(), 1).await.unwrap();
    spool.tidy().await.unwrap();
    let state = spool.state().await.unwrap();
    assert_eq!((state.waiting, state.bytes), (0, 0));
}

/// Inserts one after the other, so that their order is known.
async fn in_turn(spool: &std::sync::Arc<Spool>, range: std::ops::RangeInclusive<u8>) -> Vec<Inserted> {
    let mut all = Vec::new();
    for n in range {
        all.push(spool.insert(row(n)).await.unwrap());
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn inserts_that_come_together_are_all_answered() {
    let data = tempfile::tempdir().unwrap();
    let all = spools(data.path());
    let spool = all.of(mailbox());
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..50 {
        let spool = spool.clone();
        tasks.spawn(async move { spool.insert(row(n)).await.unwrap() });
    }
    while let Some(inserted) = tasks.join_next().await {
        assert_eq!(inserted.unwrap(), Inserted::Stored);
    }
    assert_eq!(spool.state().await.unwrap().waiting, 50);
}

#[tokio::test]
async fn an_unsettled_fingerprint_suppresses_for_seven_days_and_a_settled_one_does_not() {
    let data = tempfile::tempdir().unwrap();
    let all = spools(data.path());
    let spool = all.of(mailbox());
    let with_fp = |n: u8, days: i64| {
        let at = Timestamp::from_second(1_700_000_000 + days * 86_400).unwrap();
        NewWaiting { fp: Some([9; 32]), at, ..row(n) }
    };
    assert_eq!(spool.insert(with_fp(1, 0)).await.unwrap(), Inserted::Stored);
    assert_eq!(spool.insert(with_fp(2, 6)).await.unwrap(), Inserted::Duplicate);
    assert_eq!(spool.insert(with_fp(3, 8)).await.unwrap(), Inserted::Stored);
    assert_eq!(spool.insert(with_fp(4, 9)).await.unwrap(), Inserted::Duplicate);
    spool.settle(vec![TxId([4; 16])], true).await.unwrap();
    assert_eq!(spool.insert(with_fp(5, 9)).await.unwrap(), Inserted::Stored);
    assert_eq!(spool.settled().await.unwrap(), [TxId([4; 16])]);
    spool.forget_settled(vec![TxId([4; 16])]).await.unwrap();
    assert!(spool.settled().await.unwrap().is_empty());
    let rows = spool.batch(10, u64::MAX).await.unwrap();
    assert!(rows.iter().all(|row| row.fp == Some([9; 32])), "the mailbox may know it from before");
    // The last one that brought the message is the one to be settled.
    assert_eq!(
        rows.iter().map(|row| (row.txid.0[0], row.settled)).collect::<Vec<_>>(),
        [(2, false), (4, true), (5, false)]
    );
}

#[tokio::test]
async fn a_late_attempt_is_a_duplicate_also_of_a_settled_one_and_takes_nothing_over() {
    let data = tempfile::tempdir().unwrap();
    let all = spools(data.path());
    let spool = all.of(mailbox());
    let attempt = |n: u8| {
        let began = Timestamp::from_second(1_700_000_000 + i64::from(n)).unwrap();
        NewWaiting { fp: Some([9; 32]), began, ..row(n) }
    };
    assert_eq!(spool.insert(attempt(2)).await.unwrap(), Inserted::Stored);
    assert_eq!(spool.insert(attempt(1)).await.unwrap(), Inserted::Duplicate);
    spool.settle(vec![TxId([2; 16])], true).await.unwrap();
    assert_eq!(spool.insert(attempt(0)).await.unwrap(), Inserted::Duplicate);
    assert_eq!(spool.insert(attempt(2)).await.unwrap(), Inserted::Duplicate);
    assert_eq!(spool.insert(attempt(3)).await.unwrap(), Inserted::Stored);
    assert_eq!(spool.insert(attempt(4)).await.unwrap(), Inserted::Duplicate);
    // The MX brings it again, and its sender has read the first answer.
    spool.settle(vec![TxId([4; 16])], true).await.unwrap();
    assert_eq!(spool.insert(attempt(4)).await.unwrap(), Inserted::Duplicate);
    let rows = spool.batch(10, u64::MAX).await.unwrap();
    assert_eq!(
        rows.iter().map(|row| (row.txid.0[0], row.began.as_second() % 10, row.settled)).collect::<Vec<_>>(),
        [(2, 2, true), (4, 4, true)]
    );
}

#[tokio::test]
async fn a_bad_message_is_kept_aside_and_does_not_come_again() {
    let data = tempfile::tempdir().unwrap();
    let all = spools(data.path());
    let spool = all.of(mailbox());
    in_turn(&spool, 1..=2).await;
    let bad = &spool.batch(10, u64::MAX).await.unwrap()[0];
    spool.set_aside(bad.id, "does not open".into(), bad.at).await.unwrap();
    assert_eq!(ids(&spool.batch(10, u64::MAX).await.unwrap()), [2]);
    assert_eq!(spool.insert(row(1)).await.unwrap(), Inserted::Duplicate);
    let asides = spool.asides().await.unwrap();
    assert_eq!((asides.len(), asides[0].reason.as_str(), asides[0].size), (1, "does not open", 100));
    let state = spool.state().await.unwrap();
    assert_eq!((state.waiting, state.bytes, state.aside), (1, 100, 1));
}

#[tokio::test]
async fn an_insert_whose_sender_was_told_to_try_again_does_not_come_in_later() {
    let data = tempfile::tempdir().unwrap();
    let all = spools(data.path());
    let spool = all.of(mailbox());
    let late = NewWaiting { until: Some(std::time::Instant::now()), ..row(1) };
    assert_eq!(spool.insert(late).await.unwrap(), Inserted::TooLate);
    assert_eq!(spool.state().await.unwrap().waiting, 0);
    assert_eq!(spool.insert(row(1)).await.unwrap(), Inserted::Stored);
}

#[tokio::test]
async fn the_limit_covers_mailbox_and_spool_together() {
    let data = tempfile::tempdir().unwrap();
    let all = spools(data.path());
    let spool = all.of(mailbox());
    spool.set_usage(700, 7).await.unwrap();
    let limited = |n| NewWaiting { limit: Some(900), ..row(n) };
    assert_eq!(spool.insert(limited(1)).await.unwrap(), Inserted::Stored);
    assert_eq!(spool.insert(limited(2)).await.unwrap(), Inserted::Stored);
    assert_eq!(spool.insert(limited(3)).await.unwrap(), Inserted::OverQuota);
    assert_eq!(spool.insert(limited(2)).await.unwrap(), Inserted::Duplicate);
}

#[tokio::test]
async fn a_batch_is_bounded_in_bytes_but_never_empty() {
    let data = tempfile::tempdir().unwrap();
    let all = spools(data.path());
    let spool = all.of(mailbox());
    in_turn(&spool, 1..=4).await;
    assert_eq!(ids(&spool.batch(10, 220).await.unwrap()), [1, 2], "by their size when opened");
    assert_eq!(ids(&spool.batch(10, 1).await.unwrap()), [1]);
}

#[tokio::test]
async fn many_spools_share_few_open_files_and_asking_makes_no_file() {
    let data = tempfile::tempdir().unwrap();
    let layout = Layout::new(data.path());
    let spools = Spools::new(layout.clone(), SpoolLimits { open: 3, parallel: 2, ..SpoolLimits::default() });
    for n in 0..10 {
        let id = MailboxId::from_random([n; 17]);
        files::durable::create_dir_all(layout.spool(id).parent().unwrap()).unwrap();
        assert_eq!(spools.of(id).insert(row(n)).await.unwrap(), Inserted::Stored);
    }
    let open = (0..10).filter(|n| spools.of(MailboxId::from_random([*n; 17])).is_open()).count();
    assert!(open <= 3, "{open} files are open");
    assert_eq!(spools.of(MailboxId::from_random([0; 17])).state().await.unwrap().waiting, 1);
    let absent = MailboxId::from_random([99; 17]);
    assert_eq!(spools.of(absent).state().await.unwrap().waiting, 0);
    assert!(!layout.spool(absent).exists());
}

#[tokio::test]
async fn what_was_reported_as_failed_is_not_stored_later() {
    let data = tempfile::tempdir().unwrap();
    let layout = Layout::new(data.path());
    let all = Spools::new(layout.clone(), SpoolLimits::default());
    let spool = all.of(mailbox());
    for n in 1..=3 {
        // There is no folder to make the file in.
        spool.insert(row(n)).await.unwrap_err();
    }
    layout.create_mailbox_dir(mailbox()).unwrap();
    assert_eq!(spool.insert(row(4)).await.unwrap(), Inserted::Stored);
    assert_eq!(ids(&spool.batch(10, u64::MAX).await.unwrap()), [4]);
}

#[tokio::test]
async fn a_spool_that_has_ended_takes_nothing_and_makes_no_file() {
    let data = tempfile::tempdir().unwrap();
    let all = spools(data.path());
    let (spool, path) = (all.of(mailbox()), Layout::new(data.path()).spool(mailbox()));
    assert_eq!(spool.insert(row(1)).await.unwrap(), Inserted::Stored);
    assert!(is_open(&path));
    let removed = path.clone();
    let end = spool.end(move || {
        assert!(!is_open(&removed), "nobody has it open");
        std::fs::remove_file(&removed).map_err(|_| StoreError::Busy)
    });
    end.await.unwrap();
    assert!(matches!(spool.insert(row(2)).await, Err(StoreError::Purged)));
    assert!(matches!(all.of(mailbox()).insert(row(3)).await, Err(StoreError::Purged)));
    assert_eq!(spool.state().await.unwrap(), SpoolState::default());
    assert!(spool.batch(9, u64::MAX).await.unwrap().is_empty() && !path.exists());
}

/// True while this process has the file open.
fn is_open(path: &Path) -> bool {
    let open = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    open.filter_map(|descriptor| std::fs::read_link(descriptor.path()).ok()).any(|file| file == path)
}
