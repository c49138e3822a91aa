//! Each recipient of a message to where it can go now.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use model::verbs::{Accepted, Code, Failure, Recipient, Settle};
use model::{MailboxId, TxId};
use std::collections::BTreeMap;
use store::{Delivered, Delivery, Inserted, Mailbox, NewWaiting, Room, StoreError};

use super::{Arrival, query};
use crate::shard::Shard;

/// How long one recipient may take before the MX is told to try again. Whoever sent the message may do so at once, and
/// show that it was taken then: a first attempt that came in after that would be a second message, so it does not.
const PATIENCE: Duration = Duration::from_secs(20);

/// Recipients of one message served at a time. Each has a sealed copy of its own in memory, so of a large one few.
const ABREAST: usize = 32;
const ABREAST_LARGE: usize = 2;
/// A message of more octets is large.
const LARGE: usize = 1 << 20;

/// Delivers a message to its recipients on this shard; one answer for each, in their order.
pub async fn deliver(shard: &Arc<Shard>, arrival: Arc<Arrival>, recipients: &[Recipient]) -> Vec<Accepted> {
    let abreast = if arrival.body.len() > LARGE { ABREAST_LARGE } else { ABREAST };
    let each = stream::iter(recipients.to_vec()).map(|to| {
        let (shard, arrival) = (shard.clone(), arrival.clone());
        // A task of its own: a connection that breaks must not cut a delivery between its commit and what follows.
        let task = shard.tasks.spawn({
            let shard = shard.clone();
            async move { one(&shard, &arrival, &to, Instant::now() + PATIENCE).await }
        });
        async move {
            match tokio::time::timeout(PATIENCE, task).await {
                Ok(Ok(Ok(accepted))) => accepted,
                Ok(Ok(Err(failure))) => Accepted::Failed(failure),
                Ok(Err(_)) => Accepted::Failed(Failure::new(Code::ServerBug, "the delivery failed")),
                Err(_) => Accepted::Failed(Failure::unavailable("the delivery takes too long")),
            }
        }
    });
    let answers = each.buffered(abreast).collect().await;
    files::fault::point("deliver.answer.before");
    answers
}

async fn one(shard: &Arc<Shard>, arrival: &Arrival, to: &Recipient, until: Instant) -> Result<Accepted, Failure> {
    let size = (to.trace.len() + arrival.body.len()) as u64;
    let entry = shard.receiver(to.mailbox)?;
    shard.floor.admit(size)?;
    let open = match shard.attached(to.mailbox) {
        Some(mailbox) => Some(mailbox),
        None => query::ask(shard, to.mailbox).await,
    };
    match open {
        Some(mailbox) if !must_queue(shard, &mailbox, arrival, to).await? => {
            live(shard, &mailbox, arrival, to, until).await
        }
        _ => spool(shard, arrival, to, entry.quota, until).await,
    }
}

/// True where equal mail waits in the spool, which this one must not overtake.
async fn must_queue(shard: &Shard, mailbox: &Mailbox, arrival: &Arrival, to: &Recipient) -> Result<bool, Failure> {
    let Some(fp) = arrival.fingerprint(&shard.shard_key, to) else { return Ok(false) };
    shard.lanes.of(to.mailbox).has_before(&shard.spools.of(to.mailbox), mailbox, fp).await
}

async fn live(
    shard: &Shard,
    mailbox: &Mailbox,
    arrival: &Arrival,
    to: &Recipient,
    until: Instant,
) -> Result<Accepted, Failure> {
    // What waits has its room already, and does not count in the mailbox yet. What is just coming in counts twice for a
    // moment: mail may be refused a little early, but nothing goes over.
    let reserved = if shard.lanes.of(to.mailbox).is_pending() {
        shard.spools.of(to.mailbox).state().await.map_err(StoreError::into_failure)?.bytes
    } else {
        0
    };
    let delivery = Delivery {
        id: arrival.delivery_id(&shard.shard_key, to),
        txid: arrival.txid,
        fp: arrival.fingerprint(&shard.shard_key, to),
        settled: false,
        began: arrival.envelope.received,
        received: arrival.envelope.received,
        trace: to.trace.clone(),
        body: arrival.body.clone(),
        room: Room::Beside(reserved),
        until: Some(until),
    };
    files::fault::point("deliver.live.before");
    let delivered = mailbox.deliver(delivery).await?;
    files::fault::point("deliver.live.after");
    Ok(match delivered {
        Delivered::Stored(_) => Accepted::Stored,
        Delivered::Duplicate => Accepted::Duplicate,
    })
}

