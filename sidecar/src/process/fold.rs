//! When a WAL is folded in, and how: HOLD, the last frames into the outbox, CHECKPOINT.

use std::path::Path;
use std::time::{Duration, Instant};

use control::{Checkpoint, Commit, HoldRequest, Token};
use files::fault;
use jiff::Timestamp;
use model::MailboxId;

use super::{Client, ClientError, Tuning};
use crate::format::DataFile;
use crate::ship::{MailboxState, ShipError, Shipper, Told};

/// Writers wait no longer than this.
const HOLD_MS: u32 = 2000;
/// From so many bytes on a WAL is worth folding in when space is short.
const WORTH: u64 = 1 << 20;

/// What decides whether a WAL is folded in.
#[derive(Debug, Clone, Copy, Default)]
pub struct Grounds {
    /// Bytes of the WAL.
    pub bytes: u64,
    /// Since when it has any.
    pub age: Duration,
    /// The volume has little space.
    pub tight: bool,
    /// The outbox takes no more.
    pub outbox_full: bool,
}

/// True if it is time.
pub fn wants(grounds: Grounds, tuning: &Tuning) -> bool {
    let old = grounds.bytes > 0 && grounds.age >= Duration::from_secs(tuning.fold_seconds);
    let large = grounds.bytes > tuning.fold_bytes || (grounds.tight && grounds.bytes > WORTH);
    (old || large) && !grounds.outbox_full
}

/// Folds a WAL in that was shipped just now. False where it did not come about: then nothing is lost, and it is tried later.
pub async fn fold(
    client: &Client,
    shipper: &Shipper,
    folder: &Path,
    state: &mut MailboxState,
    told: &mut Told,
    file: DataFile,
) -> Result<bool, ShipError> {
    let mailbox = state.archive.mailbox;
    fault::point("fold.asked.before");
    let hold = match hold(client, mailbox, file, told).await {
        Ok(hold) => hold,
        Err(error) => {
            tracing::debug!(%mailbox, %error, "no hold now");
            return Ok(false);
        }
    };
    let since = Instant::now();
    fault::point("fold.held.after");
    let copied = shipper.tail(folder, state, file, told, hold.end).await;
    fault::point("fold.tailed.after");
    let answer = match copied {
        Ok(true) => {
            let done = client.checkpoint(&Checkpoint { token: hold.token, end: hold.end }).await.map(|it| it.done);
            fault::point("fold.folded.after");
            tracing::debug!(%mailbox, held_us = since.elapsed().as_micros() as u64, "writers waited for a WAL to be folded in");
            done
        }
        other => {
            let released = client.release(&Token { token: hold.token }).await;
            other?;
            released.map(|()| false)
        }
    };
    // Whatever came of it, the frames are safe; the next look at the WAL says how to go on.
    Ok(answer.unwrap_or_else(|error| {
        tracing::debug!(%mailbox, %error, "the WAL was not folded in");
        false
    }))
}

/// Asks the primary which number the last commit has; it is told, and writers go on.
pub async fn number(client: &Client, mailbox: MailboxId, file: DataFile, told: &mut Told) -> Result<(), ClientError> {
    let hold = hold(client, mailbox, file, told).await?;
    client.release(&Token { token: hold.token }).await
}

async fn hold(
    client: &Client,
    mailbox: MailboxId,
    file: DataFile,
    told: &mut Told,
) -> Result<control::Hold, ClientError> {
    let database = file.database();
    let hold = client.hold(HoldRequest { mailbox, database, deadline_ms: HOLD_MS }).await?;
    let salts = (hold.end.frame > 0).then_some(hold.end.salts);
    let commit = Commit { frame: hold.end.frame, commit: hold.commit, time: Timestamp::now() };
    if !told.of(database, salts.unwrap_or_default()).iter().any(|known| known.frame == commit.frame) {
        told.add(database, salts, &[commit]);
    }
    Ok(hold)
}

#[cfg(test)]
mod tests;
