//! ADOPT: a restored mailbox takes its place. See `store::adopt` for the steps, and what a crash leaves.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use control::{Adopt, AdoptMode, Adopted};
use crypto::Keyset;
use model::MailboxId;
use store::adopt::{AdoptError, Adoption};
use store::{KeysFile, StoreError};

use super::Refused;
use crate::shard::Shard;
use crate::wire_service;

/// Puts what is in `staging/<folder>/` into the place of a mailbox; again if it was done already.
pub async fn adopt(State(shard): State<Arc<Shard>>, Json(asked): Json<Adopt>) -> Result<Json<Adopted>, Refused> {
    if shard.entry(asked.mailbox).map_err(|_| Refused::unknown(asked.mailbox))?.fenced {
        return Err(Refused::fenced(asked.mailbox));
    }
    let own = shard.clone();
    // A task of its own: a connection that breaks leaves nothing half done.
    let adopted = shard.tasks.spawn(async move {
        let _one = own.adopting.lock().await;
        let last = last(&own, asked.mailbox).await?;
        let adoption = match last {
            Some(last) if *last.asked() == asked => last,
            // Its files would take the place of those that were replaced.
            Some(last) if last.asked().run == asked.run && last.is_done() => {
                return Err(Refused::conflict(format!("{} has put something else into this place", asked.run)));
            }
            Some(last) if !last.is_done() => {
                finish(&own, last).await?;
                check(&own, asked).await?
            }
            _ => check(&own, asked).await?,
        };
        if adoption.is_done() { Ok(adoption) } else { finish(&own, adoption).await }
    });
    let adoption = adopted.await.map_err(|_| StoreError::Stopped)??;
    Ok(Json(Adopted { replaced: adoption.replaced().map(str::to_owned) }))
}

async fn last(shard: &Shard, mailbox: MailboxId) -> Result<Option<Adoption>, StoreError> {
    let layout = shard.layout.clone();
    tokio::task::spawn_blocking(move || Adoption::last(&layout, mailbox)).await.map_err(|_| StoreError::Stopped)?
}

async fn check(shard: &Shard, asked: Adopt) -> Result<Adoption, Refused> {
    let layout = shard.layout.clone();
    let checked = tokio::task::spawn_blocking(move || {
        let staged = KeysFile::new(layout.staging().join(&asked.folder).join("keys.json"));
        let live = KeysFile::new(layout.keys(asked.mailbox));
        let (mode, adoption) = (asked.mode, Adoption::check(&layout, asked)?);
        match (mode, keyset(&staged)?, keyset(&live)?) {
            (AdoptMode::NewMailbox, Some(_), _) => Ok(adoption),
            (AdoptMode::InPlace, Some(staged), Some(live)) if staged.keyset_id() == live.keyset_id() => Ok(adoption),
            // Its present keys would not open it.
            _ => Err(Refused::conflict("the keys of the archive are not those of the mailbox")),
        }
    });
    checked.await.map_err(|_| StoreError::Stopped)?
}

fn keyset(file: &KeysFile) -> Result<Option<Keyset>, Refused> {
    let parse = |json: Vec<u8>| Keyset::from_json(&json).map_err(|error| Refused::conflict(error.to_string()));
    file.read()?.map(parse).transpose()
}

/// Ends the sessions, closes the mailbox, and lets nobody in until it is in its place.
async fn finish(shard: &Arc<Shard>, adoption: Adoption) -> Result<Adoption, Refused> {
    let (id, is_new) = (adoption.asked().mailbox, adoption.asked().mode == AdoptMode::NewMailbox);
    wire_service::revoke(shard, id, None);
    let fence = shard.mailboxes.fence(id).await;
    let adoption = shard.spools.of(id).adopt(adoption).await?;
    shard.archive.forget(id);
    if is_new {
        shard.keysets.installed(id).await;
        shard.routes.keyed(id).await;
    }
    shard.mailboxes.await_check(id).await?;
    drop(fence);
    // A session that came just before waits for its mail.
    shard.drain_if_attached(id);
    let (run, replaced) = (&adoption.asked().run, adoption.replaced());
    tracing::info!(mailbox = %id, run, replaced, "a restored mailbox is in place");
    Ok(adoption)
}

impl From<AdoptError> for Refused {
    fn from(error: AdoptError) -> Self {
        match error {
            AdoptError::Store(error) => error.into(),
            AdoptError::Name => Self(StatusCode::BAD_REQUEST, error.to_string()),
            AdoptError::Incomplete(_) | AdoptError::InUse(_) | AdoptError::NothingThere(_) => {
                Self::conflict(error.to_string())
            }
        }
    }
}
