use jiff::Timestamp;

use super::*;
use crate::bucket::Entry;

fn entry(key: String) -> Entry {
    Entry { key, size: 100, modified: Timestamp::UNIX_EPOCH }
}

/// Bases as (epoch, frame, commit), segments as (epoch, first, last, commit).
fn names(bases: &[(u64, u32, u64)], segments: &[(u64, u32, u32, u64)]) -> Names {
    let base = |&(epoch, frame, commit): &(u64, u32, u64)| BaseName {
        entry: entry(format!("base {epoch}-{frame}")),
        epoch,
        frame,
        commit,
    };
    let segment = |&(epoch, first, last, commit): &(u64, u32, u32, u64)| SegmentName {
        entry: entry(format!("{epoch}/{first}-{last}")),
        epoch,
        first,
        last,
        commit,
    };
    Names { bases: bases.iter().map(base).collect(), segments: segments.iter().map(segment).collect() }
}

fn planned(names: &Names, commit: u64) -> Result<String, PlanFault> {
    plan(names, commit).map(|plan| {
        let keys = plan.segments.iter().map(|segment| segment.entry.key.clone());
        std::iter::once(plan.base.entry.key.clone()).chain(keys).collect::<Vec<_>>().join(" ")
    })
}

#[test]
fn the_latest_base_and_the_segments_up_to_the_commit_are_enough() {
    let all = names(
        &[(1, 0, 0), (2, 4, 7)],
        &[(1, 1, 3, 2), (1, 4, 9, 5), (2, 1, 2, 6), (2, 3, 4, 7), (2, 5, 8, 10), (3, 1, 2, 11)],
    );
    let cases = [
        (0, "base 1-0"),
        (1, "base 1-0 1/1-3"),
        (2, "base 1-0 1/1-3"),
        (5, "base 1-0 1/1-3 1/4-9"),
        (6, "base 1-0 1/1-3 1/4-9 2/1-2"),
        (7, "base 2-4 2/1-2 2/3-4"),
        (9, "base 2-4 2/1-2 2/3-4 2/5-8"),
        (11, "base 2-4 2/1-2 2/3-4 2/5-8 3/1-2"),
    ];
    for (commit, objects) in cases {
        assert_eq!(planned(&all, commit).unwrap(), objects, "{commit}");
    }
    assert_eq!(planned(&all, 12), Err(PlanFault::Beyond(11)));
    assert_eq!(all.last_commit(), Some(11));
}

#[test]
fn what_is_missing_is_named_by_what_stands_behind_it() {
    let all = names(&[(1, 0, 5)], &[(1, 1, 3, 6), (1, 7, 9, 9), (2, 1, 2, 10)]);
    assert_eq!(planned(&all, 6).unwrap(), "base 1-0 1/1-3");
    assert_eq!(planned(&all, 10), Err(PlanFault::Missing("1/7-9".to_owned())));
    assert_eq!(planned(&all, 4), Err(PlanFault::Before(Some(5))));
    assert_eq!(planned(&names(&[], &[(1, 1, 3, 6)]), 6), Err(PlanFault::Before(None)));
}

#[test]
fn a_base_with_frames_cannot_be_restored_before_they_are_there() {
    let young = names(&[(1, 4, 3)], &[(1, 1, 2, 1)]);
    assert_eq!(planned(&young, 3), Err(PlanFault::Beyond(1)));
    assert_eq!(young.last_commit(), Some(1));
}

#[test]
fn an_upload_that_came_late_beside_the_chain_does_no_harm() {
    // A process died while it uploaded 4-6; the next one shipped 4-9, and then the first upload arrived.
    let all = names(&[(1, 0, 0)], &[(1, 1, 3, 1), (1, 4, 6, 2), (1, 4, 9, 3), (1, 10, 12, 4), (2, 1, 1, 5)]);
    assert_eq!(planned(&all, 2).unwrap(), "base 1-0 1/1-3 1/4-6");
    assert_eq!(planned(&all, 5).unwrap(), "base 1-0 1/1-3 1/4-9 1/10-12 2/1-1");
}
