//! Numbers and times of commits that are found in a WAL. Every transaction raises the number in the file by one.

use control::Commit;
use jiff::Timestamp;

use crate::format::Point;

/// Commits have other numbers than the archive gave them: it is another history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the commit at frame {frame} has number {told}, the archive counts {counted}")]
pub struct Renumbered {
    /// Where.
    pub frame: u32,
    /// What the primary says.
    pub told: u64,
    /// What follows from the commits before.
    pub counted: u64,
}

/// The number before the first frame of a life whose commits end at `ends`, from any place in it that is known; the places
/// that were told latest come last and count most.
pub fn before_first(ends: &[u32], known: &[(u32, u64)]) -> Option<u64> {
    known.iter().rev().find_map(|&(frame, commit)| match frame {
        0 => Some(commit),
        frame => commit.checked_sub(ends.binary_search(&frame).ok()? as u64 + 1),
    })
}

/// Numbers and times of commits that end at `ends` and follow commit `before`, no earlier than `floor` and, where nothing is
/// known, `now`.
pub fn points(
    ends: &[u32],
    before: u64,
    known: &[Commit],
    floor: Timestamp,
    now: Timestamp,
) -> Result<Vec<Point>, Renumbered> {
    let mut points = Vec::with_capacity(ends.len());
    let mut next = now;
    for (place, &frame) in ends.iter().enumerate().rev() {
        let commit = before + place as u64 + 1;
        if let Some(told) = known.iter().rfind(|told| told.frame == frame) {
            if told.commit != commit {
                return Err(Renumbered { frame, told: told.commit, counted: commit });
            }
            next = told.time;
        }
        points.push(Point { frame, commit, time: next });
    }
    points.reverse();
    let mut at_least = floor;
    for point in &mut points {
        point.time = point.time.max(at_least);
        at_least = point.time;
    }
    Ok(points)
}

#[cfg(test)]
mod tests;
