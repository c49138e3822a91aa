//! EXPUNGE, UID EXPUNGE, CLOSE: placements go at once; content without a placement goes to the grave.

use std::sync::Arc;

use model::verbs::{Answer, Delta, Expunged, View};
use model::{ModSeq, SessionId, SystemFlag, Uid, UidSet};
use rusqlite::params;

use crate::StoreError;
use crate::delta::{announce, delta, log_gone};
use crate::done::{Ticket, once};
use crate::mailbox::Core;
use crate::rows::{Folder, Placement, placements};
use crate::state::WriteTx;
use crate::writer::Durability;

/// EXPUNGE.
pub(crate) async fn expunge(
    core: &Arc<Core>,
    session: SessionId,
    seq: u64,
    view: View,
    only: Option<UidSet>,
    silent: bool,
) -> Result<Answer, StoreError> {
    let work =
        move |tx: &mut WriteTx<'_>| once(tx, Ticket { session, seq }, |tx| apply(tx, &view, only.as_ref(), silent));
    let answer = core.write(Durability::Full, work).await?;
    if let Answer::Expunged(expunged) = &answer {
        announce(core, session, &view, &expunged.delta);
        if !expunged.uids.is_empty() {
            core.bury(Core::now() + core.shared.limits.grave_rest.as_secs() as i64);
        }
    }
    Ok(answer)
}

fn apply(tx: &mut WriteTx<'_>, view: &View, only: Option<&UidSet>, silent: bool) -> Result<Answer, StoreError> {
    tx.check_writable()?;
    let delta = if silent { Delta::default() } else { delta(tx.connection, view)? };
    let mut expunged = Expunged { delta, uids: UidSet::new(), modseq: ModSeq(tx.state.modseq) };
    let Some(mut folder) = Folder::by_id(tx.connection, view.folder)? else {
        expunged.delta.deleted = true;
        return Ok(Answer::Expunged(expunged));
    };
    if folder.deleted == 0 {
        return Ok(Answer::Expunged(expunged));
    }
    let mut rows = placements(tx.connection, folder.id, only.unwrap_or(&folder.span()))?;
    rows.retain(|row| row.flags & SystemFlag::Deleted.bit() != 0);
    if !rows.is_empty() {
        expunged.uids = unplace(tx, &mut folder, &rows)?;
        tx.release(rows.len() as u64, rows.iter().map(|row| row.size).sum());
        expunged.modseq = ModSeq(tx.state.modseq);
        bury(tx, &rows)?;
    }
    Ok(Answer::Expunged(expunged))
}

/// Takes rows out of a folder and logs them as gone. Quota and content are the caller's.
pub(crate) fn unplace(tx: &mut WriteTx<'_>, folder: &mut Folder, rows: &[Placement]) -> Result<UidSet, StoreError> {
    let modseq = tx.modseq();
    let mut delete = tx.connection.prepare_cached("DELETE FROM msg WHERE folder = ? AND uid = ?")?;
    let mut uids = UidSet::new();
    for row in rows {
        delete.execute(params![folder.id.0, row.uid])?;
        folder.remove(row.flags, row.size);
        uids.insert(Uid(row.uid));
    }
    log_gone(tx.connection, folder.id, modseq, &uids)?;
    folder.hms = modseq.0;
    folder.save(tx.connection)?;
    tx.touched.insert(folder.id);
    Ok(uids)
}

/// Sends contents that have no placement left to the grave.
pub(crate) fn bury(tx: &WriteTx<'_>, rows: &[Placement]) -> Result<(), StoreError> {
    let mut bury = tx.connection.prepare_cached(
        "INSERT OR IGNORE INTO grave(mail, at) SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM msg WHERE mail = ?1)",
    )?;
    for row in rows {
        bury.execute(params![row.mail, tx.now])?;
    }
    Ok(())
}
