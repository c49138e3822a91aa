//! APPEND: a message comes in, is taken apart off the writer, and is placed in one durable commit.
//!
//! * Up to [`SMALL`] packed bytes go into the commit that places the message. Larger ones are written before, in short
//!   unsynced transactions under an id that is in `pending`; the commit that places the message takes it out. What a crash
//!   leaves in `pending` goes to the grave at the next attach.
//! * At most `Limits::memory` octets of messages over 1 MiB are in memory at a time; others wait.

mod prepare;
mod stage;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use model::verbs::{Append, Appended, Code};
use model::{FolderId, SessionId, Uid, UidValidity};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::StoreError;
use crate::delta::{announce, delta};
use crate::done::{Ticket, once};
use crate::error::refuse;
use crate::flags::bits;
use crate::folders::canonical;
use crate::mailbox::{Core, Turn};
use crate::rows::{Folder, Placement};
use crate::state::{Room, WriteTx};
use crate::writer::{Durability, Task};

pub(crate) use prepare::{Prepared, days, prepare};
pub(crate) use stage::{Staged, abandon, stage};

/// Messages up to this size are buffered without asking, and written in one transaction.
pub(crate) const SMALL: u64 = 1 << 20;

/// The octets of an APPEND.
#[derive(Debug)]
pub enum Body {
    /// All of them.
    Whole(Bytes),
    /// They arrive in pieces. If the channel closes before all have come, nothing is stored.
    Stream(mpsc::Receiver<Bytes>),
}

/// A message ready to be placed.
pub(crate) struct Ready {
    /// What is stored of it.
    pub prepared: Arc<Prepared>,
    /// What has been written already.
    pub staged: Option<Arc<Staged>>,
    /// Its share of the memory.
    _memory: Option<OwnedSemaphorePermit>,
}

/// One APPEND.
pub(crate) async fn append(
    core: &Arc<Core>,
    session: SessionId,
    append: Append,
    body: Body,
    mut turn: Turn,
) -> Result<Appended, StoreError> {
    let view = append.view;
    check_size(core, append.size)?;
    if append.size > SMALL {
        // Whoever holds a share of the memory must not wait for one who has none yet.
        turn.wait().await;
    }
    let memory = reserve(core, append.size).await?;
    let ready = receive(core, append.size, body, memory).await?;
    let (seq, staged) = (append.seq, ready.staged.clone());
    let work = move |tx: &mut WriteTx<'_>| {
        once(tx, Ticket { session, seq }, |tx| {
            tx.check_writable()?;
            place(tx, &append, &ready)
        })
    };
    let (job, told) = Task::job(Durability::Full, work);
    turn.wait().await;
    core.queue(job);
    drop(turn);
    let placed = told.await.map_err(|_| StoreError::Stopped)?;
    if placed.is_err()
        && let Some(staged) = staged
    {
        abandon(core, staged).await?;
    }
    let mut appended = placed?;
    if let Some(view) = view {
        let delta = core.read(move |connection| delta(connection, &view)).await?;
        announce(core, session, &view, &delta);
        appended.delta = Some(delta);
    }
    Ok(appended)
}

/// MULTIAPPEND: all or none.
pub(crate) async fn append_many(
    core: &Arc<Core>,
    session: SessionId,
    messages: Vec<(Append, Body)>,
    mut turn: Turn,
) -> Result<Vec<Appended>, StoreError> {
    let Some(first) = messages.first().map(|(append, _)| append.clone()) else { return Ok(Vec::new()) };
    messages.iter().try_for_each(|(append, _)| check_size(core, append.size))?;
    turn.wait().await;
    let memory = reserve_all(core, messages.iter().map(|(append, _)| append.size)).await?;
    let mut ready = Vec::with_capacity(messages.len());
    for (append, body) in messages {
        let append = Append { folder: first.folder.clone(), ..append };
        ready.push((receive(core, append.size, body, None).await?, append));
    }
    let work = move |tx: &mut WriteTx<'_>| {
        once(tx, Ticket { session, seq: first.seq }, |tx| {
            tx.check_writable()?;
            ready.iter().map(|(ready, append)| place(tx, append, ready)).collect()
        })
    };
    let (job, told) = Task::job(Durability::Full, work);
    core.queue(job);
    drop(turn);
    let mut appended: Vec<Appended> = told.await.map_err(|_| StoreError::Stopped)??;
    drop(memory);
    if let (Some(view), Some(last)) = (first.view, appended.last_mut()) {
        last.delta = Some(core.read(move |connection| delta(connection, &view)).await?);
    }
    Ok(appended)
}

