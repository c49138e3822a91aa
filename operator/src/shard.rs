//! Talking to a primary's control endpoint: the directory, first keysets, policies, status.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use control::operator::{Push, Status, Wanted};
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use model::backup::Policies;
use model::{Class, MailboxId};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long a call may take: nobody is answered meanwhile. A directory of a large server is pushed in a second.
const DEADLINE: Duration = Duration::from_secs(5);

/// A shard's control endpoint. Every call is one connection: calls are rare.
#[derive(Debug, Clone)]
pub struct ShardClient {
    /// Where the primary listens: `host:port`.
    pub address: String,
    /// With the operator's certificate.
    pub tls: Arc<ClientConfig>,
}

/// A call to a shard that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ShardError {
    /// No connection, or no handshake.
    #[error("cannot be reached")]
    Unreachable(#[source] std::io::Error),
    /// It took too long.
    #[error("does not answer")]
    Silent,
    /// The connection broke.
    #[error("the connection broke")]
    Broke(#[source] hyper::Error),
    /// A request that cannot be written.
    #[error("the request cannot be written")]
    Request(#[source] hyper::http::Error),
    /// It said no.
    #[error("refused {what}: {status} {text}")]
    Refused {
        /// What was asked.
        what: &'static str,
        /// The HTTP status.
        status: u16,
        /// Its words.
        text: String,
    },
    /// It speaks another version.
    #[error("its answer makes no sense")]
    Answer(#[source] serde_json::Error),
}

impl ShardError {
    /// What kind of failure this is.
    pub fn class(&self) -> Class {
        match self {
            Self::Unreachable(_) | Self::Silent | Self::Broke(_) => Class::Transient,
            Self::Refused { status, .. } if *status >= 500 => Class::Transient,
            Self::Refused { .. } => Class::Blocked,
            Self::Request(_) | Self::Answer(_) => Class::Bug,
        }
    }
}

impl ShardClient {
    /// Pushes the whole directory, with the bindings it was made with.
    pub async fn push(&self, push: &Push) -> Result<(), ShardError> {
        let body = serde_json::to_vec(push).map_err(ShardError::Answer)?;
        let (status, body) = self.call(Method::PUT, "/v1/directory", body).await?;
        expect("the directory", status, &body)
    }

    /// What was last pushed to it; none before the first push ever.
    pub async fn pushed(&self) -> Result<Option<Push>, ShardError> {
        let (status, body) = self.call(Method::GET, "/v1/directory", Vec::new()).await?;
        if status == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        expect("to show its directory", status, &body)?;
        serde_json::from_slice(&body).map(Some).map_err(ShardError::Answer)
    }

    /// Installs a first keyset; false where the mailbox already has one.
    pub async fn install_keys(&self, mailbox: MailboxId, keys: Vec<u8>) -> Result<bool, ShardError> {
        let (status, body) = self.call(Method::PUT, &format!("/v1/keys/{mailbox}"), keys).await?;
        if status == StatusCode::CONFLICT {
            return Ok(false);
        }
        expect("the keys", status, &body).map(|()| true)
    }

    /// Says what is to be backed up, and what runs are wanted now.
    pub async fn want(&self, wanted: &Wanted) -> Result<(), ShardError> {
        let body = serde_json::to_vec(wanted).map_err(ShardError::Answer)?;
        let (status, body) = self.call(Method::PUT, "/v1/policies", body).await?;
        expect("the policies", status, &body)
    }

    /// The policies that are in force there; none before the first that ever were.
    pub async fn wanted(&self) -> Result<Option<Policies>, ShardError> {
        let (status, body) = self.call(Method::GET, "/v1/policies", Vec::new()).await?;
        if status == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        expect("to show its policies", status, &body)?;
        serde_json::from_slice(&body).map(Some).map_err(ShardError::Answer)
    }

    /// What the shard says of itself.
    pub async fn status(&self) -> Result<Status, ShardError> {
        let (status, body) = self.call(Method::GET, "/v1/status", Vec::new()).await?;
        expect("to show its status", status, &body)?;
        serde_json::from_slice(&body).map_err(ShardError::Answer)
    }

    async fn call(&self, method: Method, path: &str, body: Vec<u8>) -> Result<(StatusCode, Bytes), ShardError> {
        let exchange = tokio::time::timeout(DEADLINE, self.exchange(method, path, body));
        exchange.await.map_err(|_| ShardError::Silent)?
    }

    async fn exchange(&self, method: Method, path: &str, body: Vec<u8>) -> Result<(StatusCode, Bytes), ShardError> {
        let tcp = TcpStream::connect(&self.address).await.map_err(ShardError::Unreachable)?;
        let stream = TlsConnector::from(self.tls.clone()).connect(tls::internal_name(), tcp).await;
        let stream = TokioIo::new(stream.map_err(ShardError::Unreachable)?);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(stream).await.map_err(ShardError::Broke)?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(ShardError::Request)?;
        // Ends with the sender, and so does the connection.
        let exchange = async move {
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            Ok((status, answer.into_body().collect().await?.to_bytes()))
        };
        let (answered, _) = tokio::join!(exchange, connection);
        answered.map_err(ShardError::Broke)
    }
}

fn expect(what: &'static str, status: StatusCode, body: &[u8]) -> Result<(), ShardError> {
    if status.is_success() {
        return Ok(());
    }
    Err(ShardError::Refused { what, status: status.as_u16(), text: String::from_utf8_lossy(body).into_owned() })
}
