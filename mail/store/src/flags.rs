//! STORE, and the names of flags.

use std::sync::Arc;

use model::verbs::{Answer, Code, Delta, FlagRows, Store, StoreMode, Stored};
use model::{FlagSet, FolderId, Keywords, ModSeq, SessionId, SystemFlag, Uid, UidSet};
use rusqlite::params;

use crate::StoreError;
use crate::delta::{announce, delta};
use crate::done::{Ticket, once};
use crate::error::refuse;
use crate::mailbox::Core;
use crate::rows::{Folder, Placement, keywords, placements};
use crate::state::WriteTx;
use crate::writer::Durability;

/// Longer names are nobody's.
const MAX_NAME: usize = 100;

/// The bits of the named flags. Keywords that are not in use yet are made, or left out.
pub(crate) fn bits(tx: &mut WriteTx<'_>, names: &[String], make: bool) -> Result<u64, StoreError> {
    let mut known = keywords(tx.connection)?;
    let mut bits = 0;
    for name in names {
        if let Some(flag) = SystemFlag::from_name(name) {
            bits |= flag.bit();
        } else if let Some(bit) = known.bit(name) {
            bits |= bit;
        } else if name.eq_ignore_ascii_case("\\Recent") {
            // RFC 3501 section 2.3.2: clients cannot alter it; the rest of the list is meant all the same.
        } else if make {
            bits |= keyword(tx, &mut known, name)?;
        }
    }
    Ok(bits)
}

fn keyword(tx: &WriteTx<'_>, known: &mut Keywords, name: &str) -> Result<u64, StoreError> {
    let is_atom = |c: char| c.is_ascii_graphic() && !"(){%*\"\\]".contains(c);
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(is_atom) {
        return refuse(Code::Cannot, "not a keyword");
    }
    if known.0.len() >= Keywords::MAX {
        return refuse(Code::Limit, "the mailbox has as many keywords as it can");
    }
    tx.connection
        .prepare_cached("INSERT INTO kw(bit, name) VALUES(?, ?)")?
        .execute(params![known.0.len() as i64, name])?;
    known.0.push(name.to_owned());
    known.bit(name).ok_or(StoreError::Corrupt("the keywords"))
}

/// STORE.
pub(crate) async fn store(core: &Arc<Core>, session: SessionId, store: Store) -> Result<Answer, StoreError> {
    let view = store.view;
    let work = move |tx: &mut WriteTx<'_>| -> Result<Answer, StoreError> {
        let ticket = Ticket { session, seq: store.seq };
        // Done twice, a conditional STORE would find its own first time in the way; any other changes nothing more.
        match store.unchanged_since {
            Some(_) => once(tx, ticket, |tx| apply(tx, &store)),
            None => apply(tx, &store),
        }
    };
    let answer = core.write(Durability::Soon, work).await?;
    if let Answer::Stored(stored) = &answer {
        announce(core, session, &view, &stored.delta);
    }
    Ok(answer)
}

fn apply(tx: &mut WriteTx<'_>, store: &Store) -> Result<Answer, StoreError> {
    tx.check_writable()?;
    let delta = delta(tx.connection, &store.view)?;
    let mut stored = Stored { modseq: delta.modseq, delta, rows: FlagRows::default(), modified: UidSet::new() };
    let Some(folder) = Folder::by_id(tx.connection, store.view.folder)? else {
        return Ok(Answer::Stored(stored));
    };
    let bits = bits(tx, &store.flags, store.mode != StoreMode::Remove)?;
    let (mut rows, mut news) = (placements(tx.connection, folder.id, &store.uids)?, Vec::new());
    if let Some(limit) = store.unchanged_since {
        let (fresh, stale): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.modseq <= limit.0);
        stored.modified = stale.iter().map(|row| Uid(row.uid)).collect();
        rows = fresh;
    }
    for row in &rows {
        news.push(match store.mode {
            StoreMode::Replace => bits,
            StoreMode::Add => row.flags | bits,
            StoreMode::Remove => row.flags & !bits,
        });
    }
    set_flags(tx, folder, &mut rows, &news)?;
    for row in &rows {
        stored.rows.push(Uid(row.uid), FlagSet(row.flags), ModSeq(row.modseq));
    }
    stored.modseq = ModSeq(tx.state.modseq);
    tell_keywords(tx, store, &mut stored.delta)?;
    Ok(Answer::Stored(stored))
}

/// A session has to know the keywords it has just made.
fn tell_keywords(tx: &WriteTx<'_>, store: &Store, delta: &mut Delta) -> Result<(), StoreError> {
    let all = keywords(tx.connection)?;
    if all.0.len() > store.view.keywords as usize {
        delta.keywords = Some(all);
    }
    Ok(())
}

/// Gives the rows these flags, where they differ.
pub(crate) fn set_flags(
    tx: &mut WriteTx<'_>,
    mut folder: Folder,
    rows: &mut [Placement],
    news: &[u64],
) -> Result<(), StoreError> {
    let connection = tx.connection;
    let mut update = connection.prepare_cached("UPDATE msg SET flags = ?, modseq = ? WHERE folder = ? AND uid = ?")?;
    let mut any = false;
    for (row, &flags) in rows.iter_mut().zip(news).filter(|(row, flags)| row.flags != **flags) {
        let modseq = tx.modseq();
        update.execute(params![flags as i64, modseq.0 as i64, folder.id.0, row.uid])?;
        folder.remove(row.flags, row.size);
        folder.add(flags, row.size);
        (row.flags, row.modseq, any) = (flags, modseq.0, true);
    }
    if any {
        (folder.hms, folder.fms) = (tx.state.modseq, tx.state.modseq);
        folder.save(connection)?;
        touch(tx, folder.id);
    }
    Ok(())
}

fn touch(tx: &mut WriteTx<'_>, folder: FolderId) {
    tx.touched.insert(folder);
}
