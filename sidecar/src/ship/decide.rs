//! How to go on: a decision about what is archived and what is on the volume.

use control::WalRecord;

use super::{Line, Seen};

/// How the archive of a database goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Course {
    /// With the frames behind the line.
    Continue,
    /// With the first frame of this life; the one before is whole in the archive.
    Enter {
        /// The life.
        epoch: u64,
    },
    /// With a base: there is nothing yet.
    Begin,
    /// With a base: frames were lost to the archive.
    Gap {
        /// What happened, for people.
        reason: String,
    },
    /// With a new timeline: the volume does not have what was archived.
    Fork {
        /// What happened, for people.
        reason: String,
    },
}

/// Decides it.
pub fn decide(line: Option<&Line>, seen: &Seen) -> Course {
    let Some(line) = line else { return Course::Begin };
    let (epoch, _) = seen.life();
    if line.epoch == epoch {
        return within(line, seen);
    }
    if line.epoch > epoch {
        let reason = format!("the archive has life {} of the WAL, the volume is in life {epoch}", line.epoch);
        return Course::Fork { reason };
    }
    match &seen.record {
        Some(record) if record.epoch == line.epoch => ended(line, record),
        Some(record) if record.commit < line.commit => went_back(line, record),
        _ if line.epoch + 1 == epoch && seen.begins == Some(line.commit) => Course::Enter { epoch },
        _ => Course::Gap {
            reason: format!("WALs were folded in before they were copied, {} in a row", epoch - line.epoch),
        },
    }
}

/// The line is in the life that goes on.
fn within(line: &Line, seen: &Seen) -> Course {
    match &seen.log {
        // Nothing of it is archived yet, so nothing of it can be missing.
        _ if line.at.frame == 0 && line.at.salts == [0, 0] => Course::Continue,
        Some(log) if log.salts == line.at.salts && log.holds => Course::Continue,
        None if line.at.frame == 0 => Course::Continue,
        Some(log) if line.at.frame == 0 && log.salts != line.at.salts => {
            // A header without commits may be lost with a crash; then the next one is as good.
            Course::Enter { epoch: line.epoch }
        }
        Some(log) if log.salts == line.at.salts => {
            Course::Fork { reason: format!("frame {} of the WAL is not the one that was archived", line.at.frame) }
        }
        _ => Course::Fork {
            reason: format!("the WAL with frame {} is gone, and nothing says it was folded in", line.at.frame),
        },
    }
}

/// The record says how the line's life ended.
fn ended(line: &Line, record: &WalRecord) -> Course {
    if line.is_end(record) {
        return Course::Enter { epoch: record.epoch + 1 };
    }
    let ours = line.at.salts == record.end.salts || (line.at.frame == 0 && line.at.salts == [0, 0]);
    if record.commit < line.commit {
        return went_back(line, record);
    }
    if ours && record.end.frame > line.at.frame {
        let lost = record.commit.saturating_sub(line.commit);
        return Course::Gap { reason: format!("a WAL was folded in with {lost} commits that were not copied") };
    }
    Course::Fork { reason: format!("the WAL ended otherwise than it was archived, at frame {}", record.end.frame) }
}

fn went_back(line: &Line, record: &WalRecord) -> Course {
    let (have, archived) = (record.commit, line.commit);
    Course::Fork { reason: format!("the volume has come to commit {have}, the archive to {archived}") }
}

#[cfg(test)]
mod tests;
