//! Calls over the primary's socket, a connection each.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use control::report::Report;
use control::{
    Adopt, Adopted, Archived, Checkpoint, Checkpointed, DirtyBatch, Hello, Hold, HoldRequest, PolicyBatch, Purge,
    Purged, Refusal, Shard, Snapshot, SnapshotRequest, Token,
};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use model::{BootId, Class};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

/// An answer is waited for so long; polls hold theirs for 20 seconds.
const DEADLINE: Duration = Duration::from_secs(30);
/// A snapshot is waited for so long: 100 MB/s copied and looked through, so half a terabyte.
const SNAPSHOT_DEADLINE: Duration = Duration::from_hours(3);
/// Longest answer: notices of a busy shard.
const ANSWER_MOST: usize = 64 << 20;

/// The primary's socket.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
}

/// Why a call was not answered as asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The primary is not there.
    #[error("the primary does not answer at {}", socket.display())]
    Away {
        /// Its socket.
        socket: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It does not do that now.
    #[error("the primary refuses ({status}): {error}")]
    Refused {
        /// See the table of `control`.
        status: u16,
        /// Its words.
        error: String,
    },
    /// What it answers cannot be read: it is of another release.
    #[error("the primary's answer to {path} cannot be read: {error}")]
    Unreadable {
        /// What was asked.
        path: String,
        /// Why.
        error: String,
    },
}

impl ClientError {
    /// What should happen next.
    pub fn class(&self) -> Class {
        match self {
            Self::Away { .. } => Class::Transient,
            Self::Refused { status, .. } if [409, 423, 429, 503].contains(status) => Class::Transient,
            Self::Refused { .. } => Class::Invalid,
            Self::Unreadable { .. } => Class::Bug,
        }
    }
}

impl Client {
    /// Nothing is connected yet.
    pub fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// Presents this process.
    pub async fn hello(&self, hello: &Hello) -> Result<Shard, ClientError> {
        self.call(Method::POST, "/v1/hello", Some(hello)).await
    }

    /// Waits for commits after a cursor.
    pub async fn dirty(&self, boot: BootId, after: u64) -> Result<DirtyBatch, ClientError> {
        self.call(Method::GET, &format!("/v1/dirty?boot={boot}&after={after}"), None::<&()>).await
    }

    /// Waits for other policies than those of a cursor.
    pub async fn policies(&self, after: u64) -> Result<PolicyBatch, ClientError> {
        self.call(Method::GET, &format!("/v1/policies?after={after}"), None::<&()>).await
    }

    /// Makes writers of a database wait.
    pub async fn hold(&self, request: HoldRequest) -> Result<Hold, ClientError> {
        self.call(Method::POST, "/v1/hold", Some(&request)).await
    }

    /// Folds its WAL in.
    pub async fn checkpoint(&self, checkpoint: &Checkpoint) -> Result<Checkpointed, ClientError> {
        self.call(Method::POST, "/v1/checkpoint", Some(checkpoint)).await
    }

    /// Lets writers go on.
    pub async fn release(&self, token: &Token) -> Result<(), ClientError> {
        self.send(Method::POST, "/v1/release", Some(token)).await.map(drop)
    }

    /// Has a verified copy made in `staging/`.
    pub async fn snapshot(&self, request: &SnapshotRequest) -> Result<Snapshot, ClientError> {
        let path = "/v1/snapshot";
        let answer = self.send_within(SNAPSHOT_DEADLINE, Method::POST, path, Some(request)).await?;
        parse(path, &answer)
    }

    /// Says what is safe.
    pub async fn archived(&self, archived: &[Archived]) -> Result<(), ClientError> {
        self.send(Method::POST, "/v1/archived", Some(&archived)).await.map(drop)
    }

    /// Has a restored mailbox put into its place.
    pub async fn adopt(&self, adopt: &Adopt) -> Result<Adopted, ClientError> {
        self.call(Method::POST, "/v1/adopt", Some(adopt)).await
    }

    /// Has a mailbox removed from the volume.
    pub async fn purge(&self, purge: &Purge) -> Result<Purged, ClientError> {
        self.call(Method::POST, "/v1/purge", Some(purge)).await
    }

    /// Says how things are.
    pub async fn report(&self, report: &Report) -> Result<(), ClientError> {
        self.send(Method::PUT, "/v1/report", Some(report)).await.map(drop)
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, ClientError> {
        parse(path, &self.send(method, path, body).await?)
    }

    async fn send(&self, method: Method, path: &str, body: Option<&impl Serialize>) -> Result<Bytes, ClientError> {
        self.send_within(DEADLINE, method, path, body).await
    }

    async fn send_within(
        &self,
        deadline: Duration,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<Bytes, ClientError> {
        let away = |source: io::Error| ClientError::Away { socket: self.socket.clone(), source };
        let exchange = tokio::time::timeout(deadline, self.exchange(method, path, body)).await;
        let (status, answer) = exchange.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(away)?;
        if status.is_success() {
            return Ok(answer);
        }
        let error = match serde_json::from_slice::<Refusal>(&answer) {
            Ok(refusal) => refusal.error,
            Err(_) => String::from_utf8_lossy(&answer).into_owned(),
        };
        Err(ClientError::Refused { status: status.as_u16(), error })
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> io::Result<(StatusCode, Bytes)> {
        let stream = UnixStream::connect(&self.socket).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        let body = body.map(serde_json::to_vec).transpose()?.unwrap_or_default();
        let request = Request::builder().method(method).uri(path).header("host", "primary");
        let request = request.header("content-type", "application/json").body(Full::new(Bytes::from(body)));
        let request = request.map_err(io::Error::other)?;
        let asked = async {
            let answer = sender.send_request(request).await.map_err(io::Error::other)?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_MOST).collect().await.map_err(io::Error::other)?;
            Ok((status, body.to_bytes()))
        };
        // The connection is driven here, so that nothing outlives a call that is given up.
        tokio::pin!(asked);
        tokio::pin!(connection);
        tokio::select! {
            answer = &mut asked => answer,
            ended = &mut connection => {
                ended.map_err(io::Error::other)?;
                asked.await
            }
        }
    }
}

fn parse<T: DeserializeOwned>(path: &str, answer: &[u8]) -> Result<T, ClientError> {
    let unreadable =
        |error: serde_json::Error| ClientError::Unreadable { path: path.to_owned(), error: error.to_string() };
    serde_json::from_slice(answer).map_err(unreadable)
}