/// Buffers, parses, compresses, and writes what is large.
async fn receive(
    core: &Arc<Core>,
    size: u64,
    body: Body,
    memory: Option<OwnedSemaphorePermit>,
) -> Result<Ready, StoreError> {
    let raw = collect(body, size).await?;
    if memchr::memchr(0, &raw).is_some() {
        return refuse(Code::BadMessage, "the message holds NUL");
    }
    ready(core, raw, memory).await
}

fn check_size(core: &Core, size: u64) -> Result<(), StoreError> {
    if size > core.shared.limits.message { refuse(Code::TooBig, "the message is too large") } else { Ok(()) }
}

/// A share of the memory for a message, once there is room. Small ones need none.
pub(crate) async fn reserve(core: &Core, size: u64) -> Result<Option<OwnedSemaphorePermit>, StoreError> {
    reserve_all(core, std::iter::once(size)).await
}

/// The same for messages that are committed together. At once: with shares taken one by one, two who hold a part each
/// would wait for the rest for ever.
pub(crate) async fn reserve_all(
    core: &Core,
    sizes: impl Iterator<Item = u64> + Send,
) -> Result<Option<OwnedSemaphorePermit>, StoreError> {
    let large = sizes.filter(|size| *size > SMALL).fold(0, u64::saturating_add);
    if large == 0 {
        return Ok(None);
    }
    let all = core.shared.limits.memory >> 10;
    let share = u32::try_from((large >> 10).min(all)).unwrap_or(u32::MAX);
    let memory = core.shared.memory.clone().acquire_many_owned(share).await;
    Ok(Some(memory.map_err(|_| StoreError::Stopped)?))
}

/// Prepares a message that is in memory.
pub(crate) async fn ready(
    core: &Arc<Core>,
    raw: Bytes,
    memory: Option<OwnedSemaphorePermit>,
) -> Result<Ready, StoreError> {
    let cpu = core.shared.cpu.clone().acquire_owned().await.map_err(|_| StoreError::Stopped)?;
    let key = core.attachment_key();
    let prepared = tokio::task::spawn_blocking(move || {
        let _cpu = cpu;
        prepare(&raw, key.as_slice())
    });
    let prepared = Arc::new(prepared.await.map_err(|error| StoreError::of_task(&error, "the message"))??);
    let staged = if prepared.packed() > SMALL { Some(stage(core, &prepared).await?) } else { None };
    Ok(Ready { prepared, staged, _memory: memory })
}

async fn collect(body: Body, size: u64) -> Result<Bytes, StoreError> {
    let raw = match body {
        Body::Whole(raw) => raw,
        Body::Stream(mut pieces) => {
            let mut raw = BytesMut::with_capacity(size as usize);
            while let Some(piece) = pieces.recv().await {
                if raw.len() + piece.len() > size as usize {
                    return refuse(Code::Cannot, "more octets came than were announced");
                }
                raw.extend_from_slice(&piece);
            }
            raw.freeze()
        }
    };
    if raw.len() as u64 == size { Ok(raw) } else { refuse(Code::Cannot, "fewer octets came than were announced") }
}

fn place(tx: &mut WriteTx<'_>, append: &Append, ready: &Ready) -> Result<Appended, StoreError> {
    let Some(folder) = Folder::by_name(tx.connection, &canonical(&append.folder))? else {
        return refuse(Code::TryCreate, "no such folder");
    };
    let flags = bits(tx, &append.flags, true)?;
    let idate = append.internal_date.map_or(tx.now, Timestamp::as_second);
    let uidvalidity = UidValidity(folder.uidvalidity);
    tx.charge(1, ready.prepared.size, Room::Beside(0))?;
    let uid = insert(tx, folder, ready, flags, idate)?;
    Ok(Appended { uidvalidity, uid, delta: None })
}

/// Stores the content and places it at the end of a folder. Quota is the caller's.
pub(crate) fn insert(
    tx: &mut WriteTx<'_>,
    mut folder: Folder,
    ready: &Ready,
    flags: u64,
    idate: i64,
) -> Result<Uid, StoreError> {
    let prepared = &ready.prepared;
    let mail = stage::store(tx, prepared, ready.staged.as_deref())?;
    let (uid, modseq) = (folder.uidnext, tx.modseq().0);
    let Some(next) = uid.checked_add(1) else { return refuse(Code::Limit, "the folder has no UIDs left") };
    let placement =
        Placement { uid, mail, size: prepared.size, idate, saved: tx.now, sent: prepared.sent, flags, modseq };
    placement.insert(tx.connection, folder.id)?;
    folder.uidnext = next;
    folder.hms = modseq;
    folder.add(flags, prepared.size);
    folder.save(tx.connection)?;
    touch(tx, folder.id);
    Ok(Uid(uid))
}

fn touch(tx: &mut WriteTx<'_>, folder: FolderId) {
    tx.touched.insert(folder);
}
