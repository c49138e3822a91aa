//! Whatever was committed, folded in, restarted and lost: every commit that is archived comes back as it was.

use std::sync::Arc;

use control::Database;
use proptest::prelude::*;
use sidecar::assemble::{AssembleError, Gone, Target};
use sidecar::bucket::Memory;
use sidecar::format::DataFile;

use crate::volume::*;

#[derive(Debug, Clone)]
pub enum Op {
    Insert(DataFile, u16),
    Delete(DataFile, u8),
    Shrink(DataFile),
    Rollback(DataFile, u16),
    /// A commit whose notice is lost.
    Silent(DataFile),
    Pass,
    Fold(DataFile),
    /// The primary does it without asking.
    Alone(DataFile),
    /// A checkpoint that is recorded and does not come about.
    Halfway(DataFile),
    Reopen(DataFile),
    /// The sidecar starts again; with `true` it has forgotten everything but its tails.
    Restart(bool),
}

fn file() -> impl Strategy<Value = DataFile> {
    prop_oneof![2 => Just(DataFile::Mailbox), 1 => Just(DataFile::Spool)]
}

/// Work in which the primary folds in without asking that often.
pub fn ops(alone: u32) -> impl Strategy<Value = Vec<Op>> {
    let mut all = vec![
        (6, (file(), any::<u16>()).prop_map(|(file, size)| Op::Insert(file, size)).boxed()),
        (3, (file(), any::<u8>()).prop_map(|(file, n)| Op::Delete(file, n)).boxed()),
        (1, file().prop_map(Op::Shrink).boxed()),
        (2, (file(), any::<u16>()).prop_map(|(file, size)| Op::Rollback(file, size)).boxed()),
        (2, file().prop_map(Op::Silent).boxed()),
        (5, Just(Op::Pass).boxed()),
        (3, file().prop_map(Op::Fold).boxed()),
        (1, file().prop_map(Op::Halfway).boxed()),
        (1, file().prop_map(Op::Reopen).boxed()),
        (2, any::<bool>().prop_map(Op::Restart).boxed()),
    ];
    if alone > 0 {
        all.push((alone, file().prop_map(Op::Alone).boxed()));
    }
    prop::collection::vec(proptest::strategy::Union::new_weighted(all), 1..40)
}

pub async fn act(volume: &mut Volume, op: Op) {
    let insert = |size: u16| format!("INSERT INTO t(filler) VALUES (randomblob({}))", size / 2);
    match op {
        Op::Insert(file, size) => {
            volume.db(file).transaction(&insert(size));
            volume.tell(file);
        }
        Op::Silent(file) => volume.db(file).transaction(&insert(100)),
        Op::Delete(file, n) => {
            volume.db(file).transaction(&format!("DELETE FROM t WHERE n % 7 = {}", n % 7));
            volume.tell(file);
        }
        Op::Shrink(file) => {
            volume.db(file).transaction("DELETE FROM t; PRAGMA incremental_vacuum");
            volume.tell(file);
        }
        Op::Rollback(file, size) => {
            volume.db(file).rollback(&format!("{}; DELETE FROM t WHERE n % 3 = 0", insert(size)));
        }
        Op::Pass => {
            let unnumbered = volume.pass().await.ok().and_then(|passed| passed.unnumbered);
            if let Some(file) = unnumbered {
                volume.tell(file);
            }
        }
        Op::Fold(file) => drop(volume.fold(file).await),
        Op::Alone(file) => volume.db(file).fold(false),
        Op::Halfway(file) => {
            let end = volume.db(file).end();
            if end.frame > 0 {
                volume.db(file).record(end, false);
            }
        }
        Op::Reopen(file) => {
            volume.db(file).close();
            volume.db(file).open();
        }
        Op::Restart(forgotten) => {
            volume.restart();
            if forgotten {
                let _ = std::fs::remove_dir_all(volume.dir.path().join("sidecar"));
            }
        }
    }
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test);
}

async fn every_commit_comes_back(ops: Vec<Op>) {
    let mut volume = Volume::new(Arc::new(Memory::default())).await;
    for op in ops {
        act(&mut volume, op).await;
    }
    volume.ship().await;
    let state = volume.state.as_ref().unwrap();
    assert_eq!(state.archive.timeline, 1, "nothing was lost that the archive had");
    assert_eq!(state.manifest.gaps, []);
    let bases = state.manifest.bases.iter().filter(|base| base.database == Database::Mailbox);
    let begins = bases.map(|base| base.commit).min().unwrap();
    for commit in begins..=volume.mailbox.commit {
        let (done, dir) = volume.assemble(Target::Commit(commit), 1).await.unwrap();
        assert_eq!(done.mailbox.unwrap().commit, commit);
        assert!(
            sound(&dir, DataFile::Mailbox) == *volume.mailbox.copies[commit as usize].as_ref().unwrap(),
            "{commit}"
        );
        assert_eq!((done.keys, done.damages), (Some(3), vec![]));
    }
    let (done, dir) = volume.assemble(Target::Latest, 1).await.unwrap();
    assert_eq!(done.mailbox.unwrap().commit, volume.mailbox.commit);
    assert_eq!(done.spool.unwrap().commit, volume.spool.commit);
    assert!(sound(&dir, DataFile::Spool) == *volume.spool.copies.last().unwrap().as_ref().unwrap());
}

