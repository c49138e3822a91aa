//! Which objects a commit is made from: a decision about names alone.
//!
//! The latest base that is not behind the commit, and every segment from the first frame of the base's life on up to the
//! commit. Nothing that is not needed is fetched, so damage elsewhere does no harm.

use std::collections::HashMap;

use super::{BaseName, Names, SegmentName};

/// The objects of one database for one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Where it begins.
    pub base: BaseName,
    /// What follows, in order; the last one has the commit.
    pub segments: Vec<SegmentName>,
}

impl Plan {
    /// Bytes of all of them.
    pub fn size(&self) -> u64 {
        self.base.entry.size + self.segments.iter().map(|segment| segment.entry.size).sum::<u64>()
    }
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanFault {
    /// No base is so old; the oldest has this commit. None where there is no base.
    Before(Option<u64>),
    /// Nothing reaches so far; this is the last.
    Beyond(u64),
    /// What should be before this object is not there.
    Missing(String),
}

/// Plans how to get to a commit.
pub fn plan(names: &Names, commit: u64) -> Result<Plan, PlanFault> {
    let Some(base) = names.bases.iter().rfind(|base| base.commit <= commit) else {
        return Err(PlanFault::Before(names.bases.iter().map(|base| base.commit).min()));
    };
    if base.commit == commit && base.frame == 0 {
        return Ok(Plan { base: base.clone(), segments: Vec::new() });
    }
    let goal = names.segments.iter().find(|segment| {
        let behind = (segment.epoch, segment.last) >= (base.epoch, base.frame);
        behind && segment.commit >= commit
    });
    let Some(goal) = goal else { return Err(PlanFault::Beyond(names.last_commit().unwrap_or(base.commit))) };
    Ok(Plan { base: base.clone(), segments: back(names, base, goal)? })
}

/// From the last segment back to the first frame of the base's life.
fn back(names: &Names, base: &BaseName, goal: &SegmentName) -> Result<Vec<SegmentName>, PlanFault> {
    // Of two that end at the same frame the longer one: that is as far as anybody can have come before it.
    let by_end: HashMap<(u64, u32), &SegmentName> =
        names.segments.iter().rev().map(|segment| ((segment.epoch, segment.last), segment)).collect();
    let last_of = |epoch| names.segments.iter().filter(|segment| segment.epoch == epoch).max_by_key(|s| s.last);
    let mut segments = vec![goal.clone()];
    let mut at = goal;
    while (at.epoch, at.first) != (base.epoch, 1) {
        let before = match at.first {
            // Lives are counted only where something was committed in them: there is none without segments.
            1 => last_of(at.epoch.saturating_sub(1)).filter(|segment| segment.epoch >= base.epoch),
            first => by_end.get(&(at.epoch, first - 1)).copied(),
        };
        let Some(before) = before else { return Err(PlanFault::Missing(at.entry.key.clone())) };
        segments.push(before.clone());
        at = before;
    }
    segments.reverse();
    Ok(segments)
}

#[cfg(test)]
mod tests;
