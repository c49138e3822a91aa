//! `manifest/<n>.json`: what an archive consists of.
//!
//! One is written at every base, life of a WAL, gap, fork, snapshot and removal, never per segment. It is the whole truth
//! of that moment, so only the last one is needed; those before it are kept as long as retention allows, and each names the
//! hash of its predecessor, so that none can be taken out of the middle or put back unseen.

use control::Database;
use jiff::Timestamp;
use model::Term;
use model::backup::ArchiveId;
use serde::{Deserialize, Serialize};

use super::document::Document;
use super::{Name, Sha256, SnapshotPart};

/// What an archive consists of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// [`super::FORMAT`].
    pub format: u32,
    /// Whose it is.
    pub archive: ArchiveId,
    /// Counted from 1; also in its name.
    pub number: u64,
    /// Hash of the manifest before it; absent for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Sha256>,
    /// Under which ownership of the shard.
    pub term: Term,
    /// The start of the sidecar that wrote it.
    pub run: String,
    /// When.
    pub time: Timestamp,
    /// Why.
    pub reason: Reason,
    /// The timeline this one left, and where; absent for the first of a mailbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predecessor: Option<Predecessor>,
    /// The restore that the mailbox's files came from when this timeline began or went on from it: the id of its run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored: Option<String>,
    /// Which keyset opens it, in 32 hexadecimal digits: where the keys of a mailbox were lost and made anew, the bucket has
    /// those of both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyset: Option<String>,
    /// Every base there is, oldest first.
    pub bases: Vec<BaseRef>,
    /// Where each database's segments had come to.
    pub heads: Vec<Head>,
    /// What is not in the archive, oldest first.
    pub gaps: Vec<Gap>,
    /// Every snapshot there is, oldest first.
    pub snapshots: Vec<SnapshotRecord>,
}

impl Document for Manifest {
    const KIND: &'static str = "manifest";
}

/// Why a manifest was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reason {
    /// A base was uploaded.
    Base,
    /// A WAL began its next life.
    Epoch,
    /// Something is missing.
    Gap,
    /// The archive has what the volume has not: this timeline begins beside the other.
    Fork,
    /// The mailbox was restored in place: this timeline begins with what it is now.
    Restore,
    /// A snapshot was uploaded.
    Snapshot,
    /// Retention removed objects.
    Retention,
}

/// Where a timeline comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Predecessor {
    /// The archive it left.
    pub archive: ArchiveId,
    /// The last commits both have, by database.
    pub commits: Vec<(Database, u64)>,
}

/// A base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BaseRef {
    /// Of which database.
    pub database: Database,
    /// In which life of its WAL it was taken.
    pub epoch: u64,
    /// It serves every commit of that life from this frame on.
    pub frame: u32,
    /// The first commit that can be restored from it.
    pub commit: u64,
    /// That commit's time.
    pub time: Timestamp,
    /// Hash of its header.
    pub header: Sha256,
    /// Bytes of the object.
    pub size: u64,
}

/// The last segment of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Head {
    /// Which database.
    pub database: Database,
    /// In which life of its WAL.
    pub epoch: u64,
    /// The segment's last frame.
    pub frame: u32,
    /// The commit it ends with.
    pub commit: u64,
    /// Hash of its header.
    pub header: Sha256,
}

/// Commits that cannot be restored because bytes were lost to the archive. The first base behind them ends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    /// Of which database.
    pub database: Database,
    /// The last commit that can be restored before it.
    pub after: u64,
    /// Its time, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// The first commit that can be restored again; absent while no base has ended the gap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// Its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// Why, for people.
    pub reason: String,
}

/// A snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotRecord {
    /// Commit number of the mailbox that it represents.
    pub commit: u64,
    /// Nothing that was committed before this moment is missing in it.
    pub since: Timestamp,
    /// When it was made; whole seconds. Nothing in it was committed later.
    pub time: Timestamp,
    /// Bytes.
    pub size: u64,
    /// Hash of the file.
    pub sha256: Sha256,
    /// Schema version of the copy.
    pub schema: i64,
    /// Messages in it.
    pub messages: u64,
}

impl SnapshotRecord {
    /// What its objects are called.
    pub fn name(&self, archive: &ArchiveId, part: SnapshotPart) -> Name {
        let (mailbox, timeline) = (archive.mailbox, archive.timeline);
        Name::Snapshot { mailbox, timeline, commit: self.commit, time: self.time, part }
    }
}

/// What stands beside a snapshot in its `.json`. It is put there last, so a snapshot that has it is whole; and it is signed,
/// so the snapshot is good where no manifest is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotNote {
    /// [`super::FORMAT`].
    pub format: u32,
    /// Whose it is.
    pub archive: ArchiveId,
    /// The snapshot.
    pub snapshot: SnapshotRecord,
}

impl Document for SnapshotNote {
    const KIND: &'static str = "snapshot";
}
