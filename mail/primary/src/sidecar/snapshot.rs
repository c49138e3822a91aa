//! SNAPSHOT and ARCHIVED.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use control::{Archived, Database, Snapshot, SnapshotRequest};
use files::fault;
use model::verbs::Code;
use store::{Copied, Mailbox, Snapshotted, StoreError};

use super::{Refused, hex};
use crate::shard::Shard;

/// A verified copy in `staging/`, one at a time; the sidecar removes it.
pub async fn snapshot(
    State(shard): State<Arc<Shard>>,
    Json(asked): Json<SnapshotRequest>,
) -> Result<Json<Snapshot>, Refused> {
    shard.entry(asked.mailbox).map_err(|_| Refused::unknown(asked.mailbox))?;
    let one = shard.snapshots.clone().try_acquire_owned();
    let one = one.map_err(|_| Refused(StatusCode::TOO_MANY_REQUESTS, "a snapshot is being made".to_owned()))?;
    let mailbox = shard.mailboxes.get(asked.mailbox).ok_or_else(|| Refused::locked(asked.mailbox))?;
    let own = shard.clone();
    // A task of its own: a connection that breaks leaves nothing half done.
    let made = shard.tasks.spawn(async move {
        let _one = one;
        make(&own, &mailbox, asked.unless).await
    });
    made.await.map_err(|_| StoreError::Stopped)?.map(Json)
}

async fn make(shard: &Shard, mailbox: &Mailbox, unless: Option<u64>) -> Result<Snapshot, Refused> {
    let octets = shard.layout.mailbox_octets(mailbox.id());
    shard.floor.admit(octets).map_err(|failure| match failure.code {
        Code::NoSpace => Refused(StatusCode::INSUFFICIENT_STORAGE, "there is no room for a copy".to_owned()),
        _ => Refused::later(failure.text),
    })?;
    let file = format!("snapshot-{}-{}.sqlite", mailbox.id(), hex(&crypto::random::<4>()));
    files::durable::create_dir_all(&shard.layout.staging()).map_err(StoreError::from)?;
    match mailbox.snapshot(shard.layout.staging().join(&file), unless).await? {
        Snapshotted::Made(Copied { size, sha256, commit, schema, messages }) => {
            Ok(Snapshot { file: Some(file), size, sha256: hex(&sha256), commit, schema, messages })
        }
        Snapshotted::Unchanged(commit) => {
            Ok(Snapshot { file: None, size: 0, sha256: String::new(), commit, schema: 0, messages: 0 })
        }
    }
}

/// Notes what is in the bucket; mail that is in the archived mailbox leaves the spool.
pub async fn archived(
    State(shard): State<Arc<Shard>>,
    Json(archived): Json<Vec<Archived>>,
) -> Result<StatusCode, Refused> {
    for Archived { mailbox, database, commit } in archived {
        let Ok(entry) = shard.entry(mailbox) else { continue };
        fault::point("archived.told.before");
        shard.archive.set_archived(mailbox, database, commit);
        // What a fenced one keeps in its spool goes with the next commit that is archived after the fence.
        if database == Database::Mailbox && !entry.fenced {
            shard.spools.of(mailbox).forget_taken(commit).await?;
        }
        fault::point("archived.told.after");
    }
    Ok(StatusCode::NO_CONTENT)
}
