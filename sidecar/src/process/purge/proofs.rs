//! What was removed of purged mailboxes, on the volume: see the module above for names and forms.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use files::{FilesError, durable};
use jiff::Timestamp;
use model::MailboxId;
use model::backup::PurgeReport;
use serde::{Deserialize, Serialize};

use crate::bucket::Entry;

/// The folder of them: `<data>/sidecar/purged`. All methods block.
#[derive(Debug, Clone)]
pub struct Proofs {
    folder: PathBuf,
}

/// Objects that were listed before they were removed.
#[derive(Serialize, Deserialize)]
struct Page {
    format: u32,
    bucket: String,
    objects: Vec<Removed>,
}

#[derive(Serialize, Deserialize)]
struct Removed {
    key: String,
    size: u64,
}

/// What came of a purge.
#[derive(Serialize, Deserialize)]
struct Closed {
    format: u32,
    run: String,
    time: Timestamp,
    purged: PurgeReport,
}

impl Proofs {
    /// Below `<data>/sidecar`.
    pub fn open(sidecar: &Path) -> Result<Self, FilesError> {
        let folder = sidecar.join("purged");
        durable::create_dir_all(&folder)?;
        Ok(Self { folder })
    }

    /// Writes a page down.
    pub fn note(&self, mailbox: MailboxId, policy: &str, bucket: &str, entries: &[Entry]) -> Result<(), FilesError> {
        let folder = self.folder.join(mailbox.as_str());
        durable::create_dir_all(&folder)?;
        let number = pages(&folder, policy)?.len() + 1;
        let objects = entries.iter().map(|entry| Removed { key: entry.key.clone(), size: entry.size }).collect();
        let page = Page { format: 1, bucket: bucket.to_owned(), objects };
        durable::write(&folder.join(format!("{policy}.{number:06}.json")), &json(&page))
    }

    /// Every key of a policy's bucket that was written down, with its size; once, however often it was.
    pub fn noted(&self, mailbox: MailboxId, policy: &str) -> Result<BTreeMap<String, u64>, FilesError> {
        let mut all = BTreeMap::new();
        for path in pages(&self.folder.join(mailbox.as_str()), policy)? {
            let read =
                fs::read(&path).map_err(|source| FilesError::Io { action: "read", path: path.clone(), source })?;
            match serde_json::from_slice::<Page>(&read) {
                Ok(page) => all.extend(page.objects.into_iter().map(|removed| (removed.key, removed.size))),
                Err(error) => tracing::warn!(path = %path.display(), %error, "what was removed cannot be read"),
            }
        }
        Ok(all)
    }

    /// Writes down what came of it.
    pub fn close(&self, run: &str, purged: &PurgeReport) -> Result<(), FilesError> {
        let closed = Closed { format: 1, run: run.to_owned(), time: Timestamp::now(), purged: purged.clone() };
        durable::write(&self.path(purged.mailbox), &json(&closed))
    }

    /// What came of it the last time.
    pub fn closed(&self, mailbox: MailboxId) -> Option<PurgeReport> {
        let read = fs::read(self.path(mailbox)).ok()?;
        serde_json::from_slice::<Closed>(&read).ok().map(|closed| closed.purged)
    }

    fn path(&self, mailbox: MailboxId) -> PathBuf {
        self.folder.join(format!("{mailbox}.json"))
    }
}

/// Plain data with text keys: it always has a JSON form.
fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// The pages of a policy, in order. What a crash left of a write is none.
fn pages(folder: &Path, policy: &str) -> Result<Vec<PathBuf>, FilesError> {
    let failed = |source| FilesError::Io { action: "list", path: folder.to_owned(), source };
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let number = |name: &str| {
        let digits = name.strip_prefix(policy)?.strip_prefix('.')?.strip_suffix(".json")?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(())
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if entry.file_name().to_str().and_then(number).is_some() {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_down_twice_counts_once_and_policies_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let proofs = Proofs::open(dir.path()).unwrap();
        let id = MailboxId::from_random([1; 17]);
        let entry = |key: &str, size| Entry { key: key.to_owned(), size, modified: Timestamp::UNIX_EPOCH };
        proofs.note(id, "daily", "a", &[entry("r/m/1", 5), entry("r/m/2", 6)]).unwrap();
        proofs.note(id, "daily", "a", &[entry("r/m/2", 6), entry("r/m/3", 7)]).unwrap();
        proofs.note(id, "daily.other", "b", &[entry("r/m/9", 9)]).unwrap();
        let noted = |policy| proofs.noted(id, policy).unwrap();
        assert_eq!((noted("daily").len(), noted("daily").values().sum::<u64>()), (3, 18));
        assert_eq!((noted("daily.other").len(), noted("none").len()), (1, 0));
        assert!(proofs.closed(id).is_none());
    }
}
