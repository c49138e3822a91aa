//! What the operator wants backed up, on its way to the sidecar; and what the sidecar says of itself, on its way back.
//!
//! * Policies are kept on the volume (`policies.json`), so that after a start no WAL is folded in behind the sidecar's back
//!   while the operator is away. Runs are not: the operator asks again.
//! * Credentials of buckets are no part of any of it: what a push may hold beside these types is dropped before it is kept.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use control::PolicyBatch;
use control::operator::{SidecarStatus, Wanted as Push};
use control::report::Report;
use jiff::Timestamp;
use model::backup::Policies;
use serde::{Deserialize, Serialize};
use store::{Archive, StoreError};
use tokio::sync::{Mutex as AsyncMutex, watch};

use super::dirty::PATIENCE;
use super::parameter;
use crate::PrimaryError;
use crate::shard::Shard;

/// `format` of `policies.json`.
const FORMAT: u32 = 1;
/// A sidecar that has not been heard of for so long is away: it asks at least every 20 seconds.
const AWAY: Duration = Duration::from_mins(2);

/// `policies.json`.
#[derive(Serialize, Deserialize)]
struct File {
    format: u32,
    policies: Policies,
}

/// What is wanted of the sidecar, and what it said last.
pub struct Wanted {
    path: PathBuf,
    archive: Arc<Archive>,
    /// Behind each cursor: it begins anywhere, so that one of a process before this one is not taken for ours.
    current: watch::Sender<PolicyBatch>,
    changing: AsyncMutex<()>,
    sidecar: Mutex<Sidecar>,
}

struct Sidecar {
    heard: Option<Timestamp>,
    /// The last sign of life; the start of this process before the first.
    since: Instant,
    report: Option<Report>,
}

impl Wanted {
    /// What was last wanted. Blocking.
    pub fn load(path: PathBuf, archive: Arc<Archive>) -> Self {
        // Mail does not stand still for a file that the operator will bring again.
        let policies = read(&path).unwrap_or_else(|error| {
            tracing::error!(path = %path.display(), %error, "the policies cannot be read: no backups until they are pushed");
            None
        });
        archive.set_policies(Arc::new(policies.clone().unwrap_or_default()));
        let cursor = u64::from_le_bytes(crypto::random()) >> 12;
        let (current, _) = watch::channel(PolicyBatch { cursor, policies, pushed: false, runs: Vec::new() });
        let sidecar = Sidecar { heard: None, since: Instant::now(), report: None };
        Self { path, archive, current, changing: AsyncMutex::default(), sidecar: Mutex::new(sidecar) }
    }

    /// Replaces what is wanted; it is on disk before it is in force.
    pub async fn push(&self, push: Push) -> Result<(), StoreError> {
        let _one = self.changing.lock().await;
        let known = self.current.borrow().clone();
        if known.policies.as_ref() != Some(&push.policies) {
            let (path, file) = (self.path.clone(), File { format: FORMAT, policies: push.policies.clone() });
            let written = tokio::task::spawn_blocking(move || {
                // Plain data with text keys: it always has a JSON form.
                files::durable::write(&path, &serde_json::to_vec_pretty(&file).unwrap_or_default())
            });
            written.await.map_err(|_| StoreError::Stopped)??;
            self.archive.set_policies(Arc::new(push.policies.clone()));
        } else if known.pushed && known.runs == push.runs {
            return Ok(());
        }
        self.current.send_modify(|current| {
            let (cursor, policies) = (known.cursor + 1, Some(push.policies));
            *current = PolicyBatch { cursor, policies, pushed: true, runs: push.runs };
        });
        Ok(())
    }

    /// The policies in force; none before the first push ever.
    pub fn policies(&self) -> Option<Policies> {
        self.current.borrow().policies.clone()
    }

    /// A sign of life of the sidecar.
    pub fn heard(&self) {
        let mut sidecar = self.sidecar();
        (sidecar.heard, sidecar.since) = (Some(Timestamp::now()), Instant::now());
    }

    /// For the operator.
    pub fn status(&self) -> SidecarStatus {
        let sidecar = self.sidecar();
        SidecarStatus { heard: sidecar.heard, report: sidecar.report.clone() }
    }

    /// What a person has to do, if anything.
    pub fn finding(&self) -> Option<String> {
        let wants = self.current.borrow().policies.as_ref().is_some_and(|policies| !policies.policies.is_empty());
        let away = self.sidecar().since.elapsed();
        (wants && away > AWAY).then(|| {
            format!(
                "the sidecar of this shard has not been heard of for {} minutes: nothing is backed up; see its log",
                away.as_secs() / 60
            )
        })
    }

    async fn wait_after(&self, cursor: Option<u64>) -> PolicyBatch {
        let mut current = self.current.subscribe();
        let changed = current.wait_for(|current| Some(current.cursor) != cursor);
        // Too late is no error: then nothing has changed.
        let _ = tokio::time::timeout(PATIENCE, changed).await;
        self.current.borrow().clone()
    }

    fn sidecar(&self) -> MutexGuard<'_, Sidecar> {
        self.sidecar.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path) -> Result<Option<Policies>, PrimaryError> {
    let what = "policies.json";
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(PrimaryError::Read { path: path.to_owned(), source }),
    };
    let file: File = serde_json::from_slice(&text).map_err(|source| PrimaryError::Damaged { what, source })?;
    if file.format != FORMAT {
        return Err(PrimaryError::Format { what, found: file.format, known: FORMAT });
    }
    Ok(Some(file.policies))
}

/// Waits for what the sidecar does not know yet.
pub async fn wanted(State(shard): State<Arc<Shard>>, RawQuery(query): RawQuery) -> Json<PolicyBatch> {
    let after = parameter(query.as_deref(), "after");
    Json(tokio::select! {
        batch = shard.wanted.wait_after(after) => batch,
        () = shard.stop.cancelled() => shard.wanted.current.borrow().clone(),
    })
}

/// Keeps what the sidecar says of itself.
pub async fn report(State(shard): State<Arc<Shard>>, Json(report): Json<Report>) -> StatusCode {
    shard.wanted.sidecar().report = Some(report);
    StatusCode::NO_CONTENT
}
