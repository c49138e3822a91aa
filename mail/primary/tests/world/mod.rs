//! A primary in this process, and who talks to it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use crypto::{Argon2Cost, Dek, HandoverAad, HandoverPublic, Keyset, NewKeyset, Secret, ShieldedDek};
use http_body_util::{BodyExt, Full};
use hyper::{Method, StatusCode};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use model::verbs::{Accepted, Answer, Attach, Code, Deliver, Envelope, Failure, Hint, Recipient, Request};
use model::{
    Directory, Entry, Generation, MailboxEntry, MailboxId, MailboxState, Protocol, ServerId, SessionId, ShardId, Term,
    TxId,
};
use sealpost_primary as primary;
use sealpost_primary::control::Status;
use serde_bytes::ByteBuf;
use tls::{DevCa, Identity, Peer, Role};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wire::{ClientConfig, Events, HelloReply, LiveSession, ShardClient};

/// Fails the test where something does not come in time.
pub async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(limit, work).await.expect("it did not happen in time")
}

pub const SESSION: SessionId = SessionId([1; 16]);

/// How many messages INBOX has.
pub async fn messages(client: &wire::ShardClient) -> u64 {
    let select = Request::Select { name: "INBOX".into(), read_only: true };
    let Answer::Selected(selected) = client.request(SESSION, select).await.unwrap() else { panic!() };
    selected.uids.len()
}

pub fn message(n: u32) -> Vec<u8> {
    format!("Message-ID: <{n}@example.net>\r\nSubject: {n}\r\n\r\nhello {n}\r\n").into_bytes()
}

pub struct World {
    folder: tempfile::TempDir,
    ca: DevCa,
    address: SocketAddr,
    running: Option<(CancellationToken, JoinHandle<Result<(), primary::PrimaryError>>)>,
    pub ann: MailboxId,
    keyset: Arc<Keyset>,
    dek: ShieldedDek,
}

