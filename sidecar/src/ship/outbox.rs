//! Tails of WALs that were folded in: copied before, on their way to the bucket.
//!
//! A tail is a whole segment. It is written under a temporary name, synced, and renamed, before anybody is told that the WAL
//! may be folded in.

use std::fs;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use files::{FilesError, durable};
use model::MailboxId;

use super::{Made, ShipError};
use crate::assemble::AssembleError;
use crate::bucket::{FilePart, Object};
use crate::format::envelope::{FRONT, Front};
use crate::format::{Fault, Header, Name, SegmentHeader, Sha256};

/// The folder of all of them.
#[derive(Debug, Clone)]
pub struct Outbox {
    folder: PathBuf,
}

/// One of them.
#[derive(Debug, Clone)]
pub struct Tail {
    /// The file.
    pub path: PathBuf,
    /// What it says.
    pub segment: SegmentHeader,
    /// Hash of that.
    pub hash: Sha256,
}

impl Outbox {
    /// `<data>/outbox`.
    pub fn open(folder: PathBuf) -> Result<Self, FilesError> {
        durable::create_dir_all(&folder)?;
        Ok(Self { folder })
    }

    /// Where a compressed base may lie for a while.
    pub fn scratch(&self, mailbox: MailboxId) -> Result<PathBuf, FilesError> {
        let folder = self.folder.join(mailbox.to_string());
        durable::create_dir_all(&folder)?;
        Ok(folder.join("base.tmp"))
    }

    /// Keeps a segment durably.
    pub fn put(&self, mailbox: MailboxId, made: &Made) -> Result<(), FilesError> {
        let folder = self.folder.join(mailbox.to_string());
        durable::create_dir_all(&folder)?;
        let name = made.header.name().map(|name| file_name(&name)).unwrap_or_default();
        durable::write(&folder.join(name), &made.object.front)
    }

    /// Mailboxes that have tails here.
    pub fn mailboxes(&self) -> Result<Vec<MailboxId>, FilesError> {
        let names = names(&self.folder)?;
        Ok(names.into_iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// Bytes of all tails.
    pub fn bytes(&self) -> Result<u64, FilesError> {
        let mut bytes = 0;
        for mailbox in names(&self.folder)? {
            let folder = self.folder.join(mailbox);
            for name in names(&folder)? {
                bytes += fs::metadata(folder.join(name)).map_or(0, |meta| meta.len());
            }
        }
        Ok(bytes)
    }

    /// The tails of a mailbox, in order.
    pub fn tails(&self, mailbox: MailboxId) -> Result<Vec<Tail>, ShipError> {
        let folder = self.folder.join(mailbox.to_string());
        let mut tails = Vec::new();
        for name in names(&folder)? {
            if Path::new(&name).extension().is_none_or(|end| end != "seg") {
                continue;
            }
            let path = folder.join(name);
            let front = front(&path)?;
            if let Header::Segment(segment) = front.header {
                tails.push(Tail { path, segment, hash: front.hash });
            }
        }
        tails.sort_by_key(|tail| (tail.segment.database, tail.segment.epoch, tail.segment.first));
        Ok(tails)
    }
}

impl Tail {
    /// The object it is.
    pub fn made(&self, root: &str, run: &str) -> Result<Made, ShipError> {
        let bytes = read(&self.path)?;
        let header = Header::Segment(self.segment.clone());
        let key = header.name().map(|name| name.key(root)).unwrap_or_default();
        let file = Some(FilePart { path: self.path.clone(), offset: 0, length: bytes.len() as u64 });
        let object = Object { front: bytes::Bytes::new(), file, sha256: Sha256::of(&bytes), run: run.to_owned() };
        Ok(Made { key, object, header, hash: self.hash })
    }

    /// It is in the bucket.
    pub fn remove(&self) -> Result<(), FilesError> {
        durable::remove(&self.path)
    }
}

fn file_name(name: &Name) -> String {
    name.to_string().replace('/', "_")
}

fn front(path: &Path) -> Result<Front, ShipError> {
    let failed = |source| FilesError::Io { action: "read", path: path.to_owned(), source };
    let mut file = fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.by_ref().take(FRONT).read_to_end(&mut bytes).map_err(failed)?;
    let front = match Header::open(&bytes) {
        Err(Fault::Truncated { .. }) => {
            file.read_to_end(&mut bytes).map_err(failed)?;
            Header::open(&bytes)
        }
        front => front,
    };
    front.map_err(|fault| AssembleError::from(fault.of(path.display().to_string())).into())
}

fn read(path: &Path) -> Result<Vec<u8>, FilesError> {
    fs::read(path).map_err(|source| FilesError::Io { action: "read", path: path.to_owned(), source })
}

fn names(folder: &Path) -> Result<Vec<String>, FilesError> {
    let failed = |source| FilesError::Io { action: "list", path: folder.to_owned(), source };
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(failed)?.file_name().into_string().ok().filter(|name| !name.starts_with('.')));
    }
    Ok(names)
}
