//! Mail from outside into INBOX, exactly once.
//!
//! * A delivery id is recorded in the commit that stores the message, and stays beyond EXPUNGE: a spool that offers the
//!   message again after a crash is told that it is here.
//! * A fingerprint suppresses an equal message until its transaction is settled, or a week is over. It belongs to the last
//!   transaction that brought the message, as its sender counts: that is the one whose 250 it may still read.
//! * A sender whose connection broke may try again while its first attempt is still on its way. An attempt that began before
//!   the last one that brought the message is late, whenever it comes in: it is a duplicate, and takes nothing over.
//! * The last transaction that brought the message is a duplicate whenever it comes again, also where another stored it:
//!   an MX repeats what it had no answer to, and a spool may offer it later. Settled or not, a fingerprint is kept for a week.

use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use model::verbs::Code;
use model::{DeliveryId, TxId, Uid};
use rusqlite::params;

use crate::append::{Ready, Staged, abandon, insert, ready, reserve, reserve_all};
use crate::error::refuse;
use crate::mailbox::Core;
use crate::rows::Folder;
use crate::state::{Room, WriteTx};
use crate::writer::{Durability, Task};
use crate::{FINGERPRINT_LIFE, StoreError};

/// One message for this mailbox.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Taken exactly once.
    pub id: DeliveryId,
    /// The SMTP transaction it came in.
    pub txid: TxId,
    /// Fingerprint; none for mail without Message-ID, which is never suppressed.
    pub fp: Option<[u8; 32]>,
    /// Its sender knows already that we have it: the fingerprint tells whether it is a resend, but suppresses no other.
    pub settled: bool,
    /// When the last transaction that brought it had all of it, by the clock of its MX.
    pub began: Timestamp,
    /// INTERNALDATE: when it was accepted.
    pub received: Timestamp,
    /// Our trace headers, put before the message.
    pub trace: Bytes,
    /// The message as it came.
    pub body: Bytes,
    /// Whether quota may refuse it.
    pub room: Room,
    /// Whoever sent it has been told by then that it was not taken, and may send it again: it must not come in later.
    pub until: Option<Instant>,
}

impl Delivery {
    /// Octets of the message with its trace headers.
    fn size(&self) -> u64 {
        (self.trace.len() + self.body.len()) as u64
    }
}

/// What became of a [`Delivery`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered {
    /// On disk, under that UID of INBOX.
    Stored(Uid),
    /// It, or an equal delivery that was not settled, is here already.
    Duplicate,
}

/// One delivery.
pub(crate) async fn deliver(core: &Arc<Core>, delivery: Delivery) -> Result<Delivered, StoreError> {
    let memory = reserve(core, delivery.size()).await?;
    let made = get_ready(core, &delivery).await?;
    let staged = made.staged.clone();
    let result = core.write(Durability::Full, move |tx| place(tx, &delivery, &made)).await;
    drop(memory);
    finish(core, result, staged).await
}

/// What was written ahead of a message that is not placed goes again.
async fn finish(
    core: &Arc<Core>,
    result: Result<Delivered, StoreError>,
    staged: Option<Arc<Staged>>,
) -> Result<Delivered, StoreError> {
    if let Some(staged) = staged.filter(|_| !matches!(result, Ok(Delivered::Stored(_)))) {
        abandon(core, staged).await?;
    }
    result
}

