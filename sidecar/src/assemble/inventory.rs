//! What a listing says: names alone.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::bucket::Entry;
use crate::format::{DataFile, Name, SnapshotPart};

/// A base, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseName {
    /// The object.
    pub entry: Entry,
    /// In which life of the WAL it was taken.
    pub epoch: u64,
    /// With the frames up to this one it is a database.
    pub frame: u32,
    /// The commit there.
    pub commit: u64,
}

/// A segment, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentName {
    /// The object.
    pub entry: Entry,
    /// Of which life of the WAL.
    pub epoch: u64,
    /// Its first frame.
    pub first: u32,
    /// Its last frame.
    pub last: u32,
    /// The commit that ends there.
    pub commit: u64,
}

/// A snapshot, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotName {
    /// The file.
    pub entry: Entry,
    /// Its note; without one it is not whole.
    pub note: Option<Entry>,
    /// The commit it represents.
    pub commit: u64,
    /// When it was made.
    pub time: Timestamp,
}

/// Bases and segments of one database, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Names {
    /// By life and frame.
    pub bases: Vec<BaseName>,
    /// By life, first and last frame.
    pub segments: Vec<SegmentName>,
}

impl Names {
    /// The last commit that can be restored. A base with frames needs them, and they come after it.
    pub fn last_commit(&self) -> Option<u64> {
        let bases = self.bases.iter().filter(|base| base.frame == 0).map(|base| base.commit);
        bases.chain(self.segments.iter().map(|segment| segment.commit)).max()
    }
}

/// Everything of one timeline.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inventory {
    /// By database; one that has nothing is not there.
    pub databases: BTreeMap<DataFile, Names>,
    /// Manifests by number.
    pub manifests: BTreeMap<u64, Entry>,
    /// Snapshots, oldest first.
    pub snapshots: Vec<SnapshotName>,
    /// Notes of snapshots that are not there.
    pub notes: Vec<Entry>,
    /// Keys of objects that are none of ours.
    pub strangers: Vec<String>,
}

impl Inventory {
    /// What a listing of a timeline below `root` has.
    pub fn of(root: &str, entries: Vec<Entry>) -> Self {
        let mut all = Self::default();
        for entry in entries {
            all.add(Name::of_key(root, &entry.key), entry);
        }
        for note in std::mem::take(&mut all.notes) {
            let file = note.key.strip_suffix(".json").map(|stem| format!("{stem}.sqlite"));
            match all.snapshots.iter_mut().find(|known| Some(&known.entry.key) == file.as_ref()) {
                Some(snapshot) => snapshot.note = Some(note),
                None => all.notes.push(note),
            }
        }
        for names in all.databases.values_mut() {
            names.bases.sort_by_key(|base| (base.epoch, base.frame, base.commit));
            names.segments.sort_by_key(|segment| (segment.epoch, segment.first, segment.last));
        }
        all.snapshots.sort_by_key(|snapshot| (snapshot.time, snapshot.commit));
        all
    }

    /// True if there is nothing.
    pub fn is_empty(&self) -> bool {
        self.databases.is_empty() && self.snapshots.is_empty() && self.manifests.is_empty()
    }

    fn add(&mut self, name: Option<Name>, entry: Entry) {
        match name {
            Some(Name::Base { file, epoch, frame, commit, .. }) => {
                self.databases.entry(file).or_default().bases.push(BaseName { entry, epoch, frame, commit });
            }
            Some(Name::Segment { file, epoch, first, last, commit, .. }) => {
                let segment = SegmentName { entry, epoch, first, last, commit };
                self.databases.entry(file).or_default().segments.push(segment);
            }
            Some(Name::Manifest { number, .. }) => drop(self.manifests.insert(number, entry)),
            Some(Name::Snapshot { commit, time, part: SnapshotPart::Database, .. }) => {
                self.snapshots.push(SnapshotName { entry, note: None, commit, time });
            }
            Some(Name::Snapshot { part: SnapshotPart::Record, .. }) => self.notes.push(entry),
            Some(Name::Owner { .. } | Name::Keys { .. } | Name::OtherKeys { .. }) | None => {
                self.strangers.push(entry.key);
            }
        }
    }
}
