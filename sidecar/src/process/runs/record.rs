//! What is written down of a run: one file each, replaced whole.

use std::fs;
use std::path::{Path, PathBuf};

use control::report::RunReport;
use control::{Adopt, RunAssignment};
use files::{FilesError, durable};
use jiff::Timestamp;
use model::backup::Run;
use serde::{Deserialize, Serialize};

/// A run as it was last written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Version of this file; 1.
    pub format: u32,
    /// What was asked.
    pub run: Run,
    /// What it is about to do for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<Intent>,
    /// What is told of it; without an end while it is not over.
    pub report: RunReport,
}

/// The step behind which a run can only go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Intent {
    /// What the primary is asked for.
    pub adopt: Adopt,
    /// What was assembled: the archive.
    pub archive: String,
    /// The last commit of it.
    pub reached_commit: Option<u64>,
    /// That commit's time.
    pub reached_time: Option<Timestamp>,
    /// What a person should know besides.
    #[serde(default)]
    pub notes: Vec<String>,
}

impl Record {
    /// Of a run that nobody has worked on.
    pub fn new(wanted: &RunAssignment, now: Timestamp) -> Self {
        let report = RunReport::pending(wanted.run.id.clone(), wanted.executor.clone(), now);
        Self { format: 1, run: wanted.run.clone(), intent: None, report }
    }

    /// True once nothing more will be done.
    pub fn is_over(&self) -> bool {
        self.report.succeeded.is_some()
    }

    /// True where it has to be finished, whoever wants it.
    pub fn is_bound(&self) -> bool {
        self.intent.is_some() && !self.is_over()
    }
}

/// The folder of them: `<data>/sidecar/runs`.
#[derive(Debug, Clone)]
pub struct Records {
    folder: PathBuf,
}

impl Records {
    /// Below `<data>/sidecar`.
    pub fn open(sidecar: &Path) -> Result<Self, FilesError> {
        let folder = sidecar.join("runs");
        durable::create_dir_all(&folder)?;
        durable::remove_leftovers(&folder)?;
        Ok(Self { folder })
    }

    /// All that can be read.
    pub fn load(&self) -> Vec<Record> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let read = |path: PathBuf| {
            let json = fs::read(&path).ok()?;
            let record = serde_json::from_slice::<Record>(&json).ok().filter(|record| record.format == 1);
            if record.is_none() {
                tracing::warn!(path = %path.display(), "what was done of a run cannot be read");
            }
            record
        };
        entries.filter_map(|entry| read(entry.path())).collect()
    }

    /// Writes one durably. Blocking.
    pub fn save(&self, record: &Record) -> Result<(), FilesError> {
        // Plain data with text keys: it always has a JSON form.
        durable::write(&self.path(&record.run.id), &serde_json::to_vec(record).unwrap_or_default())
    }

    /// Forgets one. Blocking.
    pub fn remove(&self, id: &str) -> Result<(), FilesError> {
        durable::remove(&self.path(id))
    }

    fn path(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{}.json", super::short(id)))
    }
}
