//! Removing what no placement shows any more, a while later and in small steps.
//!
//! A content in the grave may still be read by a FETCH that began before the EXPUNGE; hence the rest. A crash at any step
//! leaves the row in `grave`, and the next quiet time goes on.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};

use crate::bodies::{Content, delete_chunks};
use crate::done;
use crate::mailbox::Core;
use crate::state::WriteTx;
use crate::writer::Durability;
use crate::{FINGERPRINT_LIFE, StoreError};

/// Contents removed per transaction.
const BATCH: i64 = 20;
/// How long a delivery is remembered: longer than a spool can offer it again. Seconds.
const TAKEN_LIFE: i64 = 90 * 24 * 3600;

/// After an attach: contents that were being written when a crash came go to the grave, and old notes go.
pub(crate) async fn adopt_orphans(core: &Arc<Core>) -> Result<(), StoreError> {
    let is_needed = core.read(|connection| {
        let mut any = connection.prepare_cached("SELECT 1 FROM pending UNION ALL SELECT 1 FROM grave LIMIT 1")?;
        Ok(any.exists([])? || has_old(connection, Core::now())?)
    });
    if is_needed.await? {
        core.write(Durability::Lazy, |tx| {
            tx.connection.execute("INSERT OR IGNORE INTO grave SELECT content, ? FROM pending", [tx.now])?;
            tx.connection.execute("DELETE FROM pending", [])?;
            forget(tx.connection, tx.now)
        })
        .await?;
        core.set_grave_due(Core::now());
    }
    Ok(())
}

/// Removes one batch of what has rested long enough, and says when there is more to do.
pub(crate) async fn dig(core: &Arc<Core>) -> Result<(), StoreError> {
    let rest = core.shared.limits.grave_rest.as_secs() as i64;
    // Set before the work: whoever buries meanwhile puts it back.
    core.set_grave_due(0);
    let next = core.write(Durability::Lazy, move |tx| batch(tx, tx.now - rest)).await;
    match next {
        Ok(Some(oldest)) => core.bury((oldest + rest).max(1)),
        Ok(None) => {}
        Err(_) => core.bury(Core::now() + rest.max(1)),
    }
    next.map(|_| ())
}

/// Answers when the oldest that is left was buried.
fn batch(tx: &mut WriteTx<'_>, before: i64) -> Result<Option<i64>, StoreError> {
    let connection = tx.connection;
    let due: Vec<i64> = {
        let mut select = connection.prepare_cached("SELECT mail FROM grave WHERE at <= ? ORDER BY mail LIMIT ?")?;
        select.query_map([before, BATCH], |row| row.get(0))?.collect::<Result<_, _>>()?
    };
    for content in due {
        remove(connection, content)?;
    }
    forget(connection, tx.now)?;
    Ok(connection.query_row("SELECT min(at) FROM grave", [], |row| row.get(0))?)
}

fn remove(connection: &Connection, content: i64) -> Result<(), StoreError> {
    let known = connection.prepare_cached("SELECT 1 FROM hdr WHERE mail = ?")?.exists([content])?;
    if known {
        for attachment in Content::load(connection, content)?.attachments() {
            unshare(connection, attachment)?;
        }
    }
    delete_chunks(connection, content)?;
    for (table, id) in [("hdr", "mail"), ("mail", "id"), ("brief", "mail"), ("grave", "mail")] {
        connection.prepare_cached(&format!("DELETE FROM {table} WHERE {id} = ?"))?.execute([content])?;
    }
    Ok(())
}

fn unshare(connection: &Connection, attachment: i64) -> Result<(), StoreError> {
    let left: Option<i64> = connection
        .prepare_cached("UPDATE att SET refs = refs - 1 WHERE id = ? RETURNING refs")?
        .query_row([attachment], |row| row.get(0))
        .optional()?;
    if left.is_some_and(|refs| refs <= 0) {
        delete_chunks(connection, attachment)?;
        connection.prepare_cached("DELETE FROM att WHERE id = ?")?.execute([attachment])?;
    }
    Ok(())
}

/// Tables of notes, and how long each is needed, in seconds.
const NOTES: [(&str, i64); 3] =
    [("done", done::LIFE), ("fp", FINGERPRINT_LIFE.as_secs() as i64), ("taken", TAKEN_LIFE)];

/// Notes nobody needs any more.
fn forget(connection: &Connection, now: i64) -> Result<(), StoreError> {
    for (table, life) in NOTES {
        connection.prepare_cached(&format!("DELETE FROM {table} WHERE at < ?"))?.execute([now - life])?;
    }
    Ok(())
}

/// True where [`forget`] has something to do.
fn has_old(connection: &Connection, now: i64) -> Result<bool, StoreError> {
    for (table, life) in NOTES {
        if connection.prepare_cached(&format!("SELECT 1 FROM {table} WHERE at < ? LIMIT 1"))?.exists([now - life])? {
            return Ok(true);
        }
    }
    Ok(false)
}
