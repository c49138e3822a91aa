//! Accepting connections: bounded in number, owned, and ended together.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::SecondaryError;

/// Connections of one process: each costs some 30 KiB when idle.
const MAX_CONNECTIONS: usize = 20_000;
/// Connections of one client network (IPv4 address, IPv6 /64): a household or an office behind one address.
const MAX_PER_NETWORK: usize = 2_000;
/// Connections that wait to be accepted. Of one too many the client believes that it is connected, and waits for a greeting
/// that never comes: everybody may come back at once.
const BACKLOG: u32 = 4_096;
/// After an accept failed (no descriptors left), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Binds an address, with an error that names it.
pub fn bind(address: SocketAddr) -> Result<TcpListener, SecondaryError> {
    let listen = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().map_err(|source| SecondaryError::Bind { address, source })
}

/// How many of something there are, by client network: connections, logins that wait.
#[derive(Clone)]
pub struct Census {
    counts: Arc<Mutex<Counts>>,
    most: usize,
    most_per_network: usize,
}

#[derive(Default)]
struct Counts {
    all: usize,
    by_network: std::collections::HashMap<IpAddr, usize>,
}

impl Default for Census {
    fn default() -> Self {
        Self::new(MAX_CONNECTIONS, MAX_PER_NETWORK)
    }
}

/// One that is counted, until it is dropped.
pub struct Counted {
    census: Census,
    network: IpAddr,
}

impl Census {
    /// Counts at most so many, and so many of one network.
    pub fn new(most: usize, most_per_network: usize) -> Self {
        Self { counts: Arc::default(), most, most_per_network }
    }

    /// How many there are now.
    pub fn count(&self) -> usize {
        self.counts.lock().map_or(0, |counts| counts.all)
    }

    /// Counts one more; none where there are too many.
    pub fn enter(&self, peer: IpAddr) -> Option<Counted> {
        let network = network(peer);
        let mut counts = self.counts.lock().ok()?;
        let here = counts.by_network.get(&network).copied().unwrap_or(0);
        // Loopback is ourselves and our proxies.
        if counts.all >= self.most || (here >= self.most_per_network && !network.is_loopback()) {
            return None;
        }
        counts.all += 1;
        counts.by_network.insert(network, here + 1);
        Some(Counted { census: self.clone(), network })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Ok(mut counts) = self.census.counts.lock() else { return };
        counts.all -= 1;
        if let Some(here) = counts.by_network.get_mut(&self.network) {
            *here -= 1;
            if *here == 0 {
                counts.by_network.remove(&self.network);
            }
        }
    }
}

/// What one subscriber is likely to have: an IPv4 address, or an IPv6 /64.
pub fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        other => other,
    }
}

/// Serves each connection with a task of its own until `stop`.
pub async fn serve<F, Fut>(
    listener: TcpListener,
    census: Census,
    tasks: TaskTracker,
    stop: CancellationToken,
    handle: F,
) where
    F: Fn(TcpStream, SocketAddr) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                let _ = tokio::time::timeout(ACCEPT_PAUSE, stop.cancelled()).await;
                continue;
            }
        };
        // Dropped at once: a client over the limit sees the connection closed and tries again later.
        let Some(counted) = census.enter(peer.ip()) else { continue };
        let _ = stream.set_nodelay(true);
        let session = handle(stream, peer);
        tasks.spawn(async move {
            session.await;
            drop(counted);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than a busy process lets wait by default; each of them would wait for its greeting for ever.
    #[tokio::test]
    async fn nobody_is_lost_who_comes_before_anybody_is_accepted() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let mut clients = Vec::new();
        for _ in 0..600 {
            let coming = tokio::time::timeout(Duration::from_secs(10), TcpStream::connect(address));
            clients.push(coming.await.expect("a client is let in").unwrap());
        }
        for _ in &clients {
            let accepted = tokio::time::timeout(Duration::from_secs(10), listener.accept());
            accepted.await.expect("a client is known to us").unwrap();
        }
    }

    #[test]
    fn one_network_cannot_take_every_place() {
        let census = Census::default();
        let peer: IpAddr = "2001:db8::1".parse().unwrap();
        let neighbour: IpAddr = "2001:db8::2".parse().unwrap();
        let other: IpAddr = "2001:db8:0:1::1".parse().unwrap();
        let all: Vec<_> = (0..MAX_PER_NETWORK).map(|_| census.enter(peer).unwrap()).collect();
        assert!(census.enter(neighbour).is_none());
        assert!(census.enter(other).is_some());
        drop(all);
        assert!(census.enter(neighbour).is_some());
    }
}
