//! The life of a secondary: wires, directory, listeners, sessions, the end.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::imap::Security;
use probes::{Health, gauge};
use tls::{Identity, PublicCertificate};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::directory::Routes;
use crate::imap::{Front, Logins, Sessions};
use crate::listener::{self, Census};
use crate::mx::{self, MxDelivery};
use crate::shards::Shards;
use crate::{Config, Listen, SecondaryError};

/// How long sessions may take to end after they were told to.
const DRAIN: Duration = Duration::from_secs(8);

/// Named addresses, for example `imaps`.
pub type Endpoints = BTreeMap<String, SocketAddr>;

/// Serves until `stop`. `announce` is called once, when the directory is here and all listeners accept; from then on it is
/// ready (`health`), whatever becomes of the shards: sessions that are open go on.
pub async fn run(
    config: Config,
    health: Health,
    announce: impl FnOnce(&Endpoints),
    stop: CancellationToken,
) -> Result<(), SecondaryError> {
    let identity = Identity::load(&config.identity)?;
    let public = PublicCertificate::load(&config.public)?;
    let tls = TlsAcceptor::from(public.server_config()?);
    let (routes, sessions) = (Routes::default(), Sessions::default());
    let tasks = TaskTracker::new();
    let shards = Shards::connect(&config, &identity, &routes, &sessions)?;
    health.wait("the first directory from a shard");
    let base = Base { tls, tasks: tasks.clone(), stop: stop.clone(), census: Census::default() };
    let mut endpoints = Endpoints::new();
    match &config.listen {
        Listen::Imap { .. } => {
            start_imap(&config, &base, Logins::new(shards, routes.clone(), sessions), &mut endpoints)?;
        }
        Listen::Mx { smtp } => start_mx(&config, *smtp, &base, shards, routes.clone(), &mut endpoints)?,
    }
    tasks.spawn(follow(base.stop.clone(), identity, public));
    count(&health, &base.census, &routes);
    tokio::select! {
        () = routes.first() => {
            health.ready();
            announce(&endpoints);
        }
        () = stop.cancelled() => {}
    }
    stop.cancelled().await;
    health.wait("the end of open sessions");
    tasks.close();
    if tokio::time::timeout(DRAIN, tasks.wait()).await.is_err() {
        tracing::warn!("some sessions did not end in time");
    }
    Ok(())
}

/// Takes replaced certificates without a restart.
async fn follow(stop: CancellationToken, identity: Identity, public: PublicCertificate) {
    let both = async {
        tokio::join!(
            tls::follow("the front end's", || identity.reload()),
            tls::follow("the public", || public.reload())
        );
    };
    let _ = stop.run_until_cancelled(both).await;
}

/// Adds the metrics of a front end.
fn count(health: &Health, census: &Census, routes: &Routes) {
    let (census, routes) = (census.clone(), routes.clone());
    health.collect(move |out| {
        gauge(out, "secondary_connections", "Connections of clients", census.count() as u64)?;
        let generation = routes.current().map(|directory| directory.generation).unwrap_or_default();
        gauge(out, "directory_epoch", "Epoch of the directory in force; 0 = none", generation.epoch)?;
        gauge(out, "directory_seq", "Sequence number of the directory in force", generation.seq)
    });
}

/// What all listeners share.
struct Base {
    tls: TlsAcceptor,
    tasks: TaskTracker,
    stop: CancellationToken,
    census: Census,
}

fn start_imap(config: &Config, base: &Base, logins: Logins, endpoints: &mut Endpoints) -> Result<(), SecondaryError> {
    let Listen::Imap { imaps, imap, plain } = config.listen else { return Ok(()) };
    let plain = plain.map(|address| if address.ip().is_loopback() { Ok(address) } else { Err(address) });
    let plain = plain.transpose().map_err(SecondaryError::PlainNotLoopback)?;
    let front = Front {
        config: Arc::new(::imap::Config { hostname: config.hostname.clone(), limits: ::imap::Limits::default() }),
        logins,
        tls: base.tls.clone(),
        stop: base.stop.clone(),
    };
    let listeners = [
        ("imaps", Some(imaps), Security::Tls),
        ("imap", Some(imap), Security::StartTls),
        ("imap-plain", plain, Security::DevPlain),
    ];
    for (name, address, security) in listeners {
        let Some(address) = address else { continue };
        let listener = bind(name, address, endpoints)?;
        let front = front.clone();
        let handle = move |stream, peer| crate::imap::session(front.clone(), stream, peer, security);
        base.tasks.spawn(listener::serve(listener, base.census.clone(), base.tasks.clone(), base.stop.clone(), handle));
    }
    Ok(())
}

fn start_mx(
    config: &Config,
    address: SocketAddr,
    base: &Base,
    shards: Shards,
    routes: Routes,
    endpoints: &mut Endpoints,
) -> Result<(), SecondaryError> {
    let listener = bind("mx", address, endpoints)?;
    let smtp = Arc::new(smtp::Config::new(config.hostname.clone()));
    let (delivery, settling) = MxDelivery::new(shards, routes);
    // Ends when the last connection has dropped its delivery.
    base.tasks.spawn(settling);
    let acceptor = base.tls.clone();
    let upgrade: smtp::TlsUpgrade = Arc::new(move |stream| {
        let acceptor = acceptor.clone();
        Box::pin(async move { Ok(Box::new(acceptor.accept(stream).await?) as smtp::BoxStream) })
    });
    let stop = base.stop.clone();
    let handle =
        move |stream, peer| mx::session(stream, peer, smtp.clone(), delivery.clone(), upgrade.clone(), stop.clone());
    base.tasks.spawn(listener::serve(listener, base.census.clone(), base.tasks.clone(), base.stop.clone(), handle));
    Ok(())
}

fn bind(name: &str, address: SocketAddr, endpoints: &mut Endpoints) -> Result<TcpListener, SecondaryError> {
    let listener = listener::bind(address)?;
    let address = listener.local_addr().map_err(|source| SecondaryError::Bind { address, source })?;
    endpoints.insert(name.to_owned(), address);
    Ok(listener)
}
