//! Snapshots into the bucket: the file while the mailbox goes on being shipped, then, in a turn of the mailbox, its note and
//! the manifest that names it.
//!
//! | crash after | leaves | then |
//! |---|---|---|
//! | the file | a file without a note | retention removes it after a day; the snapshot is made again |
//! | the note | a whole snapshot that no manifest names | it can be restored; retention removes it after a day |
//! | the manifest | what is remembered is older | the next manifest, or retention, finds that out |

use std::path::Path;

use control::Database;
use files::fault;
use jiff::SignedDuration;
use model::backup::ArchiveId;

use super::pass::blocking;
use super::state::Met;
use super::{MailboxState, Passed, ShipError, Shipper, Told, make};
use crate::bucket::{BucketError, FilePart, Object};
use crate::format::{DataFile, FORMAT, Reason, SnapshotNote, SnapshotPart, SnapshotRecord, document};

/// Names differ by seconds.
const SECOND: SignedDuration = SignedDuration::from_secs(1);
/// So much later than it was made a snapshot may claim to be, to find a name that nobody has.
const NAMES: SignedDuration = SignedDuration::from_secs(3);

/// A snapshot whose file is in the bucket, and nothing else of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploaded {
    /// Into which archive.
    pub archive: ArchiveId,
    /// What its note will say.
    pub record: SnapshotRecord,
}

impl Shipper {
    /// Uploads a staged copy, if it is what the record says.
    pub async fn upload_snapshot(
        &self,
        archive: &ArchiveId,
        mut record: SnapshotRecord,
        staged: &Path,
    ) -> Result<Uploaded, ShipError> {
        let path = staged.to_owned();
        let (size, sha256) = blocking(move || make::digest(&path)).await?;
        if (size, sha256) != (record.size, record.sha256) {
            return Err(ShipError::Staged { path: staged.to_owned() });
        }
        let file = Some(FilePart { path: staged.to_owned(), offset: 0, length: size });
        let object = Object { front: bytes::Bytes::new(), file, sha256, run: self.run.clone() };
        let last = record.time + NAMES;
        loop {
            let key = record.name(archive, SnapshotPart::Database).key(&self.root);
            match self.bucket.put_if_absent(&key, &object).await {
                // Of the same commit and second: the file without a note that a crash left. No two copies are alike.
                Err(BucketError::Conflict { .. }) if record.time < last => record.time += SECOND,
                done => break done.map(drop)?,
            }
        }
        fault::point("snapshot.uploaded.after");
        Ok(Uploaded { archive: archive.clone(), record })
    }

    /// Puts the note of a snapshot beside it and writes the manifest that names it. False where the archive has another
    /// timeline now, or does not reach to the snapshot's commit: it would be taken for what it is not.
    pub async fn note_snapshot(&self, state: &mut MailboxState, uploaded: &Uploaded) -> Result<bool, ShipError> {
        let Uploaded { archive, record } = uploaded;
        let reaches = state.line(DataFile::Mailbox).is_some_and(|line| line.commit >= record.commit);
        if state.archive != *archive || !reaches {
            return Ok(false);
        }
        let note = SnapshotNote { format: FORMAT, archive: archive.clone(), snapshot: record.clone() };
        let key = record.name(archive, SnapshotPart::Record).key(&self.root);
        let object = Object::of_bytes(document::write(&note, &self.signer).0, &self.run);
        self.bucket.put_if_absent(&key, &object).await?;
        fault::point("snapshot.noted.after");
        if !state.manifest.snapshots.contains(record) {
            let add = |manifest: &mut crate::format::Manifest| {
                if !manifest.snapshots.contains(record) {
                    manifest.snapshots.push(record.clone());
                }
            };
            self.manifest(state, Reason::Snapshot, add).await?;
        }
        Ok(true)
    }

    /// For a mailbox whose key is not here: a fresh base of whatever was written since its last one. Answers what that was.
    pub async fn base_instead(
        &self,
        folder: &Path,
        state: &mut MailboxState,
        told: &Told,
    ) -> Result<Vec<Database>, ShipError> {
        let (mut based, mut passed) = (Vec::new(), Passed::default());
        for file in DataFile::ALL {
            let changed = state.line(file).is_some_and(|line| line.base.shipped > 0);
            if changed && self.base_again(folder, state, file, told, &mut passed).await? {
                based.push(file.database());
            }
        }
        Ok(based)
    }
}

impl MailboxState {
    /// The newest snapshot of this timeline.
    pub fn last_snapshot(&self) -> Option<&SnapshotRecord> {
        self.manifest.snapshots.last()
    }

    /// When the schedule was met last. What the bucket has counts where this is not remembered.
    pub fn met(&self) -> Met {
        let last = self.last_snapshot().map(|snapshot| snapshot.time).unwrap_or_default();
        Met { at: self.snapshot.at.max(last), owed: self.snapshot.owed }
    }

    /// True if a snapshot would have something that the last one has not, as far as that is known.
    pub fn has_news(&self) -> bool {
        let line = self.line(DataFile::Mailbox).map(|line| line.commit);
        self.last_snapshot().is_none_or(|last| line.is_none_or(|commit| last.commit < commit))
    }
}
