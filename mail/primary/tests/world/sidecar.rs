//! Whoever speaks on the sidecar's socket.

use std::path::PathBuf;

use bytes::Bytes;
use control::{Checkpoint, Checkpointed, Database, DirtyBatch, Hold, HoldRequest, PolicyBatch, Token, WalPosition};
use http_body_util::{BodyExt, Full};
use hyper::{Method, StatusCode};
use hyper_util::rt::TokioIo;
use model::{BootId, MailboxId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

/// What came back: a status, and the answer or its words.
pub type Reply<T> = Result<T, (StatusCode, String)>;

/// A driver of the socket. Every call is one connection.
pub struct Sidecar {
    pub socket: PathBuf,
}

impl Sidecar {
    pub async fn dirty(&self, boot: Option<BootId>, after: u64) -> DirtyBatch {
        let boot = boot.map_or_else(String::new, |boot| format!("boot={boot}&"));
        self.get(&format!("/v1/dirty?{boot}after={after}")).await
    }

    pub async fn policies(&self, after: Option<u64>) -> PolicyBatch {
        let after = after.map_or_else(String::new, |after| format!("?after={after}"));
        self.get(&format!("/v1/policies{after}")).await
    }

    pub async fn hold(&self, mailbox: MailboxId, database: Database, deadline_ms: u32) -> Reply<Hold> {
        self.post("/v1/hold", &HoldRequest { mailbox, database, deadline_ms }).await
    }

    pub async fn checkpoint(&self, token: &str, end: WalPosition) -> Reply<Checkpointed> {
        self.post("/v1/checkpoint", &Checkpoint { token: token.to_owned(), end }).await
    }

    pub async fn snapshot(&self, mailbox: MailboxId, unless: Option<u64>) -> Reply<control::Snapshot> {
        self.post("/v1/snapshot", &control::SnapshotRequest { mailbox, unless }).await
    }

    pub async fn archived(&self, mailbox: MailboxId, database: Database, commit: u64) -> Reply<()> {
        self.post("/v1/archived", &[control::Archived { mailbox, database, commit }]).await
    }

    pub async fn adopt(&self, adopt: &control::Adopt) -> Reply<control::Adopted> {
        self.post("/v1/adopt", adopt).await
    }

    /// Everything of a database in its main file, and the commit number: as a restore makes it.
    pub async fn whole(&self, layout: &store::Layout, mailbox: MailboxId, database: Database) -> (Vec<u8>, u64) {
        let hold = self.hold(mailbox, database, 2000).await.unwrap();
        assert!(self.checkpoint(&hold.token, hold.end).await.unwrap().done);
        let path = if database == Database::Spool { layout.spool(mailbox) } else { layout.mailbox(mailbox) };
        (std::fs::read(path).unwrap(), hold.commit)
    }

    pub async fn release(&self, token: &str) -> Reply<()> {
        self.post("/v1/release", &Token { token: token.to_owned() }).await
    }

    pub async fn hello(&self, version: u32) -> Reply<control::Shard> {
        self.post("/v1/hello", &control::Hello { version, run: "1".repeat(32), signer: String::new() }).await
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        let (status, text) = self.call(Method::GET, path, Vec::new()).await;
        assert_eq!(status, StatusCode::OK, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Reply<T> {
        let (status, text) = self.call(Method::POST, path, serde_json::to_vec(body).unwrap()).await;
        let text = if status == StatusCode::NO_CONTENT { "null".to_owned() } else { text };
        if status.is_success() { Ok(serde_json::from_str(&text).unwrap()) } else { Err((status, text)) }
    }

    /// None where the primary went away before it answered.
    pub async fn try_call(&self, method: Method, path: &str, body: Vec<u8>) -> Option<(StatusCode, String)> {
        let stream = UnixStream::connect(&self.socket).await.ok()?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
        let driver = tokio::spawn(connection);
        let request = hyper::Request::builder().method(method).uri(path).header("host", "primary");
        let request = request.header("content-type", "application/json").body(Full::new(Bytes::from(body))).unwrap();
        let answer = sender.send_request(request).await.ok()?;
        let status = answer.status();
        let text = answer.into_body().collect().await.ok()?.to_bytes();
        driver.abort();
        Some((status, String::from_utf8_lossy(&text).into_owned()))
    }

    pub async fn call(&self, method: Method, path: &str, body: Vec<u8>) -> (StatusCode, String) {
        self.try_call(method, path, body).await.expect("the primary answers")
    }
}
