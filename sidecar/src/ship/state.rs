//! What is remembered of each mailbox's archive, so that a start needs no listing of the bucket.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use control::Database;
use files::{FilesError, durable};
use jiff::Timestamp;
use model::backup::ArchiveId;
use model::{MailboxId, Term};
use serde::{Deserialize, Serialize};

use super::{Line, ShipError};
use crate::format::{DataFile, FORMAT, Manifest, Predecessor, Reason, Sha256};

/// Where the archive of one mailbox stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MailboxState {
    /// Version of this file; 1.
    pub format: u32,
    /// In which bucket: what it calls itself.
    pub destination: String,
    /// The archive.
    pub archive: ArchiveId,
    /// Under which ownership that was found out. In the time of another owner later timelines may have begun.
    #[serde(default = "unknown")]
    pub term: Term,
    /// `mailbox.sqlite`; absent before its first base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mailbox: Option<Line>,
    /// `spool.sqlite`; likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spool: Option<Line>,
    /// The newest version of `keys.json` in the bucket.
    #[serde(default)]
    pub keys: u64,
    /// How far its schedule of snapshots is.
    #[serde(default)]
    pub snapshot: Met,
    /// When retention was through with it last.
    #[serde(default)]
    pub retained: Timestamp,
    /// The newest manifest; one that was never written has number 0.
    pub manifest: Manifest,
    /// Its hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_hash: Option<Sha256>,
}

/// How far a schedule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Met {
    /// When it was met last: every time of the schedule before is done with.
    pub at: Timestamp,
    /// The key was not here then, so a snapshot is made when the owner comes.
    pub owed: bool,
}

/// No shard was ever owned under it.
fn unknown() -> Term {
    Term(0)
}

impl MailboxState {
    /// Of an archive that has nothing yet.
    pub fn new(destination: String, archive: ArchiveId, predecessor: Option<Predecessor>) -> Self {
        let manifest = Manifest {
            format: FORMAT,
            archive: archive.clone(),
            number: 0,
            previous: None,
            term: unknown(),
            run: String::new(),
            time: Timestamp::UNIX_EPOCH,
            reason: if predecessor.is_some() { Reason::Fork } else { Reason::Base },
            predecessor,
            restored: None,
            keyset: None,
            bases: Vec::new(),
            heads: Vec::new(),
            gaps: Vec::new(),
            snapshots: Vec::new(),
        };
        let (mailbox, spool, manifest_hash) = (None, None, None);
        Self {
            format: 1,
            destination,
            archive,
            term: unknown(),
            mailbox,
            spool,
            keys: 0,
            snapshot: Met::default(),
            retained: Timestamp::UNIX_EPOCH,
            manifest,
            manifest_hash,
        }
    }

    /// Where a database stands.
    pub fn line(&self, file: DataFile) -> Option<&Line> {
        match file {
            DataFile::Mailbox => self.mailbox.as_ref(),
            DataFile::Spool => self.spool.as_ref(),
        }
    }

    /// The same, to be changed.
    pub fn line_mut(&mut self, file: DataFile) -> &mut Option<Line> {
        match file {
            DataFile::Mailbox => &mut self.mailbox,
            DataFile::Spool => &mut self.spool,
        }
    }

    /// The next timeline, which begins where this one cannot go on.
    #[must_use]
    pub fn forked(&self) -> Self {
        let commits: Vec<(Database, u64)> =
            DataFile::ALL.into_iter().filter_map(|file| Some((file.database(), self.line(file)?.commit))).collect();
        let predecessor = Predecessor { archive: self.archive.clone(), commits };
        let archive = ArchiveId { timeline: self.archive.timeline + 1, ..self.archive.clone() };
        let mut next = Self::new(self.destination.clone(), archive, Some(predecessor));
        (next.term, next.keys) = (self.term, self.keys);
        (next.snapshot, next.retained) = (self.snapshot, self.retained);
        next.manifest.restored.clone_from(&self.manifest.restored);
        next.manifest.keyset.clone_from(&self.manifest.keyset);
        next
    }

    /// How the archive goes on after the restore of that run: in another timeline, unless nothing is in this one yet.
    #[must_use]
    pub fn restored(&self, run: &str) -> Self {
        let mut next = if self.manifest.number > 0 { self.forked() } else { self.clone() };
        if let Some(predecessor) = &mut next.manifest.predecessor {
            // The numbers of the mailbox's commits mean something else now; the spool is the one it was.
            predecessor.commits.retain(|(database, _)| *database == Database::Spool);
        }
        next.manifest.restored = Some(run.to_owned());
        next
    }
}

/// The folder they are in.
#[derive(Debug, Clone)]
pub struct States {
    folder: PathBuf,
}

impl States {
    /// Below `<data>/sidecar`.
    pub fn open(sidecar: &Path) -> Result<Self, FilesError> {
        let folder = sidecar.join("mailboxes");
        durable::create_dir_all(&folder)?;
        Ok(Self { folder })
    }

    /// What is known of a mailbox.
    pub fn load(&self, mailbox: MailboxId) -> Result<Option<MailboxState>, ShipError> {
        let path = self.path(mailbox);
        let json = match fs::read(&path) {
            Ok(json) => json,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(FilesError::Io { action: "read", path, source }.into()),
        };
        let unreadable = |reason: String| ShipError::State { path: path.clone(), reason };
        let state: MailboxState = serde_json::from_slice(&json).map_err(|error| unreadable(error.to_string()))?;
        if state.format != 1 {
            return Err(unreadable(format!("format {}", state.format)));
        }
        Ok(Some(state))
    }

    /// Writes it durably.
    pub fn save(&self, state: &MailboxState) -> Result<(), ShipError> {
        let path = self.path(state.archive.mailbox);
        let json = serde_json::to_vec(state);
        let json = json.map_err(|error| ShipError::State { path: path.clone(), reason: error.to_string() })?;
        Ok(durable::write(&path, &json)?)
    }

    /// Forgets a mailbox. Blocking.
    pub fn remove(&self, mailbox: MailboxId) -> Result<(), FilesError> {
        durable::remove(&self.path(mailbox))
    }

    fn path(&self, mailbox: MailboxId) -> PathBuf {
        self.folder.join(format!("{mailbox}.json"))
    }
}
