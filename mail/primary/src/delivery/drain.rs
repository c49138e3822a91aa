//! From the spool into the mailbox, while a session holds its key.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use crypto::{CryptoError, SealingKey};
use jiff::{SignedDuration, Timestamp};
use model::verbs::Failure;
use model::{Class, DeliveryId, MailboxId};
use store::sealed::{self, Unsealed};
use store::{Delivery, FINGERPRINT_LIFE, Mailbox, Room, Spool, StoreError, Waiting};
use tokio::sync::{Mutex as AsyncMutex, RwLock, RwLockReadGuard, RwLockWriteGuard, watch};

use crate::shard::Shard;

/// Messages per commit.
const ROWS: usize = 100;
/// Octets of messages held at a time for one drain.
const BYTES: u64 = 32 << 20;
/// Wait before a drain that hit a passing fault goes on.
const PAUSE: Duration = Duration::from_secs(1);
/// SELECT and STATUS of INBOX wait so long for waiting mail; the rest arrives as EXISTS.
const DRAINED_WITHIN: Duration = Duration::from_secs(5);

/// One drain per mailbox at a time, and who waits for it.
#[derive(Default)]
pub struct Lanes {
    lanes: Mutex<HashMap<MailboxId, Arc<Lane>>>,
}

/// The drain of one mailbox.
pub(super) struct Lane {
    busy: AsyncMutex<()>,
    /// Written to from reading a batch until it has left the spool.
    batch: RwLock<()>,
    pending: watch::Sender<bool>,
    /// How often something was put into the spool.
    puts: AtomicU64,
    /// What that was when the spool was last seen empty; behind it, what the spool holds is not known.
    empty_at: AtomicU64,
}

impl Lanes {
    /// The lane of a mailbox.
    pub(super) fn of(&self, mailbox: MailboxId) -> Arc<Lane> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.entry(mailbox).or_insert_with(|| Arc::new(Lane::new())).clone()
    }

    /// Forgets the lanes that nobody uses, but for those of mailboxes that are open: what a lane knows is worth two looks
    /// into the spool.
    pub fn shrink(&self, is_open: impl Fn(MailboxId) -> bool) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody can get hold of one while the map is locked, so one that only the map holds is used by nobody.
        lanes.retain(|id, lane| Arc::strong_count(lane) > 1 || is_open(*id));
        let kept = lanes.len();
        lanes.shrink_to(2 * kept);
    }

    /// Waits until nothing is left in the spool of a mailbox, or the time for it is over.
    pub async fn drained(&self, mailbox: MailboxId) {
        let mut pending = self.of(mailbox).pending.subscribe();
        // Too late is no error: what is left arrives while the folder is selected.
        let _ = tokio::time::timeout(DRAINED_WITHIN, pending.wait_for(|pending| !pending)).await;
    }
}

impl Lane {
    fn new() -> Self {
        Self {
            busy: AsyncMutex::default(),
            batch: RwLock::default(),
            pending: watch::channel(false).0,
            puts: AtomicU64::new(1),
            empty_at: AtomicU64::new(0),
        }
    }

    /// Mail or a settlement was put into the spool, or is about to be, and whoever sent it has not been told yet.
    pub fn put(&self) {
        self.puts.fetch_add(1, Ordering::AcqRel);
    }

    /// What came before a message that could go straight into the mailbox: tells the mailbox what was settled while it
    /// was locked, and says whether equal mail waits. The message must not overtake either, or one of the two would be
    /// taken for a retry of the other. A drain need not be waited for: what it has in hand is in the spool until it is
    /// in the mailbox.
    pub async fn has_before(&self, spool: &Arc<Spool>, mailbox: &Mailbox, fp: [u8; 32]) -> Result<bool, Failure> {
        let puts = self.puts.load(Ordering::Acquire);
        if self.empty_at.load(Ordering::Acquire) == puts {
            return Ok(false);
        }
        tell_settled(spool, mailbox).await?;
        if spool.state().await.map_err(StoreError::into_failure)?.waiting > 0 {
            return spool.holds(fp).await.map_err(StoreError::into_failure);
        }
        self.empty_at.fetch_max(puts, Ordering::AcqRel);
        Ok(false)
    }

    /// True while mail may wait in the spool beside an open mailbox.
    pub fn is_pending(&self) -> bool {
        *self.pending.borrow()
    }

    /// While this is held, no message is on its way from the spool into the mailbox: it is in one of them.
    pub async fn between_batches(&self) -> RwLockReadGuard<'_, ()> {
        self.batch.read().await
    }

    /// While this is held, a batch may be on its way.
    pub async fn batch(&self) -> RwLockWriteGuard<'_, ()> {
        self.batch.write().await
    }
}

