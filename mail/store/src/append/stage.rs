//! Writing a content: all at once, or large ones ahead of the commit that places them.

use std::sync::Arc;

use rusqlite::{OptionalExtension, params};

use super::{Prepared, SMALL};
use crate::StoreError;
use crate::bodies::{Packed, insert_chunks};
use crate::mailbox::Core;
use crate::state::WriteTx;
use crate::writer::Durability;

/// Ids whose chunks are written and that nothing places yet.
#[derive(Debug)]
pub(crate) struct Staged {
    content: i64,
    /// One for each attachment.
    attachments: Vec<i64>,
}

impl Staged {
    fn ids(&self) -> impl Iterator<Item = i64> {
        std::iter::once(self.content).chain(self.attachments.iter().copied())
    }
}

/// Writes the chunks of a large message in several short transactions.
pub(crate) async fn stage(core: &Arc<Core>, prepared: &Arc<Prepared>) -> Result<Arc<Staged>, StoreError> {
    let many = prepared.attachments.len();
    let reserve = move |tx: &mut WriteTx<'_>| {
        let content = tx.content_id();
        let staged = Staged { content, attachments: (0..many).map(|_| tx.content_id()).collect() };
        let mut insert = tx.connection.prepare_cached("INSERT INTO pending(content) VALUES(?)")?;
        for id in staged.ids() {
            insert.execute([id])?;
        }
        Ok(staged)
    };
    let staged = Arc::new(core.write(Durability::Lazy, reserve).await?);
    let written = write_all(core, prepared, &staged).await;
    if written.is_err() {
        abandon(core, staged.clone()).await?;
    }
    written.map(|()| staged)
}

async fn write_all(core: &Arc<Core>, prepared: &Arc<Prepared>, staged: &Staged) -> Result<(), StoreError> {
    write(core, prepared, staged.content, |prepared| &prepared.chunks).await?;
    for (n, &id) in staged.attachments.iter().enumerate() {
        write(core, prepared, id, move |prepared| &prepared.attachments[n].chunks).await?;
    }
    Ok(())
}

/// Writes the chunks of one id, about [`SMALL`] bytes per transaction.
async fn write(
    core: &Arc<Core>,
    prepared: &Arc<Prepared>,
    id: i64,
    chunks: impl Fn(&Prepared) -> &Vec<Packed> + Copy + Send + 'static,
) -> Result<(), StoreError> {
    let mut first = 0;
    while first < chunks(prepared).len() {
        let (mut end, mut bytes) = (first, 0);
        while bytes < SMALL as usize && end < chunks(prepared).len() {
            bytes += chunks(prepared)[end].data.len();
            end += 1;
        }
        let source = prepared.clone();
        let step = move |tx: &mut WriteTx<'_>| insert_chunks(tx.connection, id, first, &chunks(&source)[first..end]);
        core.write(Durability::Lazy, step).await?;
        files::fault::point("store.stage.after");
        first = end;
    }
    Ok(())
}

/// Sends what was staged to the grave.
pub(crate) async fn abandon(core: &Arc<Core>, staged: Arc<Staged>) -> Result<(), StoreError> {
    let work = move |tx: &mut WriteTx<'_>| staged.ids().try_for_each(|id| release(tx, id, true));
    core.bury(Core::now());
    core.write(Durability::Lazy, work).await
}

/// Takes an id out of `pending`; what nobody uses goes to the grave.
fn release(tx: &WriteTx<'_>, id: i64, unused: bool) -> Result<(), StoreError> {
    tx.connection.prepare_cached("DELETE FROM pending WHERE content = ?")?.execute([id])?;
    if unused {
        tx.connection.prepare_cached("INSERT OR IGNORE INTO grave(mail, at) VALUES(?, ?)")?.execute([id, tx.now])?;
    }
    Ok(())
}

/// Stores a content inside the transaction that places it; answers its id.
pub(crate) fn store(tx: &mut WriteTx<'_>, prepared: &Prepared, staged: Option<&Staged>) -> Result<i64, StoreError> {
    let id = staged.map_or_else(|| tx.content_id(), |staged| staged.content);
    let mut shared = Vec::with_capacity(prepared.attachments.len());
    for n in 0..prepared.attachments.len() {
        shared.push(attachment(tx, prepared, n, staged)?);
    }
    if staged.is_some() {
        release(tx, id, false)?;
    } else {
        insert_chunks(tx.connection, id, 0, &prepared.chunks)?;
    }
    let layout = prepared.pieces(&shared).map(|pieces| rmp_serde::to_vec(&pieces)).transpose();
    let layout = layout.map_err(|_| StoreError::Corrupt("the layout of a message"))?;
    let head = &prepared.head;
    tx.connection
        .prepare_cached("INSERT INTO hdr(mail, codec, len, data, layout) VALUES(?, ?, ?, ?, ?)")?
        .execute(params![id, head.codec, head.len as i64, head.data, layout])?;
    tx.connection.prepare_cached("INSERT INTO mail(id, meta) VALUES(?, ?)")?.execute(params![id, prepared.meta])?;
    if let Some(brief) = &prepared.brief {
        brief.insert(tx.connection, id)?;
    }
    Ok(id)
}

/// The attachment of that hash, stored if it is not there.
fn attachment(tx: &mut WriteTx<'_>, prepared: &Prepared, n: usize, staged: Option<&Staged>) -> Result<i64, StoreError> {
    let attachment = &prepared.attachments[n];
    let ahead = staged.map(|staged| staged.attachments[n]);
    let known: Option<i64> = tx
        .connection
        .prepare_cached("UPDATE att SET refs = refs + 1 WHERE sha = ? AND size = ? RETURNING id")?
        .query_row(params![attachment.sha, attachment.size as i64], |row| row.get(0))
        .optional()?;
    if let Some(id) = known {
        if let Some(ahead) = ahead {
            release(tx, ahead, true)?;
        }
        return Ok(id);
    }
    let id = ahead.unwrap_or_else(|| tx.content_id());
    if ahead.is_some() {
        release(tx, id, false)?;
    } else {
        insert_chunks(tx.connection, id, 0, &attachment.chunks)?;
    }
    tx.connection.prepare_cached("INSERT INTO att(id, sha, size, refs) VALUES(?, ?, ?, 1)")?.execute(params![
        id,
        attachment.sha,
        attachment.size as i64
    ])?;
    Ok(id)
}
