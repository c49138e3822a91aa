//! Which commits can be made from what is sound: a decision about headers alone.

use std::collections::{BTreeMap, BTreeSet};

use control::Database;
use jiff::Timestamp;
use serde::Serialize;

use super::chain::Chain;
use crate::format::{BaseHeader, SegmentHeader};

/// Commits of a database that can be restored, without a hole between the first and the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Restorable {
    /// Which database.
    pub database: Database,
    /// The first of them.
    pub first_commit: u64,
    /// Its time.
    pub first_time: Timestamp,
    /// The last of them.
    pub last_commit: u64,
    /// Its time.
    pub last_time: Timestamp,
}

/// What can be restored, oldest first, if the objects with these keys are left out.
pub fn restorable(chain: &Chain, unusable: &BTreeSet<&str>) -> Vec<Restorable> {
    let usable = |key: &String| !unusable.contains(key.as_str());
    let segments: Vec<&SegmentHeader> =
        chain.segments.iter().filter(|(key, ..)| usable(key)).map(|(_, _, segment)| segment).collect();
    let bases = chain.bases.iter().filter(|(key, ..)| usable(key)).map(|(_, _, base)| base);
    let mut ranges: Vec<Restorable> = Vec::new();
    for base in bases {
        let Some((last_commit, last_time)) = reach(base, &segments) else { continue };
        let (database, first_commit, first_time) = (base.database, base.commit, base.time);
        match ranges.last_mut() {
            Some(before) if first_commit <= before.last_commit + 1 => {
                let last = (before.last_commit, before.last_time).max((last_commit, last_time));
                (before.last_commit, before.last_time) = last;
            }
            _ => ranges.push(Restorable { database, first_commit, first_time, last_commit, last_time }),
        }
    }
    ranges
}

/// The last commit that a base serves, and its time; none where the frames that it needs are not there.
fn reach(base: &BaseHeader, segments: &[&SegmentHeader]) -> Option<(u64, Timestamp)> {
    let mut ends: BTreeMap<u64, u32> = BTreeMap::new();
    for segment in segments {
        let end = ends.entry(segment.epoch).or_default();
        *end = segment.last.max(*end);
    }
    let mut reached = BTreeSet::new();
    let mut at = (base.frame == 0).then_some((base.commit, base.time));
    for segment in segments.iter().filter(|segment| segment.epoch >= base.epoch) {
        let before = match segment.first {
            1 if segment.epoch == base.epoch => None,
            1 => {
                let life = segment.epoch - 1;
                Some((life, ends.get(&life).copied().unwrap_or_default()))
            }
            first => Some((segment.epoch, first - 1)),
        };
        if before.is_some_and(|before| !reached.contains(&before)) {
            continue;
        }
        reached.insert((segment.epoch, segment.last));
        let point = segment.commits.last().filter(|point| point.commit >= base.commit);
        at = at.max(point.map(|point| (point.commit, point.time)));
    }
    at
}