impl Shard {
    /// Schedules a drain. Whoever asks for [`Lanes::drained`] afterwards waits for it.
    pub fn drain(self: &Arc<Self>, mailbox: MailboxId) {
        let lane = self.lanes.of(mailbox);
        lane.pending.send_replace(true);
        let shard = self.clone();
        self.tasks.spawn(async move {
            let _one = lane.busy.lock().await;
            lane.pending.send_replace(true);
            let drained = loop {
                match run(&shard, &lane, mailbox).await {
                    Ok(drained) => break drained,
                    Err(failure) => tracing::warn!(%mailbox, %failure, "waiting mail cannot be taken in now"),
                }
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => {}
                    () = shard.stop.cancelled() => break None,
                }
            };
            lane.pending.send_replace(false);
            if let Some(open) = drained {
                shard.remember_usage(mailbox, &open).await;
                if let Err(error) = shard.spools.of(mailbox).tidy().await {
                    tracing::warn!(%mailbox, %error, "the spool keeps the space of mail that has left it");
                }
            }
        });
    }

    /// The same, where there is a session to drain for.
    pub fn drain_if_attached(self: &Arc<Self>, mailbox: MailboxId) {
        if self.attached(mailbox).is_some() {
            self.drain(mailbox);
        }
    }
}

/// Empties the spool, or returns when the mailbox has no session any more. Answers the mailbox if it took anything.
async fn run(shard: &Arc<Shard>, lane: &Lane, id: MailboxId) -> Result<Option<Arc<Mailbox>>, Failure> {
    let spool = shard.spools.of(id);
    let Some((mailbox, key)) = open(shard, id).await? else { return Ok(None) };
    let mut drained = None;
    while shard.attached(id).is_some() {
        let _batch = lane.batch().await;
        tell_settled(&spool, &mailbox).await?;
        mailbox.reserve(spool.state().await.map_err(StoreError::into_failure)?.bytes);
        let batch = spool.batch(ROWS, BYTES).await.map_err(StoreError::into_failure)?;
        if batch.is_empty() {
            break;
        }
        files::fault::point("drain.batch.after");
        take(shard, &spool, &mailbox, &key, batch).await?;
        drained = Some(mailbox.clone());
    }
    Ok(drained)
}

/// Tells the mailbox what was settled while it was locked. Twice is as good as once.
async fn tell_settled(spool: &Arc<Spool>, mailbox: &Mailbox) -> Result<(), Failure> {
    let settled = spool.settled().await.map_err(StoreError::into_failure)?;
    if settled.is_empty() {
        return Ok(());
    }
    mailbox.settle(settled.clone()).await?;
    spool.forget_settled(settled).await.map_err(StoreError::into_failure)
}

/// The mailbox and what opens its mail.
async fn open(shard: &Arc<Shard>, id: MailboxId) -> Result<Option<(Arc<Mailbox>, Arc<SealingKey>)>, Failure> {
    let Some(known) = shard.keysets.of(id).await? else { return Ok(None) };
    let found = shard.sessions().open(id).map(|open| (open.mailbox.clone(), open.dek.clone()));
    let Some((mailbox, dek)) = found else { return Ok(None) };
    let unwrapped = tokio::task::spawn_blocking(move || dek.with(|dek| known.keyset.unwrap_sealing_key(dek))).await;
    match unwrapped {
        Ok(Ok(key)) => Ok(Some((mailbox, Arc::new(key)))),
        Ok(Err(error)) => {
            tracing::error!(mailbox = %id, %error, "the sealing key does not open: waiting mail stays in the spool");
            Ok(None)
        }
        Err(_) => Err(Failure::unavailable("shutting down")),
    }
}

/// Takes one batch into the mailbox in one commit, then out of the spool.
async fn take(
    shard: &Arc<Shard>,
    spool: &Arc<Spool>,
    mailbox: &Mailbox,
    key: &Arc<SealingKey>,
    batch: Vec<Waiting>,
) -> Result<(), Failure> {
    let now = Timestamp::now();
    let (rows, mut deliveries) = (batch.len(), Vec::with_capacity(batch.len()));
    let mut ids = Vec::with_capacity(rows);
    for (row, unsealed) in unseal_all(key, batch).await? {
        match unsealed {
            Ok(unsealed) => {
                ids.push(row.id);
                deliveries.push(delivery(&row, unsealed, now));
            }
            Err(error) => {
                let row = Row { id: row.id, delivery: row.delivery };
                aside(shard, spool, mailbox, &row, &error.to_string()).await?;
            }
        }
    }
    let outcomes = mailbox.deliver_many(deliveries.clone()).await;
    files::fault::point("drain.taken.after");
    let mut taken = Vec::with_capacity(ids.len());
    for ((id, delivery), outcome) in ids.into_iter().zip(deliveries).zip(outcomes) {
        match outcome {
            Ok(_) => taken.push(id),
            Err(failure) if failure.class == Class::Invalid || failure.class == Class::Bug => {
                let row = Row { id, delivery: delivery.id };
                aside(shard, spool, mailbox, &row, &failure.text).await?;
            }
            Err(failure) => {
                // What went in is removed; the rest waits for better times, in its order.
                spool.took(taken, mailbox.commits()).await.map_err(StoreError::into_failure)?;
                return Err(failure);
            }
        }
    }
    spool.took(taken, mailbox.commits()).await.map_err(StoreError::into_failure)
}

