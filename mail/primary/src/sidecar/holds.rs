//! HOLD, CHECKPOINT, RELEASE.
//!
//! * A hold ends with CHECKPOINT, with RELEASE, at its deadline, or with this process; whichever takes it out of [`Holds`]
//!   first. So a checkpoint never runs for a hold whose writers have gone on.
//! * What a crash leaves: after `*.wal.json` was written and before the WAL was folded in, a record whose life goes on, which
//!   its salts tell; after it, a WAL that is empty.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use control::{Checkpoint, Checkpointed, Database, Hold, HoldRequest, Token};
use files::fault;
use model::MailboxId;
use store::Held;

use super::Refused;
use crate::shard::Shard;

/// The longest that writers wait.
const LONGEST: Duration = Duration::from_secs(2);

/// The holds there are, by token.
#[derive(Default)]
pub struct Holds(Mutex<HashMap<String, Held>>);

impl Holds {
    fn keep(&self, held: Held) -> String {
        let token = super::hex(&crypto::random::<16>());
        self.all().insert(token.clone(), held);
        token
    }

    fn take(&self, token: &str) -> Option<Held> {
        self.all().remove(token)
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writers of one database wait.
pub async fn hold(State(shard): State<Arc<Shard>>, Json(asked): Json<HoldRequest>) -> Result<Json<Hold>, Refused> {
    let deadline = Duration::from_millis(asked.deadline_ms.into()).min(LONGEST);
    fault::point("hold.taken.before");
    let turn = tokio::time::timeout(deadline, take(&shard, asked.mailbox, asked.database)).await;
    let held = turn.map_err(|_| Refused::later("another writer takes long"))??;
    let (end, commit) = (held.end(), held.commit());
    let token = shard.holds.keep(held);
    shard.tasks.spawn(expire(shard.clone(), token.clone(), deadline, asked.mailbox));
    fault::point("hold.taken.after");
    Ok(Json(Hold { token, end, commit }))
}

async fn take(shard: &Shard, mailbox: MailboxId, database: Database) -> Result<Held, Refused> {
    if shard.entry(mailbox).map_err(|_| Refused::unknown(mailbox))?.fenced {
        return Err(Refused::fenced(mailbox));
    }
    match database {
        Database::Mailbox => shard.mailboxes.hold(mailbox).await?.ok_or_else(|| Refused::locked(mailbox)),
        Database::Spool => {
            let held = shard.spools.of(mailbox).hold().await?;
            held.ok_or_else(|| Refused(StatusCode::NOT_FOUND, format!("{mailbox} has no spool")))
        }
        Database::Keys => Err(Refused(StatusCode::BAD_REQUEST, "keys.json has no WAL".to_owned())),
    }
}

/// Lets writers go on when the sidecar does not.
async fn expire(shard: Arc<Shard>, token: String, deadline: Duration, mailbox: MailboxId) {
    tokio::select! {
        () = tokio::time::sleep(deadline) => {}
        () = shard.stop.cancelled() => {}
    }
    if shard.holds.take(&token).is_some() && !shard.stop.is_cancelled() {
        tracing::warn!(%mailbox, "the sidecar held a database until the deadline");
    }
}

/// Folds the WAL in, if the hold is still there and the sidecar has copied all of it.
pub async fn checkpoint(
    State(shard): State<Arc<Shard>>,
    Json(asked): Json<Checkpoint>,
) -> Result<Json<Checkpointed>, Refused> {
    let held = shard.holds.take(&asked.token).ok_or_else(over)?;
    if held.end() != asked.end {
        return Err(Refused::conflict("the WAL does not end there"));
    }
    fault::point("checkpoint.fold.before");
    let done = held.checkpoint().await?;
    fault::point("checkpoint.fold.after");
    Ok(Json(Checkpointed { done }))
}

/// Lets the writers go on.
pub async fn release(State(shard): State<Arc<Shard>>, Json(asked): Json<Token>) -> Result<StatusCode, Refused> {
    shard.holds.take(&asked.token).map(|_| StatusCode::NO_CONTENT).ok_or_else(over)
}

fn over() -> Refused {
    Refused::conflict("the hold is over")
}
