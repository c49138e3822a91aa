//! Mail from outside into INBOX, exactly once.
//!
//! * A delivery id is recorded in the commit that stores the message, and stays beyond EXPUNGE: a spool that offers the
//!   message again after a crash is told that it is here.
//! * A fingerprint suppresses an equal message until its transaction is settled, or a week is over.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use model::{DeliveryId, TxId, Uid};
use rusqlite::params;

use crate::append::{Ready, Staged, abandon, insert, ready, reserve};
use crate::mailbox::Core;
use crate::rows::Folder;
use crate::state::WriteTx;
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
    /// INTERNALDATE: when it was accepted.
    pub received: Timestamp,
    /// Our trace headers, put before the message.
    pub trace: Bytes,
    /// The message as it came.
    pub body: Bytes,
    /// Its room was reserved when it was accepted: quota does not refuse it.
    pub reserved: bool,
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
    let made = get_ready(core, &delivery).await?;
    let staged = made.staged.clone();
    let result = core.write(Durability::Full, move |tx| place(tx, &delivery, &made)).await;
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
            Err(_) => Err(StoreError::Stopped),
        });
    }
    let mut told = Vec::with_capacity(waiting.len());
    for one in waiting {
        told.push(one.map(|(job, answer, staged)| {
            core.queue(job);
            (answer, staged)
        }));
    }
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
    let memory = reserve(core, (delivery.trace.len() + delivery.body.len()) as u64).await?;
    let mut raw = BytesMut::with_capacity(delivery.trace.len() + delivery.body.len());
    raw.extend_from_slice(&delivery.trace);
    raw.extend_from_slice(&delivery.body);
    ready(core, raw.freeze(), memory).await
}

fn place(tx: &mut WriteTx<'_>, delivery: &Delivery, made: &Ready) -> Result<Delivered, StoreError> {
    if is_known(tx, delivery)? {
        return Ok(Delivered::Duplicate);
    }
    let inbox = Folder::by_name(tx.connection, "INBOX")?.ok_or(StoreError::Corrupt("the folder tree"))?;
    tx.charge(1, made.prepared.size, delivery.reserved)?;
    let uid = insert(tx, inbox, made, 0, delivery.received.as_second())?;
    tx.connection
        .prepare_cached("INSERT INTO taken(delivery, at) VALUES(?, ?)")?
        .execute(params![delivery.id.0, tx.now])?;
    if let Some(fp) = delivery.fp {
        tx.connection.prepare_cached("INSERT OR REPLACE INTO fp(fp, txid, at) VALUES(?, ?, ?)")?.execute(params![
            fp,
            delivery.txid.0,
            tx.now
        ])?;
    }
    Ok(Delivered::Stored(uid))
}

fn is_known(tx: &WriteTx<'_>, delivery: &Delivery) -> Result<bool, StoreError> {
    if tx.connection.prepare_cached("SELECT 1 FROM taken WHERE delivery = ?")?.exists([delivery.id.0])? {
        return Ok(true);
    }
    let Some(fp) = delivery.fp else { return Ok(false) };
    let oldest = tx.now - FINGERPRINT_LIFE.as_secs() as i64;
    Ok(tx.connection.prepare_cached("SELECT 1 FROM fp WHERE fp = ? AND at > ?")?.exists(params![fp, oldest])?)
}

/// The senders know that we have this mail.
pub(crate) fn settle(tx: &mut WriteTx<'_>, transactions: &[TxId]) -> Result<(), StoreError> {
    let mut delete = tx.connection.prepare_cached("DELETE FROM fp WHERE txid = ?")?;
    for txid in transactions {
        delete.execute([txid.0])?;
    }
    Ok(())
}
