//! SELECT and EXAMINE.

use std::sync::Arc;

use model::verbs::{Code, Selected};
use model::{FolderId, ModSeq, SessionId, SystemFlag, Uid, UidSet, UidValidity};
use rusqlite::Connection;

use crate::StoreError;
use crate::error::refuse;
use crate::folders::canonical;
use crate::mailbox::Core;
use crate::rows::{Folder, keywords};
use crate::state::State;

/// Opens a folder for a session.
pub(crate) async fn select(
    core: &Arc<Core>,
    session: SessionId,
    name: String,
    read_only: bool,
) -> Result<Selected, StoreError> {
    let policy = core.policy();
    let mut selected = core.read(move |connection| read(connection, &canonical(&name))).await?;
    selected.read_only = policy.read_only;
    let is_looking = read_only || policy.read_only;
    selected.recent_from = core.memory().select(session, selected.folder, selected.uidnext, is_looking);
    Ok(selected)
}

fn read(connection: &Connection, name: &str) -> Result<Selected, StoreError> {
    let Some(folder) = Folder::by_name(connection, name)? else {
        return refuse(Code::NonExistent, "no such folder");
    };
    let (uids, first_unseen) = listing(connection, folder.id)?;
    Ok(Selected {
        folder: folder.id,
        uidvalidity: UidValidity(folder.uidvalidity),
        uidnext: Uid(folder.uidnext),
        modseq: ModSeq(State::load(connection)?.modseq),
        uids,
        first_unseen,
        recent_from: Uid(folder.uidnext),
        keywords: keywords(connection)?,
        read_only: false,
    })
}

fn listing(connection: &Connection, folder: FolderId) -> Result<(UidSet, Option<Uid>), StoreError> {
    let mut statement = connection.prepare_cached("SELECT uid, flags FROM msg WHERE folder = ? ORDER BY uid")?;
    let mut rows = statement.query([folder.0])?;
    let (mut uids, mut first_unseen) = (UidSet::new(), None);
    while let Some(row) = rows.next()? {
        let uid = Uid(row.get(0)?);
        uids.insert(uid);
        if first_unseen.is_none() && row.get::<_, i64>(1)? as u64 & SystemFlag::Seen.bit() == 0 {
            first_unseen = Some(uid);
        }
    }
    Ok((uids, first_unseen))
}
