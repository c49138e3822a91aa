//! COPY and MOVE: new placements of the same content.

use std::sync::Arc;

use model::verbs::{Answer, Code, Copied, Copy};
use model::{ModSeq, SessionId, Uid, UidSet, UidValidity};

use crate::StoreError;
use crate::delta::{announce, delta};
use crate::done::{Ticket, once};
use crate::error::refuse;
use crate::expunge::unplace;
use crate::folders::canonical;
use crate::mailbox::Core;
use crate::rows::{Folder, Placement, placements};
use crate::state::{Room, WriteTx};
use crate::writer::Durability;

/// COPY and MOVE.
pub(crate) async fn copy(core: &Arc<Core>, session: SessionId, copy: Copy) -> Result<Answer, StoreError> {
    let view = copy.view;
    let work = move |tx: &mut WriteTx<'_>| once(tx, Ticket { session, seq: copy.seq }, |tx| apply(tx, &copy));
    let answer = core.write(Durability::Full, work).await?;
    if let Answer::Copied(copied) = &answer {
        announce(core, session, &view, &copied.delta);
    }
    Ok(answer)
}

fn apply(tx: &mut WriteTx<'_>, copy: &Copy) -> Result<Answer, StoreError> {
    tx.check_writable()?;
    let delta = delta(tx.connection, &copy.view)?;
    let Some(mut target) = Folder::by_name(tx.connection, &canonical(&copy.target))? else {
        return refuse(Code::TryCreate, "no such folder");
    };
    let mut copied = Copied {
        modseq: delta.modseq,
        delta,
        uidvalidity: UidValidity(target.uidvalidity),
        from: Vec::new(),
        to: Vec::new(),
        appeared: UidSet::new(),
    };
    let rows = placements(tx.connection, copy.view.folder, &copy.uids)?;
    if copied.delta.deleted || rows.is_empty() {
        return Ok(Answer::Copied(copied));
    }
    let bytes = rows.iter().map(|row| row.size).sum();
    // A MOVE needs no room, so it is not refused for want of it.
    let room = if copy.remove { Room::Reserved } else { Room::Beside(0) };
    tx.charge(rows.len() as u64, bytes, room)?;
    let first = target.uidnext;
    copied.to = place(tx, &mut target, &rows)?;
    copied.from = rows.iter().map(|row| row.uid).collect();
    if target.id == copy.view.folder {
        copied.appeared = UidSet::range(Uid(first), Uid(target.uidnext - 1));
    }
    if copy.remove {
        // Read again: the target may be the source.
        if let Some(mut source) = Folder::by_id(tx.connection, copy.view.folder)? {
            unplace(tx, &mut source, &rows)?;
            tx.release(rows.len() as u64, bytes);
        }
    }
    copied.modseq = ModSeq(tx.state.modseq);
    Ok(Answer::Copied(copied))
}

/// Places the contents of these rows at the end of a folder; answers their UIDs there.
pub(crate) fn place(tx: &mut WriteTx<'_>, target: &mut Folder, rows: &[Placement]) -> Result<Vec<u32>, StoreError> {
    let modseq = tx.modseq().0;
    let mut uids = Vec::with_capacity(rows.len());
    for row in rows {
        let uid = target.uidnext;
        let Some(next) = uid.checked_add(1) else { return refuse(Code::Limit, "the folder has no UIDs left") };
        target.uidnext = next;
        Placement { uid, saved: tx.now, modseq, ..*row }.insert(tx.connection, target.id)?;
        target.add(row.flags, row.size);
        uids.push(uid);
    }
    target.hms = modseq;
    target.save(tx.connection)?;
    tx.touched.insert(target.id);
    Ok(uids)
}
