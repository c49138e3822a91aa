//! The start and the end of a primary.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crypto::HandoverKey;
use files::LockFile;
use model::{BootId, MailboxId};
use probes::Health;
use store::{Archive, DirectoryFile, Layout, Limits, Mailboxes, SpoolLimits, Spools, StoreError};
use tls::Identity;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wire::Server;
use zeroize::Zeroizing;

use crate::config::Config;
use crate::control::SeenSpools;
use crate::delivery::Lanes;
use crate::directory::Routes;
use crate::fences::{self, Fences};
use crate::keysets::Keysets;
use crate::sessions::Sessions;
use crate::shard::Shard;
use crate::sidecar::{self, Holds, Wanted};
use crate::space::Floor;
use crate::wire_service::{self, WireService};
use crate::{PrimaryError, control, identity, metrics};

/// How often leases are looked at.
const SWEEP: Duration = Duration::from_secs(5);

/// Where a process listens, by name; a primary has `wire`.
pub type Endpoints = BTreeMap<String, SocketAddr>;

/// Serves a shard until `stop`; `announce` is called once it does. It is ready (`health`) once it has a directory.
pub async fn run(
    config: Config,
    health: Health,
    announce: impl FnOnce(&Endpoints),
    stop: CancellationToken,
) -> Result<(), PrimaryError> {
    tls::install_provider();
    if let Err(error) = sys::sqlite::install_allocator() {
        tracing::warn!(%error, "SQLite does not wipe the memory it frees");
    }
    let identity = Identity::load(&config.identity)?;
    let (shard, lock) = tokio::task::spawn_blocking({
        let (config, stop) = (config.clone(), stop.clone());
        move || open(&config, &stop)
    })
    .await
    .map_err(|_| StoreError::Stopped)??;
    let bind = |source| PrimaryError::Bind { address: config.listen, source };
    let listener = TcpListener::bind(config.listen).await.map_err(bind)?;
    let address = listener.local_addr().map_err(bind)?;
    let socket = config.sidecar.as_deref().map(sidecar::Own::bind).transpose()?;

    // The store outlives everything that uses it.
    let store_stop = CancellationToken::new();
    let store = tokio::spawn({
        let (mailboxes, store_stop) = (shard.mailboxes.clone(), store_stop.clone());
        async move { mailboxes.run(store_stop).await }
    });
    shard.tasks.spawn(wire_service::follow_routes(shard.clone()));
    shard.tasks.spawn(fences::follow(shard.clone()));
    shard.tasks.spawn(sweep(shard.clone()));
    shard.tasks.spawn(follow_identity(shard.clone(), identity.clone()));
    metrics::register(&health, &shard);
    shard.tasks.spawn(tell_ready(shard.clone(), health.clone()));
    shard.tasks.spawn({
        let shard = shard.clone();
        async move { shard.routes.follow_keys(&shard.stop).await }
    });
    if let Some(socket) = socket {
        shard.tasks.spawn(sidecar::serve(shard.clone(), socket));
    }
    announce(&Endpoints::from([("wire".to_owned(), address)]));
    tracing::info!(shard = %shard.id, term = %shard.term, %address, "the shard serves");

    // Links learn that we go before they are closed.
    let served = serve(&shard, listener, &identity, stop).await;
    shard.stop.cancel();
    health.wait("the end of what it has begun");
    let ended = shard.sessions().clear();
    shard.end(ended);
    shard.tasks.close();
    shard.tasks.wait().await;
    store_stop.cancel();
    // A store that panicked has logged it; its files are as safe as after a crash.
    let _ = store.await;
    drop(lock);
    served
}

async fn serve(
    shard: &Arc<Shard>,
    listener: TcpListener,
    identity: &Identity,
    stop: CancellationToken,
) -> Result<(), PrimaryError> {
    let server_stop = CancellationToken::new();
    let server = Server::new(Arc::new(WireService(shard.clone())), server_stop.clone());
    let router = control::router(shard.clone());
    let serving = server.serve(listener, identity, router);
    tokio::pin!(serving);
    tokio::select! {
        result = &mut serving => return Ok(result?),
        () = stop.cancelled() => {}
    }
    let links: Vec<_> = shard.links().values().cloned().collect();
    for link in links {
        link.push.draining();
    }
    server_stop.cancel();
    Ok(serving.await?)
}