async fn gaps_are_named_and_the_rest_comes_back(ops: Vec<Op>) {
    let mut volume = Volume::new(Arc::new(Memory::default())).await;
    volume.ship().await;
    for op in ops {
        act(&mut volume, op).await;
    }
    volume.ship().await;
    let state = volume.state.as_ref().unwrap();
    assert_eq!(state.archive.timeline, 1);
    let gaps: Vec<_> = state.manifest.gaps.iter().filter(|gap| gap.database == Database::Mailbox).collect();
    for commit in 1..=volume.mailbox.commit {
        let gap = gaps.iter().any(|gap| gap.after < commit && commit < gap.until.unwrap());
        match volume.assemble(Target::Commit(commit), 1).await {
            Ok((_, dir)) => {
                assert!(!gap, "{commit} {gaps:?}");
                assert!(sound(&dir, DataFile::Mailbox) == *volume.mailbox.copies[commit as usize].as_ref().unwrap());
            }
            Err(AssembleError::Gone { of: Gone::InGap(_), .. }) => assert!(gap, "{commit} {gaps:?}"),
            Err(error) => panic!("{commit}: {error} {gaps:?}"),
        }
    }
    let (_, dir) = volume.assemble(Target::Latest, 1).await.unwrap();
    assert_eq!(commits(&dir, DataFile::Mailbox), volume.mailbox.commit);
    assert_eq!(commits(&dir, DataFile::Spool), volume.spool.commit);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_commit_of_random_work_is_assembled_as_it_was(ops in ops(0)) {
        run(every_commit_comes_back(ops));
    }

    #[test]
    fn what_was_folded_in_before_it_was_copied_is_a_gap_and_all_else_is_there(ops in ops(2)) {
        run(gaps_are_named_and_the_rest_comes_back(ops));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_means_the_last_commit_before_it_in_both_databases() {
    let mut volume = Volume::new(Arc::new(Memory::default())).await;
    for n in 0..30_u32 {
        for file in DataFile::ALL {
            volume.db(file).transaction("INSERT INTO t(filler) VALUES (randomblob(3000))");
            volume.tell(file);
        }
        if n % 4 == 0 {
            volume.ship().await;
        }
        if n % 11 == 0 {
            assert!(volume.fold(DataFile::Mailbox).await);
        }
    }
    volume.ship().await;
    let second = jiff::SignedDuration::from_secs(1);
    for commit in 3..=30 {
        let exact = volume.mailbox.time_of(commit);
        for (time, reached) in [(exact, commit), (exact - second, commit - 1)] {
            let (_, dir) = volume.assemble(Target::Time(time), 1).await.unwrap();
            assert_eq!((commits(&dir, DataFile::Mailbox), commits(&dir, DataFile::Spool)), (reached, reached));
        }
    }
    let error = volume.assemble(Target::Time(volume.mailbox.time_of(0)), 1).await.unwrap_err();
    assert!(matches!(error, AssembleError::Gone { of: Gone::Before { time: Some(_), .. }, .. }), "{error}");
    assert!(error.hint().unwrap().contains("or later"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_went_back_begins_a_timeline_of_its_own() {
    let mut volume = Volume::new(Arc::new(Memory::default())).await;
    volume.ship().await;
    let kept = tempfile::tempdir().unwrap();
    for name in ["mailbox.sqlite", "mailbox.sqlite-wal"] {
        std::fs::copy(volume.folder().join(name), kept.path().join(name)).unwrap();
    }
    for _ in 0..5 {
        volume.mailbox.transaction("INSERT INTO t(filler) VALUES (randomblob(3000))");
    }
    volume.ship().await;
    volume.mailbox.close();
    for name in ["mailbox.sqlite", "mailbox.sqlite-wal"] {
        std::fs::copy(kept.path().join(name), volume.folder().join(name)).unwrap();
    }
    let _ = std::fs::remove_file(volume.folder().join("mailbox.sqlite-shm"));
    let archived = std::mem::replace(&mut volume.mailbox.commit, 1);
    volume.mailbox.open();
    volume.mailbox.transaction("INSERT INTO t(filler) VALUES (randomblob(7))");
    volume.restart();
    let troubles = volume.ship().await;
    assert_eq!(troubles.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), ["Fork"]);
    let state = volume.state.as_ref().unwrap();
    assert_eq!(state.archive.timeline, 2);
    assert_eq!(state.manifest.predecessor.as_ref().unwrap().archive.timeline, 1);
    let (_, dir) = volume.assemble(Target::Latest, 1).await.unwrap();
    assert_eq!(commits(&dir, DataFile::Mailbox), archived, "what had been archived stays");
    let (_, dir) = volume.assemble(Target::Latest, 2).await.unwrap();
    assert_eq!(commits(&dir, DataFile::Mailbox), 2);
    assert_eq!(commits(&dir, DataFile::Spool), volume.spool.commit);
}
