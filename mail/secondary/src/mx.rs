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
use wire::ShardClient;

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
    settling: Arc<BTreeMap<ShardId, Settling>>,
}

/// What was settled, and for whom.
type Settled = (TxId, Vec<MailboxId>);

/// How far settlements of a shard have come. A message must not overtake the settlement of an equal one before it: it
/// would be taken for a retry, and a legitimate repeat would be lost. Each shard has its own, so that one that is away
/// delays nobody else's mail.
struct Settling {
    queue: mpsc::Sender<Settled>,
    begun: AtomicU64,
    done: Arc<watch::Sender<u64>>,
}

impl Settling {
    fn new(client: ShardClient) -> (Self, impl Future<Output = ()> + Send) {
        let (queue, settled) = mpsc::channel(SETTLING);
        let done = Arc::new(watch::Sender::new(0));
        (Self { queue, begun: AtomicU64::new(0), done: done.clone() }, settle(client, settled, done))
    }

    fn begin(&self, settled: Settled) {
        if self.queue.try_send(settled).is_ok() {
            self.begun.fetch_add(1, Ordering::Release);
        }
    }

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
        let (mut settling, mut tasks) = (BTreeMap::new(), Vec::new());
        for client in shards.all() {
            let (one, task) = Settling::new(client.clone());
            settling.insert(client.shard(), one);
            tasks.push(task);
        }
        let task = async { drop(join_all(tasks).await) };
        (Self { shards, routes, settling: Arc::new(settling) }, task)
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
        let known = shard.and_then(|shard| Some((self.shards.get(shard)?, self.settling.get(&shard)?)));
        let Some((client, settling)) = known else {
            return failed(Failure::unavailable("no shard is known for a recipient"));
        };
        settling.caught_up().await;
        files::fault::point("mx.deliver.before");
        let answer = client.deliver(deliver, wire::Body::Held(body)).await;
        files::fault::point("mx.deliver.after");
        match answer {
            Ok(results) if results.len() == count => results,
            Ok(_) => failed(Failure::unavailable("the shard answered for other recipients")),
            Err(failure) => failed(failure),
        }
    }
}

impl smtp::Delivery for MxDelivery {
    /// None while a newer one is on its way: a name that is in that one must not be refused for good.
    fn directory(&self) -> Option<Arc<Directory>> {
        self.routes.current().filter(|directory| !self.shards.know_more(directory.generation))
    }

    async fn deliver(&self, message: Message) -> Vec<Accepted> {
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
        let Some(directory) = self.routes.current() else { return };
        let mut by_shard: BTreeMap<ShardId, Vec<MailboxId>> = BTreeMap::new();
        for mailbox in mailboxes {
            let Some(known) = directory.mailboxes.get(mailbox) else { continue };
            by_shard.entry(known.shard).or_default().push(*mailbox);
        }
        for (shard, mailboxes) in by_shard {
            if let Some(settling) = self.settling.get(&shard) {
                settling.begin((txid, mailboxes));
            }
        }
    }
}

/// Sends settlements of a shard, as many together as have come.
async fn settle(client: ShardClient, mut queue: mpsc::Receiver<Settled>, done: Arc<watch::Sender<u64>>) {
    let mut transactions = Vec::new();
    while queue.recv_many(&mut transactions, 256).await > 0 {
        let count = transactions.len() as u64;
        // Lost settlements leave fingerprints that end by themselves.
        files::fault::point("mx.settle.before");
        let _ = client.settle(Settle { transactions: std::mem::take(&mut transactions) }).await;
        files::fault::point("mx.settle.after");
        done.send_modify(|done| *done += count);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[tokio::test]
    async fn a_shard_that_is_away_holds_up_only_its_own_mail() {
        let (away, task) = Settling::new(testing::unreachable(1));
        let (here, _task) = Settling::new(testing::unreachable(0));
        away.begin((TxId([1; 16]), Vec::new()));
        let mut waiting = Box::pin(away.caught_up());
        tokio::select! {
            biased;
            () = task => panic!("there is nobody to settle with"),
            () = &mut waiting => panic!("nothing was settled"),
            () = here.caught_up() => {}
        }
        away.done.send_replace(1);
        waiting.await;
    }
}
