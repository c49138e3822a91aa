//! PURGE: a mailbox that the directory has given up leaves the volume. See `store::purge` for the steps, and what a crash leaves.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use control::{Purge, PurgeRecord, Purged};
use jiff::Timestamp;
use model::MailboxId;
use store::StoreError;

use super::Refused;
use crate::shard::Shard;
use crate::wire_service;

/// Removes every file of a mailbox; again if it was done already.
pub async fn purge(State(shard): State<Arc<Shard>>, Json(asked): Json<Purge>) -> Result<Json<Purged>, Refused> {
    let mailbox = asked.mailbox;
    if !shard.routes.has_given_up(mailbox).await? {
        return Err(Refused::conflict(format!("the directory has not given {mailbox} up")));
    }
    let own = shard.clone();
    // A task of its own: a connection that breaks leaves nothing half done.
    let removed = shard.tasks.spawn(async move {
        let _one = own.adopting.lock().await;
        remove(&own, mailbox).await
    });
    let PurgeRecord { files, copies, .. } = removed.await.map_err(|_| StoreError::Stopped)??;
    let bytes = files.iter().map(|file| file.bytes).sum();
    tracing::info!(%mailbox, run = asked.run, files = files.len(), bytes, "a mailbox was removed from the volume");
    Ok(Json(Purged { files: files.len() as u64, bytes, copies }))
}

/// Ends what is left of its sessions, closes its files, and lets nobody open them any more.
async fn remove(shard: &Arc<Shard>, mailbox: MailboxId) -> Result<PurgeRecord, StoreError> {
    wire_service::revoke(shard, mailbox, None);
    let fence = shard.mailboxes.fence(mailbox).await;
    let layout = shard.layout.clone();
    let now = Timestamp::now();
    let record = shard.spools.of(mailbox).end(move || store::purge::run(&layout, mailbox, now)).await?;
    shard.archive.forget(mailbox);
    shard.keysets.forget(mailbox);
    shard.mailboxes.await_check(mailbox).await?;
    drop(fence);
    Ok(record)
}
