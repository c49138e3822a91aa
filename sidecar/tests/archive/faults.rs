//! A bucket that fails, loses answers and cuts them short; a sidecar that dies in the middle of it.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use sidecar::assemble::Target;
use sidecar::bucket::{Fault, Memory, Unreliable};
use sidecar::format::DataFile;

use crate::commits::{Op, act, ops};
use crate::volume::*;

fn fault() -> impl Strategy<Value = Fault> {
    let slow = Just(Fault::Delay(Duration::from_millis(1)));
    prop_oneof![Just(Fault::Fail), Just(Fault::Late), Just(Fault::Truncate), slow]
}

async fn nothing_is_lost(faults: Vec<Fault>, ops: Vec<Op>) {
    let memory = Arc::new(Memory::default());
    let mut volume = Volume::new(Arc::new(Unreliable::new(memory.clone(), &faults))).await;
    for op in ops {
        act(&mut volume, op).await;
    }
    volume.ship().await;
    volume.bucket = memory;
    assert_eq!(volume.state.as_ref().unwrap().archive.timeline, 1);
    let (done, dir) = volume.assemble(Target::Latest, 1).await.unwrap();
    assert!(sound(&dir, DataFile::Mailbox) == *volume.mailbox.copies.last().unwrap().as_ref().unwrap());
    assert!(sound(&dir, DataFile::Spool) == *volume.spool.copies.last().unwrap().as_ref().unwrap());
    assert_eq!(done.damages, vec![]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_fault_of_the_bucket_costs_a_commit(faults in prop::collection::vec(fault(), 1..3), ops in ops(0)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(nothing_is_lost(faults, ops));
    }
}
