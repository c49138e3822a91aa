//! What retention leaves is enough for every point of the window.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use model::backup::Retention;
use proptest::prelude::*;
use sidecar::assemble::{AssembleError, Target};
use sidecar::bucket::{Memory, list_all};
use sidecar::format::DataFile;
use sidecar::ship::{Removed, Rules};

use crate::commits::{Op, act, ops};
use crate::volume::*;

async fn keys(memory: &Memory) -> Vec<String> {
    list_all(memory, "").await.unwrap().into_iter().map(|entry| entry.key).collect()
}

async fn retain(volume: &mut Volume, window: u64, dry: bool, owns: bool) -> Removed {
    let mut state = volume.state.take().unwrap();
    let retention = Retention { window_days: 1, keep_last: 1, daily: 0, weekly: 0, monthly: 0 };
    let rules =
        Rules { now: Timestamp::now(), window: volume.mailbox.time_of(window), retention, zone: TimeZone::UTC, dry };
    let removed = volume.shipper().retain(&mut state, &rules, async || owns).await.unwrap();
    volume.state = Some(state);
    removed
}

async fn every_point_of_the_window_stays(ops: Vec<Op>, share: u8) {
    let memory = Arc::new(Memory::default());
    let mut volume = Volume::new(memory.clone()).await;
    volume.ship().await;
    for op in ops {
        act(&mut volume, op).await;
    }
    volume.ship().await;
    let window = volume.mailbox.commit * u64::from(share) / 255;
    retain(&mut volume, window, false, true).await;
    for commit in window.max(1)..=volume.mailbox.commit {
        let (done, dir) = volume.assemble(Target::Commit(commit), 1).await.unwrap();
        assert!(sound(&dir, DataFile::Mailbox) == *volume.mailbox.copies[commit as usize].as_ref().unwrap());
        assert_eq!(done.damages, vec![]);
    }
    // And it goes on behind it.
    volume.mailbox.transaction("INSERT INTO t(filler) VALUES (randomblob(100))");
    volume.restart();
    volume.ship().await;
    let (_, dir) = volume.assemble(Target::Latest, 1).await.unwrap();
    assert_eq!(commits(&dir, DataFile::Mailbox), volume.mailbox.commit);
    assert_eq!(retain(&mut volume, window, true, true).await.objects, 0, "nothing was left behind");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn retention_removes_nothing_that_a_point_of_the_window_needs(ops in ops(0), share in any::<u8>()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(every_point_of_the_window_stays(ops, share));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_would_go_and_a_strangers_archive_stays() {
    let memory = Arc::new(Memory::default());
    let mut volume = Volume::new(memory.clone()).await;
    for _ in 0..20 {
        volume.mailbox.transaction("INSERT INTO t(filler) VALUES (randomblob(1000))");
        volume.tell(DataFile::Mailbox);
        volume.ship().await;
        assert!(volume.fold(DataFile::Mailbox).await);
    }
    volume.ship().await;
    let all = keys(&memory).await;
    let dry = retain(&mut volume, 15, true, true).await;
    assert!(dry.objects > 10 && dry.bytes > 0, "{dry:?}");
    assert_eq!(keys(&memory).await, all);
    let refused = retain(&mut volume, 15, false, false).await;
    assert_eq!(refused, Removed { objects: 0, bytes: 0, disowned: true });
    let now = keys(&memory).await;
    assert!(all.iter().all(|key| now.contains(key)));
    let done = retain(&mut volume, 15, false, true).await;
    assert_eq!(done, dry);
    let left = keys(&memory).await;
    // One manifest more says so.
    assert_eq!(all.iter().filter(|key| !left.contains(key)).count(), dry.objects);
    volume.assemble(Target::Time(volume.mailbox.time_of(15)), 1).await.unwrap();
    let error = volume.assemble(Target::Commit(2), 1).await.unwrap_err();
    assert!(matches!(error, AssembleError::Gone { .. }), "{error}");
}
