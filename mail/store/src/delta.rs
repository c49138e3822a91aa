//! What changed in a folder since a session last looked.

use std::sync::Arc;

use model::verbs::{Delta, View};
use model::{FlagSet, FolderId, Keywords, ModSeq, SessionId, Uid, UidSet};
use rusqlite::{Connection, params};

use crate::StoreError;
use crate::mailbox::{Core, ROWS};
use crate::rows::{Folder, keywords, uids_from};
use crate::state::State;

/// The changes since the view, of the snapshot that the transaction sees.
pub(crate) fn delta(connection: &Connection, view: &View) -> Result<Delta, StoreError> {
    let modseq = ModSeq(State::load(connection)?.modseq);
    match Folder::by_id(connection, view.folder)? {
        Some(folder) => changes(connection, view, &folder, keywords(connection)?, modseq),
        None => Ok(Delta { deleted: true, modseq, ..Delta::default() }),
    }
}

/// True where it takes no time to tell what is new: nothing is, or the folder is small.
pub(crate) fn is_little(connection: &Connection, view: &View) -> Result<bool, StoreError> {
    let Some(folder) = Folder::by_id(connection, view.folder)? else { return Ok(true) };
    let since = view.since.0;
    let nothing = folder.uidnext <= view.uidnext.0 && since >= folder.reset_ms.max(folder.fms).max(folder.hms);
    Ok(u64::from(folder.uidnext) <= ROWS || (nothing && since <= State::load(connection)?.modseq))
}

/// The same for who knows the folder, all keywords and the last modseq already.
pub(crate) fn changes(
    connection: &Connection,
    view: &View,
    folder: &Folder,
    all: Keywords,
    modseq: ModSeq,
) -> Result<Delta, StoreError> {
    let mut delta = Delta { modseq, uidnext: Uid(folder.uidnext), ..Delta::default() };
    if all.0.len() > view.keywords as usize {
        delta.keywords = Some(all);
    }
    if folder.uidnext > view.uidnext.0 {
        delta.appeared = uids_from(connection, folder.id, view.uidnext)?;
    }
    let known = UidSet::range(Uid(1), Uid(view.uidnext.0.saturating_sub(1)));
    // A view from before the last reset, or from a future that was lost, is told everything.
    if view.since.0 < folder.reset_ms || view.since > modseq {
        changed(connection, view, 0, &mut delta)?;
        delta.vanished = known.minus(&uids_from(connection, folder.id, Uid(1))?);
        return Ok(delta);
    }
    if folder.fms > view.since.0 {
        changed(connection, view, view.since.0, &mut delta)?;
    }
    if folder.hms > view.since.0 {
        delta.vanished = gone(connection, folder.id, view.since)?.and(&known);
    }
    Ok(delta)
}

fn changed(connection: &Connection, view: &View, since: u64, delta: &mut Delta) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT uid, flags, modseq FROM msg WHERE folder = ? AND uid < ? AND modseq > ? ORDER BY uid",
    )?;
    let mut rows = statement.query(params![view.folder.0, view.uidnext.0, since as i64])?;
    while let Some(row) = rows.next()? {
        let flags = FlagSet(row.get::<_, i64>(1)? as u64);
        delta.changed.push(Uid(row.get(0)?), flags, ModSeq(row.get::<_, i64>(2)? as u64));
    }
    Ok(())
}

fn gone(connection: &Connection, folder: FolderId, since: ModSeq) -> Result<UidSet, StoreError> {
    let mut statement = connection.prepare_cached("SELECT uids FROM gone WHERE folder = ? AND modseq > ?")?;
    let mut rows = statement.query(params![folder.0, since.0 as i64])?;
    let mut all = UidSet::new();
    while let Some(row) = rows.next()? {
        let text: String = row.get(0)?;
        all = all.or(&text.parse().map_err(|_| StoreError::Corrupt("the log of expunged messages"))?);
    }
    Ok(all)
}

/// Records that these are gone from a folder.
pub(crate) fn log_gone(
    connection: &Connection,
    folder: FolderId,
    modseq: ModSeq,
    uids: &UidSet,
) -> Result<(), StoreError> {
    if !uids.is_empty() {
        connection.prepare_cached("INSERT INTO gone(folder, modseq, uids) VALUES(?, ?, ?)")?.execute(params![
            folder.0,
            modseq.0 as i64,
            uids.to_string()
        ])?;
    }
    Ok(())
}

/// SYNC, and every IMAP command that only wants to hear what is new.
pub(crate) async fn sync(core: &Arc<Core>, session: SessionId, view: View) -> Result<Delta, StoreError> {
    let little =
        core.read_small(move |connection| is_little(connection, &view)?.then(|| delta(connection, &view)).transpose());
    let delta = match little.await? {
        Some(delta) => delta,
        None => core.read(move |connection| delta(connection, &view)).await?,
    };
    announce(core, session, &view, &delta);
    Ok(delta)
}

/// What a session was told of is not `\Recent` to the next one.
pub(crate) fn announce(core: &Core, session: SessionId, view: &View, delta: &Delta) {
    if !delta.appeared.is_empty() {
        core.memory().announced(session, view.folder, delta.uidnext);
    }
}
