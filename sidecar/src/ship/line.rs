//! Where the archive of one database stands.

use control::{WalPosition, WalRecord};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::format::{BaseHeader, SegmentHeader, Sha256};

/// The place behind the last object of a database. Everything before it is in the bucket or in the outbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// Which life of the WAL.
    pub epoch: u64,
    /// Where in it. Salts of zero: its header was not there yet.
    pub at: WalPosition,
    /// Bytes of a page.
    pub page_size: u32,
    /// The last commit.
    pub commit: u64,
    /// Its time.
    pub time: Timestamp,
    /// Hash of the last header: what the next segment names.
    pub head: Sha256,
    /// The base that is newest.
    pub base: LastBase,
}

/// What decides when the next base is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastBase {
    /// When it was taken.
    pub time: Timestamp,
    /// Bytes of the main file then.
    pub size: u64,
    /// Bytes of frames that were shipped since.
    pub shipped: u64,
}

/// A position that names no life yet.
pub const NOWHERE: WalPosition = WalPosition { salts: [0, 0], frame: 0, checksum: [0, 0] };

impl Line {
    /// The line behind a base that begins anew: at the start of the base's life, whose first frame follows commit `before`.
    /// Commits that are in the base already follow it with times of their own, no earlier than `floor`.
    pub fn behind_base(base: &BaseHeader, hash: Sha256, before: u64, start: WalPosition, floor: Timestamp) -> Self {
        let last = LastBase { time: base.time, size: base.pages * u64::from(base.page_size), shipped: 0 };
        let time = if base.frame > 0 { floor } else { base.time };
        let (epoch, page_size) = (base.epoch, base.page_size);
        Self { epoch, at: start, page_size, commit: before, time, head: hash, base: last }
    }

    /// True if the segment is the next one of the chain.
    pub fn is_followed_by(&self, next: &SegmentHeader) -> bool {
        let here = next.epoch == self.epoch && next.first == self.at.frame + 1;
        let begins = next.epoch == self.epoch + 1 && next.first == 1;
        let known = self.at.salts == [0, 0] || (next.salts, next.checksum_before) == (self.at.salts, self.at.checksum);
        let numbered = next.commits.first().is_some_and(|point| point.commit == self.commit + 1);
        next.previous == self.head && numbered && ((here && known) || begins)
    }

    /// Goes behind that segment.
    pub fn advance(&mut self, segment: &SegmentHeader, hash: Sha256) {
        let at = WalPosition { salts: segment.salts, frame: segment.last, checksum: segment.checksum_after };
        self.base.shipped += u64::from(segment.last - segment.first + 1) * (24 + u64::from(segment.page_size));
        (self.epoch, self.at, self.page_size, self.head) = (segment.epoch, at, segment.page_size, hash);
        if let Some(last) = segment.commits.last() {
            (self.commit, self.time) = (last.commit, last.time);
        }
    }

    /// Goes on to the next life of the WAL.
    pub fn enter(&mut self, epoch: u64) {
        (self.epoch, self.at) = (epoch, NOWHERE);
    }

    /// True if the record says that this line has all of the life that it ended.
    pub fn is_end(&self, record: &WalRecord) -> bool {
        self.epoch == record.epoch && self.at == record.end
    }
}
