//! The socket, and who may speak on it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use tokio::net::unix::SocketAddr;
use tokio::net::{UnixListener, UnixStream};

use crate::PrimaryError;
use crate::shard::Shard;

/// Pause after a connection that could not be taken, for example without descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// A socket on which only processes of our user are heard.
pub struct Own(UnixListener);

impl Own {
    /// Takes the place of a socket that a process before this one left.
    pub fn bind(path: &Path) -> Result<Self, PrimaryError> {
        let failed = |source| PrimaryError::Socket { path: path.to_owned(), source };
        files::durable::remove(path)?;
        let listener = UnixListener::bind(path).map_err(failed)?;
        // Peers are asked for their user as well: between the two calls anybody could connect.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Self(listener))
    }
}

impl Listener for Own {
    type Io = UnixStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (UnixStream, SocketAddr) {
        loop {
            match self.0.accept().await {
                Ok((stream, address)) if is_own(&stream) => return (stream, address),
                Ok(_) => tracing::warn!("a process of another user was turned away from the sidecar's socket"),
                Err(error) => {
                    tracing::warn!(%error, "the sidecar's socket takes no connection");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

fn is_own(stream: &UnixStream) -> bool {
    stream.peer_cred().is_ok_and(|peer| peer.uid() == rustix::process::geteuid().as_raw())
}

/// Answers until the shard stops.
pub async fn serve(shard: Arc<Shard>, listener: Own) {
    let stop = shard.stop.clone();
    let serving = axum::serve(listener, super::router(shard)).with_graceful_shutdown(stop.cancelled_owned());
    if let Err(error) = serving.await {
        tracing::error!(%error, "the sidecar is not answered any more");
    }
}