/// Several in order: prepared in parallel, then queued together so that they share commits.
pub(crate) async fn deliver_many(core: &Arc<Core>, deliveries: Vec<Delivery>) -> Vec<Result<Delivered, StoreError>> {
    // Held until all are committed.
    let Ok(_memory) = reserve_all(core, deliveries.iter().map(Delivery::size)).await else {
        return deliveries.iter().map(|_| Err(StoreError::Stopped)).collect();
    };
    let preparing: Vec<_> = deliveries
        .into_iter()
        .map(|delivery| {
            let core = core.clone();
            core.shared.tasks.clone().spawn(async move {
                let made = get_ready(&core, &delivery).await;
                (delivery, made)
            })
        })
        .collect();
    let mut waiting = Vec::with_capacity(preparing.len());
    for prepared in preparing {
        waiting.push(match prepared.await {
            Ok((delivery, Ok(made))) => {
                let staged = made.staged.clone();
                let (job, told) = Task::job(Durability::Full, move |tx: &mut WriteTx<'_>| place(tx, &delivery, &made));
                Ok((job, told, staged))
            }
            Ok((_, Err(error))) => Err(error),
            Err(error) => Err(StoreError::of_task(&error, "the message")),
        });
    }
    let (mut jobs, mut told) = (Vec::with_capacity(waiting.len()), Vec::with_capacity(waiting.len()));
    for one in waiting {
        told.push(one.map(|(job, answer, staged)| {
            jobs.push(job);
            (answer, staged)
        }));
    }
    core.queue_all(jobs);
    let mut results = Vec::with_capacity(told.len());
    for answer in told {
        results.push(match answer {
            Ok((answer, staged)) => finish(core, answer.await.unwrap_or(Err(StoreError::Stopped)), staged).await,
            Err(error) => Err(error),
        });
    }
    results
}

async fn get_ready(core: &Arc<Core>, delivery: &Delivery) -> Result<Ready, StoreError> {
    let mut raw = BytesMut::with_capacity(delivery.size() as usize);
    raw.extend_from_slice(&delivery.trace);
    raw.extend_from_slice(&delivery.body);
    ready(core, raw.freeze(), None).await
}

fn place(tx: &mut WriteTx<'_>, delivery: &Delivery, made: &Ready) -> Result<Delivered, StoreError> {
    if is_known(tx, delivery)? {
        return Ok(Delivered::Duplicate);
    }
    if delivery.until.is_some_and(|until| Instant::now() >= until) {
        return refuse(Code::Unavailable, "the delivery took too long");
    }
    let inbox = Folder::by_name(tx.connection, "INBOX")?.ok_or(StoreError::Corrupt("the folder tree"))?;
    tx.charge(1, made.prepared.size, delivery.room)?;
    let uid = insert(tx, inbox, made, 0, delivery.received.as_second())?;
    tx.connection
        .prepare_cached("INSERT INTO taken(delivery, at) VALUES(?, ?)")?
        .execute(params![delivery.id.0, tx.now])?;
    if let Some(fp) = delivery.fp {
        tx.connection
            .prepare_cached("INSERT OR REPLACE INTO fp(fp, txid, at, began, settled) VALUES(?, ?, ?, ?, ?)")?
            .execute(params![fp, delivery.txid.0, tx.now, delivery.began.as_millisecond(), delivery.settled])?;
    }
    Ok(Delivered::Stored(uid))
}

fn is_known(tx: &WriteTx<'_>, delivery: &Delivery) -> Result<bool, StoreError> {
    // Both are asked: what a spool offers again after a crash may have been brought by another transaction since.
    let is_equal = match delivery.fp {
        Some(fp) => has_equal(tx, delivery, fp)?,
        None => false,
    };
    Ok(is_equal || tx.connection.prepare_cached("SELECT 1 FROM taken WHERE delivery = ?")?.exists([delivery.id.0])?)
}

/// True where an equal message is here that this one is a retry of.
fn has_equal(tx: &WriteTx<'_>, delivery: &Delivery, fp: [u8; 32]) -> Result<bool, StoreError> {
    let (began, oldest) = (delivery.began.as_millisecond(), tx.now - FINGERPRINT_LIFE.as_secs() as i64);
    let mut passed = tx.connection.prepare_cached("SELECT 1 FROM fp WHERE fp = ? AND (began > ? OR txid = ?)")?;
    let is_passed = passed.exists(params![fp, began, delivery.txid.0])?;
    // The sender of this one hears that we have the message, if it has not yet: its settlement ends the suppression.
    let mut take_over = tx.connection.prepare_cached(
        "UPDATE fp SET txid = ?1, began = ?2, settled = ?3 WHERE fp = ?4 AND began <= ?2 AND settled = 0 AND at > ?5",
    )?;
    let is_retry = take_over.execute(params![delivery.txid.0, began, delivery.settled, fp, oldest])? > 0;
    Ok(is_passed || is_retry)
}

/// The senders know that we have this mail.
pub(crate) fn settle(tx: &mut WriteTx<'_>, transactions: &[TxId]) -> Result<(), StoreError> {
    let mut settle = tx.connection.prepare_cached("UPDATE fp SET settled = 1 WHERE txid = ? AND settled = 0")?;
    for txid in transactions {
        settle.execute([txid.0])?;
    }
    Ok(())
}
