//! Talking to a primary's control endpoint: the directory, first keysets, status.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use model::{Directory, MailboxId};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long a call may take: `up` answers nobody meanwhile. A directory of a large server is pushed in a second.
const DEADLINE: Duration = Duration::from_secs(5);

/// A shard's control endpoint. Every call is one connection: calls are rare.
pub struct Shard {
    /// Where the primary listens.
    pub address: SocketAddr,
    /// With the operator's certificate.
    pub tls: Arc<ClientConfig>,
}

impl Shard {
    /// Pushes the whole directory.
    pub async fn push(&self, directory: &Directory) -> anyhow::Result<()> {
        let (status, body) = self.call(Method::PUT, "/v1/directory", serde_json::to_vec(directory)?).await?;
        if !status.is_success() {
            bail!("the shard refused the directory: {status} {}", String::from_utf8_lossy(&body));
        }
        Ok(())
    }

    /// Installs a first keyset; false where the mailbox already has one.
    pub async fn install_keys(&self, mailbox: MailboxId, keys: Vec<u8>) -> anyhow::Result<bool> {
        let (status, body) = self.call(Method::PUT, &format!("/v1/keys/{mailbox}"), keys).await?;
        match status {
            StatusCode::CONFLICT => Ok(false),
            status if status.is_success() => Ok(true),
            status => bail!("the shard refused the keys: {status} {}", String::from_utf8_lossy(&body)),
        }
    }

    /// What the shard says of itself.
    pub async fn status(&self) -> anyhow::Result<primary::control::Status> {
        let (status, body) = self.call(Method::GET, "/v1/status", Vec::new()).await?;
        if !status.is_success() {
            bail!("the shard gave no status: {status}");
        }
        Ok(serde_json::from_slice(&body)?)
    }

    async fn call(&self, method: Method, path: &str, body: Vec<u8>) -> anyhow::Result<(StatusCode, Bytes)> {
        let exchange = tokio::time::timeout(DEADLINE, self.exchange(method, path, body));
        exchange.await.context("the shard does not answer")?
    }

    async fn exchange(&self, method: Method, path: &str, body: Vec<u8>) -> anyhow::Result<(StatusCode, Bytes)> {
        let tcp = TcpStream::connect(self.address).await.context("the shard cannot be reached")?;
        let stream = TlsConnector::from(self.tls.clone()).connect(tls::internal_name(), tcp).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))?;
        let exchange = async {
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            anyhow::Ok((status, answer.into_body().collect().await?.to_bytes()))
        };
        tokio::select! {
            done = exchange => done,
            lost = connection => { lost?; bail!("the shard closed the connection") }
        }
    }
}
