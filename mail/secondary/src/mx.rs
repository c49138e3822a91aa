//! The MX role: SMTP on one side, shards on the other.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use model::verbs::{Accepted, Deliver, Failure, Recipient, Settle};
use model::{Directory, MailboxId, ShardId, TxId};
use smtp::Message;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::directory::Routes;
use crate::shards::Shards;

/// Settlements on their way; more are dropped, which costs a fingerprint for a week and nothing else.
const SETTLING: usize = 10_000;
/// How long a delivery waits for settlements before it.
const SETTLE_WAIT: Duration = Duration::from_secs(20);

/// Brings messages to the shards of their recipients. Clones share everything.
#[derive(Clone)]
pub struct MxDelivery {
    shards: Shards,
    routes: Routes,
    settled: mpsc::Sender<(TxId, Vec<MailboxId>)>,
    settling: Arc<Settling>,
}

/// How far settlements have come. A message must not overtake the settlement of an equal one before it: it would be taken
/// for a retry, and a legitimate repeat would be lost.
#[derive(Default)]
struct Settling {
    begun: AtomicU64,
    done: watch::Sender<u64>,
}

impl Settling {
    /// Waits until everything that was settled before now has reached its shard, or the shard is too slow to matter: then
    /// the delivery fails by itself.
    async fn caught_up(&self) {
        let begun = self.begun.load(Ordering::Acquire);
        let _ = tokio::time::timeout(SETTLE_WAIT, self.done.subscribe().wait_for(|done| *done >= begun)).await;
    }
}

impl MxDelivery {
    /// A delivery, and the task that settles what clients have read the 250 of.
    pub fn new(shards: Shards, routes: Routes) -> (Self, impl Future<Output = ()> + Send) {
        let (settled, queue) = mpsc::channel(SETTLING);
        let settling = Arc::new(Settling::default());
        let task = settle(shards.clone(), routes.clone(), queue, settling.clone());
        (Self { shards, routes, settled, settling }, task)
    }

    fn by_shard(&self, recipients: Vec<Recipient>) -> BTreeMap<Option<ShardId>, Vec<(usize, Recipient)>> {
        let directory = self.routes.current();
        let mut by_shard: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (place, recipient) in recipients.into_iter().enumerate() {
            let mailbox = directory.as_ref().and_then(|d| d.mailboxes.get(&recipient.mailbox));
            by_shard.entry(mailbox.map(|m| m.shard)).or_default().push((place, recipient));
        }
        by_shard
    }

    async fn to_shard(&self, shard: Option<ShardId>, deliver: Deliver, body: Vec<bytes::Bytes>) -> Vec<Accepted> {
        let count = deliver.recipients.len();
        let failed = |failure: Failure| vec![Accepted::Failed(failure); count];
        let Some(client) = shard.and_then(|shard| self.shards.get(shard)) else {
            return failed(Failure::unavailable("no shard is known for a recipient"));
        };
        match client.deliver(deliver, wire::Body::Held(body)).await {
            Ok(results) if results.len() == count => results,
            Ok(_) => failed(Failure::unavailable("the shard answered for other recipients")),
            Err(failure) => failed(failure),
        }
    }
}

impl smtp::Delivery for MxDelivery {
    fn directory(&self) -> Option<Arc<Directory>> {
        self.routes.current()
    }

    async fn deliver(&self, message: Message) -> Vec<Accepted> {
        self.settling.caught_up().await;
        let count = message.recipients.len();
        let sent = self.by_shard(message.recipients).into_iter().map(|(shard, recipients)| {
            let (places, recipients): (Vec<usize>, Vec<Recipient>) = recipients.into_iter().unzip();
            let (txid, envelope, size) = (message.txid, message.envelope.clone(), message.size);
            let deliver = Deliver { txid, envelope, recipients, size };
            let body = message.body.clone();
            async move { (places, self.to_shard(shard, deliver, body).await) }
        });
        let mut results = vec![Accepted::Failed(Failure::unavailable("no answer")); count];
        for (places, accepted) in join_all(sent).await {
            for (place, accepted) in places.into_iter().zip(accepted) {
                results[place] = accepted;
            }
        }
        results
    }

    fn settle(&self, txid: TxId, mailboxes: &[MailboxId]) {
        if self.settled.try_send((txid, mailboxes.to_vec())).is_ok() {
            self.settling.begun.fetch_add(1, Ordering::Release);
        }
    }
}

/// Sends settlements, as many together as have come.
async fn settle(
    shards: Shards,
    routes: Routes,
    mut queue: mpsc::Receiver<(TxId, Vec<MailboxId>)>,
    settling: Arc<Settling>,
) {
    let mut batch = Vec::new();
    while queue.recv_many(&mut batch, 256).await > 0 {
        let count = batch.len() as u64;
        let directory = routes.current();
        let mut by_shard: BTreeMap<ShardId, Vec<(TxId, Vec<MailboxId>)>> = BTreeMap::new();
        for (txid, mailboxes) in batch.drain(..) {
            let mut of_shard: BTreeMap<ShardId, Vec<MailboxId>> = BTreeMap::new();
            for mailbox in mailboxes {
                let Some(known) = directory.as_ref().and_then(|d| d.mailboxes.get(&mailbox)) else { continue };
                of_shard.entry(known.shard).or_default().push(mailbox);
            }
            for (shard, mailboxes) in of_shard {
                by_shard.entry(shard).or_default().push((txid, mailboxes));
            }
        }
        for (shard, transactions) in by_shard {
            let Some(client) = shards.get(shard) else { continue };
            // Lost settlements leave fingerprints that end by themselves.
            let _ = client.settle(Settle { transactions }).await;
        }
        settling.done.send_modify(|done| *done += count);
    }
}

/// Serves one connection.
pub async fn session(
    stream: TcpStream,
    peer: SocketAddr,
    config: Arc<smtp::Config>,
    delivery: MxDelivery,
    tls: smtp::TlsUpgrade,
    stop: CancellationToken,
) {
    if let Err(error) = smtp::run(stream, peer, config, delivery, Some(tls), stop).await {
        tracing::debug!(%error, "an SMTP connection broke");
    }
}
