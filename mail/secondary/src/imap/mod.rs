//! The IMAP role: clients on one side, shards on the other.

mod accounts;
mod fetching;
mod live;
mod mailbox;
mod unlock;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::imap::{Client, Config, ImapError, Outcome, Security};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

pub use accounts::Logins;
pub use live::Sessions;

/// A client that has not finished its TLS handshake by then is gone.
const HANDSHAKE: Duration = Duration::from_secs(30);

/// What every connection of a listener needs.
#[derive(Clone)]
pub struct Front {
    /// Names and limits.
    pub config: Arc<Config>,
    /// Who can log in.
    pub logins: Logins,
    /// The certificate clients see.
    pub tls: TlsAcceptor,
    /// The end of the process.
    pub stop: CancellationToken,
}

/// Serves one connection.
pub async fn session(front: Front, stream: TcpStream, address: SocketAddr, security: Security) {
    let served = match security {
        Security::Tls => over_tls(&front, stream, address, security).await,
        _ => in_clear(&front, stream, address, security).await,
    };
    if let Err(error) = served {
        if error.class() == model::Class::Bug {
            tracing::error!(%error, "an IMAP session failed");
        } else {
            tracing::debug!(%error, "an IMAP connection broke");
        }
    }
}

async fn in_clear(front: &Front, stream: TcpStream, address: SocketAddr, security: Security) -> Result<(), ImapError> {
    let client = Client { address, security };
    match ::imap::run(stream, client, front.config.clone(), front.logins.clone(), front.stop.clone()).await? {
        Outcome::Closed => Ok(()),
        Outcome::StartTls(stream) => over_tls(front, stream, address, Security::Upgraded).await,
    }
}

async fn over_tls(front: &Front, stream: TcpStream, address: SocketAddr, security: Security) -> Result<(), ImapError> {
    let handshake = tokio::time::timeout(HANDSHAKE, front.tls.accept(stream));
    // Nobody has been told anything yet: a client that is cut off here tries the next server.
    let Some(shaken) = front.stop.run_until_cancelled(handshake).await else { return Ok(()) };
    let stream = shaken.map_err(|_| ImapError::Stalled)??;
    let client = Client { address, security };
    ::imap::run(stream, client, front.config.clone(), front.logins.clone(), front.stop.clone()).await?;
    Ok(())
}