impl World {
    /// A primary with a blank volume.
    pub async fn start() -> Self {
        tls::install_provider();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("shard.key"), [7; 32]).unwrap();
        std::fs::write(folder.path().join("server.secret"), [8; 32]).unwrap();
        let ca = DevCa::load_or_create(&folder.path().join("pki")).unwrap();
        let new = NewKeyset {
            address: &"ann@example.org".parse().unwrap(),
            password: &Secret::new("sesame"),
            recovery: None,
            cost: Argon2Cost::CHEAPEST,
            created: Timestamp::UNIX_EPOCH,
        };
        let (keyset, dek) = Keyset::create(&new).unwrap();
        let mut world = Self {
            folder,
            ca,
            address: ([127, 0, 0, 1], 0).into(),
            running: None,
            ann: MailboxId::from_random([1; 17]),
            keyset: Arc::new(keyset),
            dek: ShieldedDek::new(&dek),
        };
        world.run().await;
        world
    }

    /// The same, with routes and ann's keys.
    pub async fn ready() -> Self {
        let world = Self::start().await;
        let (status, text) = world.operator(Method::PUT, "/v1/directory", world.directory(1)).await;
        assert_eq!(status, StatusCode::NO_CONTENT, "{text}");
        let (status, text) = world.operator(Method::PUT, &format!("/v1/keys/{}", world.ann), world.keys()).await;
        assert_eq!(status, StatusCode::CREATED, "{text}");
        world
    }

    async fn run(&mut self) {
        let path = |name: &str| self.folder.path().join(name);
        let config = primary::Config {
            server: server(),
            shard: ShardId(0),
            term: Term(1),
            data: path("data"),
            listen: self.address,
            identity: self.ca.identity(&Peer::new(server(), Role::Primary(ShardId(0)))).unwrap(),
            shard_key: path("shard.key"),
            server_secret: path("server.secret"),
            tuning: primary::Tuning { floor_percent: 0, floor_bytes: 0, ..primary::Tuning::default() },
        };
        let stop = CancellationToken::new();
        let (tell, told) = oneshot::channel();
        let announce = move |endpoints: &primary::Endpoints| tell.send(endpoints["wire"]).unwrap();
        let task = tokio::spawn(primary::run(config, announce, stop.clone()));
        let Ok(address) = within(Duration::from_secs(20), told).await else {
            panic!("the primary does not start: {:?}", task.await)
        };
        self.address = address;
        self.running = Some((stop, task));
    }

    async fn end(&mut self) {
        let (stop, task) = self.running.take().unwrap();
        stop.cancel();
        within(Duration::from_secs(20), task).await.unwrap().unwrap();
    }

    /// Ends the primary and starts it again, at the same address.
    pub async fn restart(&mut self) {
        self.end().await;
        self.run().await;
    }

    pub async fn stop(mut self) {
        self.end().await;
    }

    fn identity(&self, role: Role) -> Identity {
        Identity::load(&self.ca.identity(&Peer::new(server(), role)).unwrap()).unwrap()
    }

    pub async fn operator(&self, method: Method, path: &str, body: Vec<u8>) -> (StatusCode, String) {
        self.control(Role::Operator, method, path, body).await
    }

    pub async fn control(&self, role: Role, method: Method, path: &str, body: Vec<u8>) -> (StatusCode, String) {
        let config = self.identity(role).client_config(Role::Primary(ShardId(0))).unwrap();
        let tcp = TcpStream::connect(self.address).await.unwrap();
        let stream = tokio_rustls::TlsConnector::from(config).connect(tls::internal_name(), tcp).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let driver = tokio::spawn(connection);
        let request = hyper::Request::builder().method(method).uri(path).header("host", "shard");
        let answer = sender.send_request(request.body(Full::new(Bytes::from(body))).unwrap()).await.unwrap();
        let status = answer.status();
        let text = answer.into_body().collect().await.unwrap().to_bytes();
        driver.abort();
        (status, String::from_utf8_lossy(&text).into_owned())
    }

    pub async fn status(&self) -> Status {
        let (status, text) = self.operator(Method::GET, "/v1/status", Vec::new()).await;
        assert_eq!(status, StatusCode::OK, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    pub fn secondary(&self, role: Role) -> (ShardClient, Told) {
        let (hints, told_hints) = mpsc::unbounded_channel();
        let (queries, told_queries) = mpsc::unbounded_channel();
        let secondary = Arc::new(Secondary {
            mailbox: self.ann,
            keyset: self.keyset.clone(),
            dek: self.dek.clone(),
            sessions: Mutex::default(),
            hints,
            queries,
        });
        let config =
            ClientConfig { shard: ShardId(0), address: self.address.to_string(), identity: self.identity(role) };
        let client = ShardClient::connect(config, secondary.clone()).unwrap();
        (client, Told { secondary, hints: told_hints, queries: told_queries })
    }

    pub async fn deliver(&self, mx: &ShardClient, tx: u8, body: Vec<u8>) -> Vec<Accepted> {
        self.deliver_to(mx, self.ann, tx, body).await
    }

    pub async fn deliver_to(&self, mx: &ShardClient, mailbox: MailboxId, tx: u8, body: Vec<u8>) -> Vec<Accepted> {
        let envelope = Envelope {
            mail_from: "sender@example.net".into(),
            helo: "h".into(),
            peer: [127, 0, 0, 1].into(),
            received: Timestamp::now(),
        };
        let trace = Bytes::from_static(b"Received: by mx\r\n");
        let recipients = vec![Recipient { mailbox, rcpt_to: "ann@example.org".into(), trace }];
        let deliver = Deliver { txid: TxId([tx; 16]), envelope, recipients, size: body.len() as u64 };
        mx.deliver(deliver, body.into()).await.unwrap()
    }

    pub fn keys(&self) -> Vec<u8> {
        self.keyset.to_json()
    }

    pub fn directory(&self, seq: u64) -> Vec<u8> {
        let address: model::Address = "ann@example.org".parse().unwrap();
        let mailbox = MailboxEntry {
            address: address.clone(),
            shard: ShardId(0),
            state: MailboxState::Active,
            access: BTreeSet::from([Protocol::Imap]),
            quota: None,
            keyed: false,
        };
        let directory = Directory {
            server: server(),
            hostname: "mx.example.org".into(),
            generation: Generation { epoch: 1, seq },
            domains: BTreeSet::from(["example.org".parse().unwrap()]),
            max_message_size: 50 << 20,
            entries: BTreeMap::from([(address, Entry { mailbox: Some(self.ann), alias: None })]),
            mailboxes: BTreeMap::from([(self.ann, mailbox)]),
            removed: BTreeMap::new(),
        };
        serde_json::to_vec(&directory).unwrap()
    }
}

fn server() -> ServerId {
    ServerId("test-server".into())
}

/// What a secondary was told and asked.
pub struct Told {
    secondary: Arc<Secondary>,
    hints: mpsc::UnboundedReceiver<MailboxId>,
    queries: mpsc::UnboundedReceiver<MailboxId>,
}

impl Told {
    /// Sessions of ann that are logged in here.
    pub fn sessions(&self, sessions: &[SessionId]) {
        *self.secondary.sessions.lock().unwrap() = sessions.to_vec();
    }

    pub fn attach(&self, session: SessionId, nonce: [u8; 16], hello: &HelloReply) -> Attach {
        self.secondary.seal(session, nonce, hello)
    }

    pub fn forget_hints(&mut self) {
        while self.hints.try_recv().is_ok() {}
    }

    pub async fn hint(&mut self) -> MailboxId {
        self.hints.recv().await.unwrap()
    }

    pub async fn asked(&mut self) -> MailboxId {
        self.queries.recv().await.unwrap()
    }
}

struct Secondary {
    mailbox: MailboxId,
    keyset: Arc<Keyset>,
    dek: ShieldedDek,
    sessions: Mutex<Vec<SessionId>>,
    hints: mpsc::UnboundedSender<MailboxId>,
    queries: mpsc::UnboundedSender<MailboxId>,
}

impl Secondary {
    fn seal(&self, session: SessionId, nonce: [u8; 16], hello: &HelloReply) -> Attach {
        let mailbox = self.mailbox;
        let aad = HandoverAad { shard: hello.shard, term: hello.term, boot: hello.boot, mailbox, session, nonce };
        let public = HandoverPublic::from_bytes(&hello.handover).unwrap();
        let sealed = self.dek.with(|dek: &Dek| public.seal_dek(dek, &aad)).unwrap();
        Attach {
            session,
            mailbox,
            slot: self.keyset.slots()[0].id(),
            keys_version: self.keyset.version(),
            nonce,
            sealed_dek: ByteBuf::from(sealed),
        }
    }

    fn session(&self) -> Option<SessionId> {
        self.sessions.lock().unwrap().first().copied()
    }
}

impl Events for Secondary {
    fn connected(&self, _hello: &HelloReply) {}

    fn disconnected(&self) {}

    fn live_sessions(&self) -> Vec<LiveSession> {
        let mailbox = self.mailbox;
        self.sessions.lock().unwrap().iter().map(|&session| LiveSession { session, mailbox }).collect()
    }

    fn changed(&self, mailbox: MailboxId, _hint: Hint) {
        let _ = self.hints.send(mailbox);
    }

    fn directory(&self, _directory: Arc<Directory>) {}

    fn revoked(&self, _session: SessionId) {}

    fn draining(&self) {}

    async fn reattach(&self, session: SessionId, hello: &HelloReply) -> Result<Attach, Failure> {
        match self.session() {
            Some(known) if known == session => Ok(self.seal(session, crypto::random(), hello)),
            _ => Err(Failure::new(Code::Revoked, "no such session")),
        }
    }

    async fn key_query(&self, mailbox: MailboxId, nonce: [u8; 16], hello: &HelloReply) -> Option<Attach> {
        let _ = self.queries.send(mailbox);
        self.session().filter(|_| mailbox == self.mailbox).map(|session| self.seal(session, nonce, hello))
    }
}