async fn spool(
    shard: &Arc<Shard>,
    arrival: &Arrival,
    to: &Recipient,
    limit: Option<u64>,
    until: Instant,
) -> Result<Accepted, Failure> {
    let known = shard.keysets.of(to.mailbox).await?;
    let known = known.ok_or_else(|| Failure::unavailable("the mailbox awaits its owner"))?;
    let id = arrival.delivery_id(&shard.shard_key, to);
    let (received, trace, body) = (arrival.envelope.received, to.trace.clone(), arrival.body.clone());
    let size = (trace.len() + body.len()) as u64;
    let sealed =
        tokio::task::spawn_blocking(move || store::sealed::seal(&known.sealing, id, received, &trace, &body)).await;
    let sealed = match sealed {
        Ok(Ok(sealed)) => Bytes::from(sealed),
        Ok(Err(error)) => {
            tracing::error!(mailbox = %to.mailbox, %error, "mail cannot be sealed");
            return Err(Failure::unavailable("the mailbox takes no mail now"));
        }
        Err(_) => return Err(Failure::unavailable("shutting down")),
    };
    files::fault::point("deliver.seal.after");
    let row = NewWaiting {
        delivery: id,
        txid: arrival.txid,
        fp: arrival.fingerprint(&shard.shard_key, to),
        began: received,
        size,
        at: arrival.accepted,
        sealed,
        limit,
        until: Some(until),
    };
    let lane = shard.lanes.of(to.mailbox);
    // A batch on its way has already been read: an equal message in it would be taken into the mailbox as brought by the
    // transaction before this one, and the settlement of this one would find nothing.
    let _between = lane.between_batches().await;
    // Before: what fails may be there all the same, once the file is opened again.
    lane.put();
    let inserted = shard.spools.of(to.mailbox).insert(row).await.map_err(|error| {
        if !matches!(error, StoreError::Fenced) {
            tracing::error!(mailbox = %to.mailbox, %error, "the spool does not take mail");
        }
        error.into_failure()
    })?;
    lane.put();
    // Attached while it was being sealed: see the invariants of this module.
    shard.drain_if_attached(to.mailbox);
    match inserted {
        Inserted::Stored => Ok(Accepted::Stored),
        Inserted::Duplicate => Ok(Accepted::Duplicate),
        Inserted::TooLate => Err(Failure::unavailable("the delivery took too long")),
        Inserted::OverQuota => Err(Failure::new(Code::OverQuota, "the mailbox is full")),
    }
}

/// The senders of these transactions know that their mail was accepted: equal mail is new mail from now on.
pub async fn settle(shard: &Arc<Shard>, settle: Settle) -> Result<(), Failure> {
    let mut by_mailbox: BTreeMap<MailboxId, Vec<TxId>> = BTreeMap::new();
    for (txid, mailboxes) in settle.transactions {
        for mailbox in mailboxes {
            by_mailbox.entry(mailbox).or_default().push(txid);
        }
    }
    let mut outcome = Ok(());
    for (mailbox, transactions) in by_mailbox.into_iter().filter(|(mailbox, _)| shard.usable(*mailbox).is_ok()) {
        // One that fails does not keep the others from being settled.
        outcome = settle_one(shard, mailbox, transactions).await.and(outcome);
    }
    outcome
}

async fn settle_one(shard: &Arc<Shard>, mailbox: MailboxId, transactions: Vec<TxId>) -> Result<(), Failure> {
    let lane = shard.lanes.of(mailbox);
    // A message that is being drained would come into the mailbox unsettled, after the mailbox has been told.
    let _between = lane.between_batches().await;
    files::fault::point("settle.mailbox.before");
    let told = match shard.attached(mailbox) {
        Some(open) => open.settle(transactions.clone()).await.is_ok(),
        None => false,
    };
    files::fault::point("settle.mailbox.after");
    shard.spools.of(mailbox).settle(transactions, !told).await.map_err(StoreError::into_failure)?;
    if !told {
        lane.put();
        // Attached meanwhile: the drain tells the mailbox.
        shard.drain_if_attached(mailbox);
    }
    Ok(())
}
