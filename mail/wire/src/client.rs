//! The secondary's side: one [`ShardClient`] per shard, connecting for ever.

mod body;
mod calls;
mod events;
mod fetch;
mod keeper;
mod lane;
mod order;

pub use body::Body;
pub use events::Events;
pub use fetch::FetchStream;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use model::verbs::{Attach, Code, Failure};
use model::{Directory, Generation, SessionId, ShardId};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::WireError;
use crate::limits::PATIENCE;
use crate::proto::{HelloReply, LinkId};
use events::DynEvents;
use lane::Lane;
use order::Order;

/// Where a shard is, and who we are.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Which shard: its primary's certificate must say so.
    pub shard: ShardId,
    /// `host:port`, resolved anew for each connection.
    pub address: String,
    /// Our identity.
    pub identity: tls::Identity,
}

/// Asks the primary of one shard. Clones share the link; it ends with the last of them.
///
/// Every call waits up to 20 s, all in all, for a link, and is repeated on the next one if the link breaks under it: calls
/// are reads, or carry a `seq`, `txid` or nonce that makes them safe to repeat. What cannot be repeated (a body that is
/// not held in memory, a FETCH that has begun) fails as `Unavailable`.
#[derive(Debug, Clone)]
pub struct ShardClient {
    shared: Arc<Shared>,
    _stop: Arc<DropGuard>,
}

#[derive(Debug)]
struct Shared {
    shard: ShardId,
    link: watch::Sender<Option<Arc<Link>>>,
    events: Arc<dyn DynEvents>,
    directory: Mutex<Option<Arc<Directory>>>,
    appends: Arc<Order>,
}

/// Both sockets, up.
#[derive(Debug)]
struct Link {
    id: LinkId,
    hello: HelloReply,
    control: Arc<Lane>,
    bulk: Arc<Lane>,
    /// Ends the link when cancelled.
    closed: CancellationToken,
    /// The primary has said that it stops.
    draining: AtomicBool,
}

/// The link broke before the answer came: the call may be repeated on the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lost;

/// What one call has used up of its patience.
#[derive(Debug, Default)]
struct Attempt {
    /// When it first had to wait.
    since: Option<Instant>,
    reattached: u32,
}

/// A session that cannot attach twice in a row will not the third time.
const REATTACH_LIMIT: u32 = 2;

impl ShardClient {
    /// Starts to connect, and answers at once. Must be called within a tokio runtime.
    pub fn connect<E: Events>(config: ClientConfig, events: Arc<E>) -> Result<Self, WireError> {
        let (link, _) = watch::channel(None);
        let shared = Arc::new(Shared {
            shard: config.shard,
            link,
            events,
            directory: Mutex::default(),
            appends: Arc::default(),
        });
        let stop = CancellationToken::new();
        keeper::start(config, shared.clone(), stop.clone())?;
        Ok(Self { shared, _stop: Arc::new(stop.drop_guard()) })
    }

    /// Which shard.
    pub fn shard(&self) -> ShardId {
        self.shared.shard
    }

    /// Who answers there now; none while there is no link.
    pub fn hello(&self) -> Option<HelloReply> {
        self.shared.link.borrow().as_ref().map(|link| link.hello.clone())
    }

    /// The directory that the shard had when the link came up; none while there is no link.
    pub fn generation(&self) -> Option<Generation> {
        self.shared.link.borrow().as_ref().and_then(|link| link.hello.generation)
    }

    /// Waits for a link, as long as a call would.
    pub async fn connected(&self) -> Result<HelloReply, Failure> {
        Ok(self.link(&mut Attempt::default()).await?.hello.clone())
    }

    /// A link that is up, waiting for it within what is left of the attempt's patience.
    async fn link(&self, attempt: &mut Attempt) -> Result<Arc<Link>, Failure> {
        let mut links = self.shared.link.subscribe();
        if let Some(link) = live(links.borrow_and_update().as_ref()) {
            return Ok(link);
        }
        let left = attempt.left();
        let found = tokio::time::timeout(left, links.wait_for(|link| live(link.as_ref()).is_some())).await;
        match found {
            Ok(Ok(link)) => live(link.as_ref()).ok_or_else(|| self.unreachable()),
            _ => Err(self.unreachable()),
        }
    }

    /// The link broke under a call: another attempt, if there is patience left.
    fn lost(&self, attempt: &mut Attempt) -> Result<(), Failure> {
        if attempt.left().is_zero() { Err(self.unreachable()) } else { Ok(()) }
    }

    /// Brings the session's key again where that is why a call failed. Ok: ask again.
    async fn reattach(
        &self,
        attempt: &mut Attempt,
        link: &Link,
        session: Option<SessionId>,
        failure: Failure,
    ) -> Result<(), Failure> {
        let Some(session) = session.filter(|_| failure.code == Code::NotAttached) else { return Err(failure) };
        attempt.reattached += 1;
        if attempt.reattached > REATTACH_LIMIT {
            return Err(failure);
        }
        let attach: Attach = self.shared.events.reattach_dyn(session, &link.hello).await?;
        match calls::attach_on(link, attach).await {
            Ok(Ok(_)) => Ok(()),
            // It was attached before: the mailbox was suspended, or the slot lost its scope.
            Ok(Err(failure)) if failure.code == Code::NoPerm => Err(Failure::new(Code::Revoked, failure.text)),
            Ok(Err(failure)) => Err(failure),
            Err(Lost) => self.lost(attempt),
        }
    }

    fn unreachable(&self) -> Failure {
        Failure::unavailable(format!("shard {} cannot be reached", self.shared.shard))
    }
}

fn live(link: Option<&Arc<Link>>) -> Option<Arc<Link>> {
    link.cloned().filter(|link| !link.closed.is_cancelled())
}

impl Attempt {
    fn left(&mut self) -> std::time::Duration {
        PATIENCE.saturating_sub(self.since.get_or_insert_with(Instant::now).elapsed())
    }
}

impl Shared {
    /// Keeps the newest directory; false where it says nothing new. Keys come to mailboxes without a new generation.
    fn take_directory(&self, directory: &Arc<Directory>) -> bool {
        let mut kept = self.directory.lock().unwrap_or_else(PoisonError::into_inner);
        let newer = kept.as_ref().is_none_or(|kept| kept.generation <= directory.generation && **kept != **directory);
        if newer {
            *kept = Some(directory.clone());
        }
        newer
    }

    fn directory(&self) -> Option<Arc<Directory>> {
        self.directory.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