/// Takes the volume over. Blocking.
pub(crate) fn open(config: &Config, stop: &CancellationToken) -> Result<(Arc<Shard>, LockFile), PrimaryError> {
    files::durable::create_dir_all(&config.data)?;
    let lock = files::lock_exclusive(&config.data.join("lock"))?;
    let identity = identity::claim(&config.data, &config.server, config.shard)?;
    files::durable::remove_leftovers(&config.data)?;
    let layout = Layout::new(&config.data);
    layout.sweep()?;
    store::purge::resume(&layout)?;
    store::adopt::resume(&layout)?;
    let shard_key = read_key(&config.shard_key)?;
    let archive = Arc::new(Archive::default());
    let wanted = Wanted::load(config.data.join("policies.json"), archive.clone());
    let keysets = Keysets::new(layout.clone(), read_key(&config.server_secret)?, archive.clone());
    let file = DirectoryFile::open(&layout.directory(), &shard_key)?;
    let keyed: BTreeSet<MailboxId> = keysets
        .scan(layout.mailboxes()?.into_iter())
        .map_err(|source| PrimaryError::Read { path: layout.data().join("mailboxes"), source })?;
    let routes = Routes::load(config.server.clone(), config.shard, file, keyed)?;
    let tuning = config.tuning;
    let limits = Limits { message: tuning.max_message_size, ..Limits::default() };
    let shard = Shard {
        server: config.server.clone(),
        id: config.shard,
        term: config.term,
        boot: BootId(crypto::random()),
        started: Instant::now(),
        handover: HandoverKey::generate()?,
        shard_key,
        tuning,
        mailboxes: Mailboxes::archived(layout.clone(), limits, archive.clone()),
        spools: Spools::archived(layout.clone(), SpoolLimits::default(), archive.clone()),
        archive,
        volume: identity.volume,
        fences: Fences::default(),
        holds: Holds::default(),
        snapshots: Arc::new(Semaphore::new(1)),
        adopting: tokio::sync::Mutex::default(),
        wanted,
        keysets,
        routes,
        seen_spools: SeenSpools::default(),
        floor: Floor::new(layout.data(), &tuning),
        layout,
        lanes: Lanes::default(),
        memory: Arc::new(Semaphore::new((tuning.memory >> 10) as usize)),
        tasks: TaskTracker::new(),
        stop: stop.child_token(),
        guesses: Mutex::default(),
        sessions: Mutex::new(Sessions::new(tuning.sessions_per_mailbox)),
        links: Mutex::new(HashMap::new()),
    };
    shard.mailboxes.find_restored()?;
    Ok((Arc::new(shard), lock))
}

fn read_key(path: &Path) -> Result<Zeroizing<[u8; 32]>, PrimaryError> {
    let read = std::fs::read(path).map(Zeroizing::new);
    let bytes = read.map_err(|source| PrimaryError::Read { path: path.to_owned(), source })?;
    let mut key = Zeroizing::new([0; 32]);
    if bytes.len() != key.len() {
        return Err(PrimaryError::NotAKey(path.to_owned()));
    }
    key.copy_from_slice(&bytes);
    Ok(key)
}

/// Takes a replaced certificate without a restart.
async fn follow_identity(shard: Arc<Shard>, identity: Identity) {
    let _ = shard.stop.run_until_cancelled(tls::follow("the shard's", || identity.reload())).await;
}

/// Ready from the first directory on, be it from the disk or from the operator.
async fn tell_ready(shard: Arc<Shard>, health: Health) {
    health.wait("the first directory from the operator");
    let mut directory = shard.routes.watch();
    tokio::select! {
        known = directory.wait_for(Option::is_some) => {
            if known.is_ok() {
                health.ready();
            }
        }
        () = shard.stop.cancelled() => {}
    }
}

/// Ends the sessions that nobody vouches for, and forgets what nobody has asked for lately.
async fn sweep(shard: Arc<Shard>) {
    let mut clock = tokio::time::interval(SWEEP);
    loop {
        tokio::select! {
            _ = clock.tick() => {
                // Also where no mail comes and nobody asks, the end of a full disk is told.
                shard.floor.finding();
                shard.archive.set_tight(shard.floor.is_tight());
                let ended = shard.sessions().expire(Instant::now());
                shard.end(ended);
                shard.lanes.shrink(|id| shard.sessions().open(id).is_some());
                shard.keysets.shrink(Instant::now());
            }
            () = shard.stop.cancelled() => return,
        }
    }
}
