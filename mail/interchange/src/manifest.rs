//! `manifest.json`: what the files themselves do not tell. It is written last, so that an export without one is not whole.
//!
//! ```text
//! {"format": 1, "kind": "eml",
//!  "messages": [
//!   {"file": "INBOX/0000000007.eml", "folder": "INBOX", "uid": 7, "flags": ["\\Seen"], "keywords": ["$Forwarded"],
//!    "internalDate": "2024-05-01T10:00:00Z", "size": 1234, "sha256": "...", "waiting": false}
//!  ],
//!  "folders": [{"name": "INBOX", "path": "INBOX", "uidvalidity": 1, "uidnext": 8, "messages": 1}],
//!  "subscriptions": ["INBOX"], "setAside": [], "damaged": []}
//! ```

use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Format, InterchangeError, output};

/// Its name in the root of an export.
pub(crate) const NAME: &str = "manifest.json";
const FORMAT: u32 = 1;

/// One message.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    /// Path from the root; of a Maildir without `new`, `cur` and the flags behind the colon, of an mbox its folder's file.
    pub file: String,
    pub folder: String,
    pub uid: Option<u32>,
    pub flags: Vec<String>,
    pub keywords: Vec<String>,
    pub internal_date: Option<Timestamp>,
    pub size: u64,
    pub sha256: String,
    #[serde(default)]
    pub waiting: bool,
}

/// One folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FolderEntry {
    pub name: String,
    /// From the root.
    pub path: String,
    pub uidvalidity: Option<u32>,
    pub uidnext: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub special: Option<String>,
    pub messages: u64,
}

/// A waiting message that could not be opened; it is not in the export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Aside {
    /// Its delivery id.
    pub delivery: String,
    /// Why.
    pub reason: String,
}

/// A message that could not be read; it is not in the export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Damaged {
    /// Its folder.
    pub folder: String,
    /// Its UID.
    pub uid: u32,
    /// Why.
    pub reason: String,
}

/// What comes behind the messages.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Tail {
    #[serde(default)]
    pub folders: Vec<FolderEntry>,
    #[serde(default)]
    pub subscriptions: Vec<String>,
    #[serde(default)]
    pub set_aside: Vec<Aside>,
    #[serde(default)]
    pub damaged: Vec<Damaged>,
}

/// All of it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Manifest {
    pub format: u32,
    pub kind: String,
    #[serde(default)]
    pub messages: Vec<Entry>,
    #[serde(flatten)]
    pub tail: Tail,
}

impl Manifest {
    /// Reads the manifest of an export; none where the folder was made by another program, or is of another kind.
    pub fn read(root: &Path, kind: Format) -> Result<Option<Self>, InterchangeError> {
        let path = root.join(NAME);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(InterchangeError::io("read", &path)(error)),
        };
        let malformed = |why: String| InterchangeError::malformed(&path, "a manifest of an export", why);
        let manifest: Self = serde_json::from_slice(&text).map_err(|e| malformed(e.to_string()))?;
        if manifest.format != FORMAT {
            return Err(malformed(format!("its format is {}, this version reads {FORMAT}", manifest.format)));
        }
        Ok(Some(manifest).filter(|manifest| manifest.kind == kind.name()))
    }
}

/// Writes a manifest as the messages come.
pub(crate) struct ManifestWriter {
    path: PathBuf,
    out: BufWriter<fs::File>,
    empty: bool,
}

impl ManifestWriter {
    pub fn begin(root: &Path, kind: Format) -> Result<Self, InterchangeError> {
        let path = root.join(NAME);
        let mut out = BufWriter::new(output::create(&path)?);
        write!(out, "{{\"format\": {FORMAT}, \"kind\": \"{}\",\n \"messages\": [", kind.name())
            .map_err(InterchangeError::io("write", &path))?;
        Ok(Self { path, out, empty: true })
    }

    pub fn message(&mut self, entry: &Entry) -> Result<(), InterchangeError> {
        let separator = if std::mem::take(&mut self.empty) { "\n  " } else { ",\n  " };
        let line = json(&self.path, entry)?;
        self.out
            .write_all(separator.as_bytes())
            .and_then(|()| self.out.write_all(&line))
            .map_err(InterchangeError::io("write", &self.path))
    }

    pub fn finish(mut self, tail: &Tail) -> Result<(), InterchangeError> {
        let rest = json(&self.path, tail)?;
        // The object's own brace was written at the start.
        self.out
            .write_all(b"\n ],\n ")
            .and_then(|()| self.out.write_all(rest.strip_prefix(b"{").unwrap_or(&rest)))
            .and_then(|()| self.out.write_all(b"\n"))
            .and_then(|()| self.out.flush())
            .map_err(InterchangeError::io("write", &self.path))
    }
}

fn json(path: &Path, value: &impl Serialize) -> Result<Vec<u8>, InterchangeError> {
    serde_json::to_vec(value).map_err(|e| InterchangeError::malformed(path, "a manifest", e.to_string()))
}
