//! Objects out of a bucket, checked.

use std::cmp::Ordering;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use files::FilesError;
use model::Class;
use model::backup::ArchiveId;
use tokio::io::AsyncWriteExt as _;

use super::{AssembleError, Inventory, SnapshotName};
use crate::bucket::{Bucket, BucketError, Entry};
use crate::format::document::{Document, Read, read};
use crate::format::envelope::{FRONT, Front};
use crate::format::{
    Damage, Fault, Hashing, Header, Manifest, Name, Sha256, SignerKey, SnapshotNote, SnapshotPart, SnapshotRecord,
};

/// Read at a time.
const PIECE: u64 = 8 << 20;
/// A document that is longer is none of ours.
const DOCUMENT_MOST: u64 = 64 << 20;
/// Attempts of one request; a bucket that is away for longer is away.
const ATTEMPTS: u32 = 4;
/// Wait before the second attempt; doubles.
const WAIT: Duration = Duration::from_millis(200);

/// The objects below one root.
#[derive(Debug)]
pub(crate) struct Objects<'a> {
    pub bucket: &'a dyn Bucket,
    pub root: String,
    /// Whose signatures count.
    pub signers: Vec<SignerKey>,
}

impl Objects<'_> {
    /// A signed document. Whose signature it is, is not looked at.
    pub async fn document<D: Document>(&self, key: &str, size: u64) -> Result<Read<D>, AssembleError> {
        let bytes = self.range(key, 0, size.min(DOCUMENT_MOST)).await?;
        Ok(read(key, &bytes)?)
    }

    /// An object as it is.
    pub async fn whole(&self, entry: &Entry) -> Result<Bytes, AssembleError> {
        self.range(&entry.key, 0, entry.size.min(DOCUMENT_MOST)).await
    }

    /// The newest manifest; none where there is none.
    pub async fn manifest(&self, inventory: &Inventory) -> Result<Option<Read<Manifest>>, AssembleError> {
        let Some((number, entry)) = inventory.manifests.last_key_value() else { return Ok(None) };
        self.manifest_at(*number, entry).await.map(Some)
    }

    /// A manifest that is what its name says, signed by one of the signers.
    pub async fn manifest_at(&self, number: u64, entry: &Entry) -> Result<Read<Manifest>, AssembleError> {
        let read = self.document::<Manifest>(&entry.key, entry.size).await?;
        let archive = &read.document.archive;
        let (mailbox, timeline) = (archive.mailbox, archive.timeline);
        let own = Name::Manifest { mailbox, timeline, number: read.document.number }.key(&self.root);
        let server = self.root.rsplit('.').next() == Some(&archive.server.0);
        if own != entry.key || !server || read.document.number != number {
            return Err(Fault::Place(own).of(&entry.key).into());
        }
        if !self.signers.contains(&read.signer) {
            return Err(Fault::Signer(read.signer).of(&entry.key).into());
        }
        Ok(read)
    }

    /// What a base or segment says of itself, and the first bytes of the object.
    pub async fn front(&self, entry: &Entry, first: u64) -> Result<(Front, Bytes), AssembleError> {
        let key = &entry.key;
        let mut bytes = self.range(key, 0, first.max(FRONT).min(entry.size)).await?;
        let front = loop {
            match Header::open(&bytes) {
                Err(Fault::Truncated { want, .. }) if want > bytes.len() as u64 && want <= entry.size => {
                    bytes = self.range(key, 0, want).await?;
                }
                front => break front.map_err(|fault| fault.of(key))?,
            }
        };
        front.admit(&self.root, key, &self.signers).map_err(|fault| fault.of(key))?;
        let (want, have) = (front.payload_at + front.header.payload().1.size, entry.size);
        match have.cmp(&want) {
            Ordering::Less => Err(Fault::Truncated { have, want }.of(key).into()),
            Ordering::Greater => Err(Fault::TooLong { have, want }.of(key).into()),
            Ordering::Equal => Ok((front, bytes)),
        }
    }

    /// Writes the payload of a base or segment to a file, as it is stored, and checks its hash.
    pub async fn payload(&self, entry: &Entry, to: &Path) -> Result<Front, AssembleError> {
        let (front, first) = self.front(entry, PIECE).await?;
        let piece = first.slice((front.payload_at as usize).min(first.len())..);
        self.copy(entry, piece, first.len() as u64, front.header.payload().1.sha256, to).await?;
        Ok(front)
    }

    /// What the note of a snapshot says, if it is that of this object.
    pub async fn snapshot(&self, archive: &ArchiveId, name: &SnapshotName) -> Result<SnapshotRecord, AssembleError> {
        let Some(entry) = &name.note else { return Err(Fault::Link("any note".to_owned()).of(&name.entry.key).into()) };
        let read = self.document::<SnapshotNote>(&entry.key, entry.size).await?;
        if !self.signers.contains(&read.signer) {
            return Err(Fault::Signer(read.signer).of(&entry.key).into());
        }
        let SnapshotNote { archive: of, snapshot, .. } = read.document;
        let own = snapshot.name(&of, SnapshotPart::Database).key(&self.root);
        if of != *archive || own != name.entry.key {
            return Err(Fault::Place(own).of(&entry.key).into());
        }
        let (want, have) = (snapshot.size, name.entry.size);
        match have.cmp(&want) {
            Ordering::Less => Err(Fault::Truncated { have, want }.of(&name.entry.key).into()),
            Ordering::Greater => Err(Fault::TooLong { have, want }.of(&name.entry.key).into()),
            Ordering::Equal => Ok(snapshot),
        }
    }

    /// Writes an object as it is to a file, and checks its hash.
    pub async fn plain(&self, entry: &Entry, want: Sha256, to: &Path) -> Result<(), AssembleError> {
        self.copy(entry, Bytes::new(), 0, want, to).await
    }

    /// Writes `piece` and what comes behind the first `at` bytes of an object to a file.
    async fn copy(
        &self,
        entry: &Entry,
        mut piece: Bytes,
        mut at: u64,
        want: Sha256,
        to: &Path,
    ) -> Result<(), AssembleError> {
        let mut file = tokio::fs::File::create(to).await.map_err(io("create", to))?;
        let mut hashing = Hashing::default();
        loop {
            hashing.update(&piece);
            file.write_all(&piece).await.map_err(io("write", to))?;
            if at >= entry.size {
                break;
            }
            piece = self.range(&entry.key, at, (at + PIECE).min(entry.size)).await?;
            at += piece.len() as u64;
        }
        file.flush().await.map_err(io("write", to))?;
        let have = hashing.finish();
        if have == want { Ok(()) } else { Err(Fault::Content { have, want }.of(&entry.key).into()) }
    }

    /// All bytes of a range, patiently.
    pub async fn range(&self, key: &str, from: u64, to: u64) -> Result<Bytes, AssembleError> {
        let mut wait = WAIT;
        for attempt in 1.. {
            let error = match self.bucket.get(key, from..to).await {
                Ok(bytes) if bytes.len() as u64 == to - from => return Ok(bytes),
                Ok(bytes) => BucketError::Unavailable {
                    action: "get",
                    key: key.to_owned(),
                    reason: format!("{} of {} bytes came", bytes.len(), to - from),
                },
                Err(BucketError::NotFound { key }) => return Err(Fault::Missing.of(key).into()),
                Err(error) => error,
            };
            if error.class() != Class::Transient || attempt == ATTEMPTS {
                return Err(error.into());
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
        Ok(Bytes::new())
    }
}

impl From<Damage> for AssembleError {
    fn from(damage: Damage) -> Self {
        Self::Damaged { damage: Box::new(damage), restorable: None }
    }
}

pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> AssembleError {
    move |source| FilesError::Io { action, path: path.to_owned(), source }.into()
}
