//! What has to be done in a mailbox that was put back from an archive, when its key first comes: nobody could do it before.
//!
//! `mailbox.restored.json` beside `mailbox.sqlite` says how far it is: `{"format": 1, "step": "placed" | "jumped" | "damaged"}`.
//!
//! * What the mailbox told clients after the moment it was restored to is forgotten, so everything that is given out once jumps
//!   ahead: no UID, UIDVALIDITY, modseq or content id is ever given twice, and every client is told everything again.
//! * Then every page is looked at, with the key. The file goes when they are sound; a person is told when they are not.
//!
//! What a crash leaves: the step before, and it is done once more, which is as good.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use files::fault;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use crate::mailbox::Core;
use crate::open::Use;
use crate::state::{RESERVE, State};
use crate::{StoreError, snapshot};

/// UIDs that a folder may have given since (RFC 9051 section 2.3.1.1: they have 32 bits, so this is not endless).
const UIDS: u32 = 1 << 20;
/// UIDVALIDITYs that may have been given since.
const UIDVALIDITIES: u32 = 1 << 16;
/// Modseqs that may have been told since (RFC 7162: 63 bits).
const MODSEQS: u64 = 1 << 32;
/// Contents that may have been made since.
const CONTENTS: i64 = 1 << 20;

#[derive(Serialize, Deserialize)]
struct Mark {
    format: u32,
    step: Step,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Step {
    /// The file is there, and nobody has opened it.
    Placed,
    /// It was opened.
    Jumped,
    /// It was looked at, and is not sound.
    Damaged,
}

/// The path of the mark.
pub(crate) fn mark_of(database: &Path) -> PathBuf {
    database.with_extension("restored.json")
}

/// Says that a restored file is about to be here. Blocking.
pub(crate) fn mark(database: &Path) -> Result<(), StoreError> {
    write(database, Step::Placed)
}

fn write(database: &Path, step: Step) -> Result<(), StoreError> {
    let json = serde_json::to_vec(&Mark { format: 1, step }).map_err(|_| StoreError::Corrupt("a mark"))?;
    Ok(files::durable::write(&mark_of(database), &json)?)
}

fn read(database: &Path) -> Result<Option<Step>, StoreError> {
    let path = mark_of(database);
    if !crate::open::is_there(&path)? {
        return Ok(None);
    }
    let json = std::fs::read(&path).map_err(|source| files::FilesError::Io { action: "read", path, source })?;
    let mark: Mark = serde_json::from_slice(&json).map_err(|_| StoreError::Corrupt("mailbox.restored.json"))?;
    Ok(Some(mark.step))
}

/// Jumps ahead, if that is due. For the writing connection, as the first thing it does.
pub(crate) fn settle(connection: &Connection, database: &Path) -> Result<(), StoreError> {
    if read(database)? != Some(Step::Placed) {
        return Ok(());
    }
    connection.execute_batch("BEGIN IMMEDIATE")?;
    if let Err(error) = jump(connection) {
        // The connection is closed by the caller, which rolls back too.
        let _ = connection.execute_batch("ROLLBACK");
        return Err(error);
    }
    connection.execute_batch("COMMIT")?;
    fault::point("restored.jumped.after");
    write(database, Step::Jumped)
}

fn jump(connection: &Connection) -> Result<(), StoreError> {
    let mut state = State::load(connection)?;
    state.modseq = state.modseq.max(state.ceiling) + MODSEQS;
    state.ceiling = state.modseq + RESERVE;
    state.unsynced = false;
    state.commits += 1;
    state.next_content += CONTENTS;
    state.next_uidvalidity = state.next_uidvalidity.saturating_add(UIDVALIDITIES);
    connection.execute(
        "UPDATE folder SET uidnext = min(uidnext + ?1, 4294967295), reset_ms = ?2, hms = ?2, fms = ?2",
        [i64::from(UIDS), state.modseq as i64],
    )?;
    state.save(connection)
}

/// Looks at every page, if that is due, beside whoever uses the mailbox.
pub(crate) fn check(core: &Arc<Core>) {
    let core = core.clone();
    core.shared.tasks.clone().spawn_blocking(move || {
        let checked = read(core.path()).and_then(|step| match step {
            None => Ok(()),
            Some(_) => look(&core),
        });
        if let Err(error) = checked {
            tracing::warn!(mailbox = %core.id, %error, "a restored mailbox could not be looked at; it is at its next opening");
        }
    });
}

/// What is known of a restored mailbox whose mark is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Soundness {
    /// Its pages are looked at when its key comes next.
    Unchecked,
    /// They were looked at.
    Damaged,
}

/// What the mark says; none where nothing is to be done. Blocking.
pub(crate) fn soundness(database: &Path) -> Result<Option<Soundness>, StoreError> {
    Ok(read(database)?.map(|step| match step {
        Step::Placed | Step::Jumped => Soundness::Unchecked,
        Step::Damaged => Soundness::Damaged,
    }))
}

fn look(core: &Core) -> Result<(), StoreError> {
    let _use = core.take_into_use()?;
    match snapshot::check(&core.open_own(Use::Read)?) {
        Ok(()) => {
            tracing::info!(mailbox = %core.id, "a restored mailbox is sound");
            fault::point("restored.checked.after");
            core.shared.restored().remove(&core.id);
            Ok(files::durable::remove(&mark_of(core.path()))?)
        }
        Err(StoreError::Corrupt(what)) => {
            tracing::error!(mailbox = %core.id, what, "a restored mailbox is damaged: restore it as of another time");
            core.shared.restored().insert(core.id, Soundness::Damaged);
            write(core.path(), Step::Damaged)
        }
        Err(error) => Err(error),
    }
}