/// A spool row without its message.
struct Row {
    id: i64,
    delivery: DeliveryId,
}

/// Opens sealed messages on as many threads as there are cores; the order stays.
async fn unseal_all(
    key: &Arc<SealingKey>,
    batch: Vec<Waiting>,
) -> Result<Vec<(Waiting, Result<Unsealed, CryptoError>)>, Failure> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let share = batch.len().div_ceil(cores).max(1);
    let (mut rest, mut threads) = (batch.into_iter().peekable(), Vec::new());
    while rest.peek().is_some() {
        let part: Vec<_> = rest.by_ref().take(share).collect();
        let key = key.clone();
        threads.push(tokio::task::spawn_blocking(move || {
            let open = |mut row: Waiting| {
                // A message that makes us fail would do so at every attempt: it is set aside like any other.
                let unseal = AssertUnwindSafe(|| sealed::unseal(&key, row.delivery, &row.sealed));
                let unsealed = catch_unwind(unseal).unwrap_or(Err(CryptoError::Tampered("a sealed message")));
                // The sealed bytes are not needed any more, and a hundred of them are much memory.
                row.sealed = Vec::new();
                (row, unsealed)
            };
            part.into_iter().map(open).collect::<Vec<_>>()
        }));
    }
    let mut all = Vec::new();
    for thread in threads {
        all.extend(thread.await.map_err(|_| Failure::unavailable("shutting down"))?);
    }
    Ok(all)
}

fn delivery(row: &Waiting, unsealed: Unsealed, now: Timestamp) -> Delivery {
    let life = SignedDuration::try_from(FINGERPRINT_LIFE).unwrap_or_default();
    Delivery {
        id: row.delivery,
        txid: row.txid,
        // Senders stop retrying at last: an old fingerprint would only suppress a repeat that is meant.
        fp: row.fp.filter(|_| now.duration_since(row.at) < life),
        settled: row.settled,
        began: row.began,
        received: unsealed.received,
        trace: unsealed.trace,
        body: unsealed.body,
        room: Room::Reserved,
        until: None,
    }
}

/// Puts a message that cannot be stored out of the way and tells the owner, who may want it restored.
async fn aside(shard: &Shard, spool: &Arc<Spool>, mailbox: &Mailbox, row: &Row, reason: &str) -> Result<(), Failure> {
    tracing::error!(delivery = %row.delivery, reason, "a waiting message cannot be stored and was set aside");
    // The notice first: after a crash in between it is there already, under the same id.
    let notice = notice(shard, row.delivery, reason);
    if let Err(failure) = mailbox.deliver(notice).await {
        tracing::warn!(delivery = %row.delivery, %failure, "the owner could not be told");
    }
    spool.set_aside(row.id, reason.to_owned(), Timestamp::now()).await.map_err(StoreError::into_failure)
}

/// A message to the owner, made once per message set aside.
fn notice(shard: &Shard, about: DeliveryId, reason: &str) -> Delivery {
    let hostname = shard.routes.current().map_or_else(|| "localhost".to_owned(), |known| known.hostname.clone());
    let now = Timestamp::now();
    let date = now.strftime("%a, %d %b %Y %H:%M:%S +0000");
    let text = format!(
        "From: Mail server <postmaster@{hostname}>\r\n\
         Subject: A message to you could not be stored\r\n\
         Date: {date}\r\n\
         Message-ID: <aside.{about}@{hostname}>\r\n\
         Auto-Submitted: auto-generated\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\r\n\
         A message that came while you were away could not be put into your mailbox:\r\n\
         {reason}.\r\n\r\n\
         It is kept on the server. Your administrator finds it under the number\r\n\
         {about}.\r\n"
    );
    let code = crypto::hmac_sha256(shard.shard_key.as_slice(), format!("sealpost/notice/v1 {about}").as_bytes());
    let mut id = [0; 16];
    id.copy_from_slice(&code[..16]);
    Delivery {
        id: DeliveryId(id),
        txid: model::TxId(id),
        fp: None,
        settled: false,
        began: now,
        received: now,
        trace: Bytes::new(),
        body: Bytes::from(text),
        room: Room::Reserved,
        until: None,
    }
}
