//! STORE, and the names of flags.

use std::sync::Arc;

use model::verbs::{Answer, Code, Delta, FlagRows, Store, StoreMode, Stored};
use model::{FlagSet, FolderId, Keywords, ModSeq, SessionId, SystemFlag, Uid, UidSet};
use rusqlite::params;

use crate::StoreError;
use crate::delta::{announce, changes, is_little};
use crate::done::{Ticket, once};
use crate::error::refuse;
use crate::mailbox::{Core, FEW};
use crate::rows::{Folder, Placement, keywords, placements};
use crate::state::WriteTx;
use crate::writer::Durability;

/// Longer names are nobody's.
const MAX_NAME: usize = 100;

/// The bits of the named flags. Keywords that are not in use yet are made, or left out.
pub(crate) fn bits(tx: &mut WriteTx<'_>, names: &[String], make: bool) -> Result<u64, StoreError> {
    let mut known = keywords(tx.connection)?;
    bits_of(tx, &mut known, names, make)
}

fn bits_of(tx: &mut WriteTx<'_>, known: &mut Keywords, names: &[String], make: bool) -> Result<u64, StoreError> {
    let mut bits = 0;
    for name in names {
        if let Some(flag) = SystemFlag::from_name(name) {
            bits |= flag.bit();
        } else if let Some(bit) = known.bit(name) {
            bits |= bit;
        } else if name.eq_ignore_ascii_case("\\Recent") {
            // RFC 3501 section 2.3.2: clients cannot alter it; the rest of the list is meant all the same.
        } else if make {
            bits |= keyword(tx, known, name)?;
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
    let (view, few) = (store.view, store.uids.len() <= FEW);
    let store = Arc::new(store);
    // None where it was to be short, and is not: nothing is done then.
    let work = |short: bool| {
        let store = store.clone();
        move |tx: &mut WriteTx<'_>| -> Result<Option<Answer>, StoreError> {
            if short && !is_little(tx.connection, &store.view)? {
                return Ok(None);
            }
            let ticket = Ticket { session, seq: store.seq };
            // Done twice, a conditional STORE would find its own first time in the way; any other changes nothing more.
            match store.unchanged_since {
                Some(_) => once(tx, ticket, |tx| apply(tx, &store)),
                None => apply(tx, &store),
            }
            .map(Some)
        }
    };
    let short = if few { core.write_small(Durability::Soon, work(true)).await? } else { None };
    let answer = match short {
        Some(answer) => Some(answer),
        None => core.write(Durability::Soon, work(false)).await?,
    };
    let answer = answer.ok_or(StoreError::Stopped)?;
    if let Answer::Stored(stored) = &answer {
        announce(core, session, &view, &stored.delta);
    }
    Ok(answer)
}

fn apply(tx: &mut WriteTx<'_>, store: &Store) -> Result<Answer, StoreError> {
    tx.check_writable()?;
    let modseq = ModSeq(tx.state.modseq);
    let mut stored = Stored { modseq, delta: Delta::default(), rows: FlagRows::default(), modified: UidSet::new() };
    let Some(folder) = Folder::by_id(tx.connection, store.view.folder)? else {
        stored.delta = Delta { deleted: true, modseq, ..Delta::default() };
        return Ok(Answer::Stored(stored));
    };
    // A session has to know the keywords it has just made.
    let mut known = keywords(tx.connection)?;
    let bits = bits_of(tx, &mut known, &store.flags, store.mode != StoreMode::Remove)?;
    stored.delta = changes(tx.connection, &store.view, &folder, known, modseq)?;
    let mut rows = placements(tx.connection, folder.id, &store.uids)?;
    if let Some(limit) = store.unchanged_since {
        let (fresh, stale): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.modseq <= limit.0);
        stored.modified = stale.iter().map(|row| Uid(row.uid)).collect();
        rows = fresh;
    }
    let change = match store.mode {
        StoreMode::Replace => Change { keep: 0, set: bits },
        StoreMode::Add => Change { keep: u64::MAX, set: bits },
        StoreMode::Remove => Change { keep: !bits, set: 0 },
    };
    set_flags(tx, folder, &mut rows, change)?;
    for row in &rows {
        stored.rows.push(Uid(row.uid), FlagSet(row.flags), ModSeq(row.modseq));
    }
    stored.modseq = ModSeq(tx.state.modseq);
    Ok(Answer::Stored(stored))
}

/// What becomes of flags.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    /// Bits that stay.
    pub keep: u64,
    /// Bits that are set.
    pub set: u64,
}

impl Change {
    fn of(self, flags: u64) -> u64 {
        flags & self.keep | self.set
    }
}

/// Changes the flags of rows, in ascending order, where that makes a difference. Neighbours are changed by one statement: a
/// statement for each row takes twice the time.
pub(crate) fn set_flags(
    tx: &mut WriteTx<'_>,
    mut folder: Folder,
    rows: &mut [Placement],
    change: Change,
) -> Result<(), StoreError> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for row in rows.iter_mut().filter(|row| change.of(row.flags) != row.flags) {
        folder.remove(row.flags, row.size);
        row.flags = change.of(row.flags);
        row.modseq = tx.modseq().0;
        folder.add(row.flags, row.size);
        match runs.last_mut() {
            Some(run) if run.1 + 1 == row.uid => run.1 = row.uid,
            _ => runs.push((row.uid, row.uid)),
        }
    }
    if runs.is_empty() {
        return Ok(());
    }
    let modseq = tx.modseq().0 as i64;
    let mut update = tx.connection.prepare_cached(
        "UPDATE msg SET flags = (flags & ?) | ?, modseq = ? WHERE folder = ? AND uid BETWEEN ? AND ?",
    )?;
    for (first, last) in runs {
        update.execute(params![change.keep as i64, change.set as i64, modseq, folder.id.0, first, last])?;
    }
    (folder.hms, folder.fms) = (tx.state.modseq, tx.state.modseq);
    folder.save(tx.connection)?;
    touch(tx, folder.id);
    Ok(())
}

fn touch(tx: &mut WriteTx<'_>, folder: FolderId) {
    tx.touched.insert(folder);
}
