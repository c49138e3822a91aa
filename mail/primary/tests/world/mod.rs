//! A primary, in this process or in one of its own, and who talks to it.

mod sidecar;

pub use sidecar::{Reply, Sidecar};

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use control::operator::{Push, Status};
use crypto::{Argon2Cost, Dek, HandoverAad, HandoverPublic, Keyset, NewKeyset, NewSlot, Secret, ShieldedDek, SlotKind};
use http_body_util::{BodyExt, Full};
use hyper::{Method, StatusCode};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use model::verbs::{Accepted, Answer, Attach, Code, Deliver, Envelope, Failure, Hint, Recipient, Request, Scope};
use model::{
    Bindings, Directory, Entry, Generation, MailboxEntry, MailboxId, MailboxState, Protocol, ServerId, SessionId,
    ShardId, SlotId, Term, TxId,
};
use sealpost_primary as primary;
use serde_bytes::ByteBuf;
use tls::{DevCa, Identity, Peer, Role};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wire::{ClientConfig, Events, HelloReply, LiveSession, ShardClient};

/// Names the configuration of a primary in a process of its own.
const CONFIG: &str = "SEALPOST_TEST_PRIMARY";

/// The body of the test `serve`, which each test binary that has [`World::start_apart`] needs: serves as it was told, until
/// it is killed. Nothing where it was not told.
pub fn serve_apart() {
    let Some(file) = std::env::var_os(CONFIG).map(std::path::PathBuf::from) else { return };
    let config = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let announce = move |endpoints: &primary::Endpoints| {
        let aside = file.with_file_name("address.new");
        std::fs::write(&aside, endpoints["wire"].to_string()).unwrap();
        std::fs::rename(aside, file.with_file_name("address")).unwrap();
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(primary::run(config, probes::Health::starting(), announce, CancellationToken::new())).unwrap();
}

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

enum Running {
    Here(CancellationToken, JoinHandle<Result<(), primary::PrimaryError>>),
    Apart(Child),
}

pub struct World {
    folder: tempfile::TempDir,
    ca: DevCa,
    address: SocketAddr,
    /// In a process of its own, which can be killed.
    apart: bool,
    running: Option<Running>,
    pub ann: MailboxId,
    keyset: Mutex<Arc<Keyset>>,
    dek: ShieldedDek,
    tuning: primary::Tuning,
}

impl World {
    /// A primary with a blank volume.
    pub async fn start() -> Self {
        Self::start_at(false, |_| {}).await
    }

    /// The same, with other limits.
    pub async fn start_with(tune: impl FnOnce(&mut primary::Tuning)) -> Self {
        Self::start_at(false, tune).await
    }

    /// The same, in a process of its own: see [`serve_apart`].
    pub async fn start_apart() -> Self {
        Self::start_at(true, |_| {}).await
    }

    async fn start_at(apart: bool, tune: impl FnOnce(&mut primary::Tuning)) -> Self {
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
            apart,
            running: None,
            ann: MailboxId::from_random([1; 17]),
            keyset: Mutex::new(Arc::new(keyset)),
            dek: ShieldedDek::new(&dek),
            tuning: primary::Tuning { floor_percent: 0, floor_bytes: 0, ..primary::Tuning::default() },
        };
        tune(&mut world.tuning);
        world.run().await;
        world
    }

    /// The same, with routes and ann's keys.
    pub async fn ready() -> Self {
        let world = Self::start().await;
        world.install().await;
        world
    }

    /// A mailbox without keys and mail: bob.
    pub async fn add_bob(&self) -> MailboxId {
        let mut push: Push = serde_json::from_slice(&self.directory(2)).unwrap();
        let (bob, address) = (MailboxId::from_random([2; 17]), "bob@example.org".parse::<model::Address>().unwrap());
        let entry = MailboxEntry { address: address.clone(), ..push.directory.mailboxes[&self.ann].clone() };
        push.directory.mailboxes.insert(bob, entry);
        push.directory.entries.insert(address, Entry { mailbox: Some(bob), alias: None });
        let (status, text) = self.operator(Method::PUT, "/v1/directory", serde_json::to_vec(&push).unwrap()).await;
        assert_eq!(status, StatusCode::NO_CONTENT, "{text}");
        bob
    }

    /// Pushes routes in which ann is fenced, or not.
    pub async fn fence(&self, seq: u64, fenced: bool) {
        let mut push: Push = serde_json::from_slice(&self.directory(seq)).unwrap();
        push.directory.mailboxes.values_mut().for_each(|mailbox| mailbox.fenced = fenced);
        let (status, text) = self.operator(Method::PUT, "/v1/directory", serde_json::to_vec(&push).unwrap()).await;
        assert_eq!(status, StatusCode::NO_CONTENT, "{text}");
    }

    /// Pushes routes and ann's keys.
    pub async fn install(&self) {
        let (status, text) = self.operator(Method::PUT, "/v1/directory", self.directory(1)).await;
        assert_eq!(status, StatusCode::NO_CONTENT, "{text}");
        let (status, text) = self.operator(Method::PUT, &format!("/v1/keys/{}", self.ann), self.keys()).await;
        assert_eq!(status, StatusCode::CREATED, "{text}");
    }

    /// Gives ann a password for one device; before the keys are installed.
    pub fn add_app_password(&self) -> SlotId {
        let mut kept = self.keyset.lock().unwrap();
        let mut keyset = Keyset::from_json(&kept.to_json()).unwrap();
        let secret = Secret::mint(&keyset.tags());
        let new = NewSlot {
            secret: &secret,
            kind: SlotKind::AppPassword,
            scopes: BTreeSet::from([Scope::Imap]),
            created: Timestamp::UNIX_EPOCH,
        };
        let slot = self.dek.with(|dek| keyset.add_slot(dek, &new)).unwrap();
        *kept = Arc::new(keyset);
        slot
    }

    pub fn password_slot(&self) -> SlotId {
        self.keyset.lock().unwrap().slots()[0].id()
    }

    /// Where ann's waiting mail is.
    pub fn spool(&self) -> std::path::PathBuf {
        store::Layout::new(self.folder.path().join("data")).spool(self.ann)
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
            sidecar: Some(path("sidecar.sock")),
            tuning: self.tuning,
        };
        if self.apart {
            return self.spawn(&config).await;
        }
        let stop = CancellationToken::new();
        let (tell, told) = oneshot::channel();
        let announce = move |endpoints: &primary::Endpoints| tell.send(endpoints["wire"]).unwrap();
        let task = tokio::spawn(primary::run(config, probes::Health::starting(), announce, stop.clone()));
        let Ok(address) = within(Duration::from_secs(20), told).await else {
            panic!("the primary does not start: {:?}", task.await)
        };
        self.address = address;
        self.running = Some(Running::Here(stop, task));
    }

    /// Starts the process and waits until it serves.
    async fn spawn(&mut self, config: &primary::Config) {
        let file = self.folder.path().join("config.json");
        let address = self.folder.path().join("address");
        std::fs::write(&file, serde_json::to_vec(config).unwrap()).unwrap();
        let _ = std::fs::remove_file(&address);
        for sub in ["armed", "hits"] {
            std::fs::create_dir_all(self.folder.path().join("faults").join(sub)).unwrap();
        }
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["serve", "--exact", "--ignored", "--nocapture"]).stdout(Stdio::null());
        command.env(CONFIG, &file).env(files::fault::VARIABLE, self.folder.path().join("faults"));
        self.running = Some(Running::Apart(command.spawn().unwrap()));
        self.address = within(Duration::from_secs(30), async {
            loop {
                match std::fs::read_to_string(&address).ok().and_then(|text| text.parse().ok()) {
                    Some(address) => return address,
                    None => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        })
        .await;
    }

    /// The process is killed where it passes that point next.
    pub fn arm(&self, point: &str) {
        let (aside, armed) = (self.faults(point), self.faults(&format!("armed/{point}")));
        std::fs::write(&aside, "serve kill@1\n").unwrap();
        std::fs::rename(aside, armed).unwrap();
    }

    /// True once it was.
    pub fn was_hit(&self, point: &str) -> bool {
        self.faults(&format!("hits/{point}")).exists()
    }

    fn faults(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join("faults").join(name)
    }

    /// Starts the process again if it has been killed; true where it had.
    pub async fn revive(&mut self) -> bool {
        let Some(Running::Apart(child)) = &mut self.running else { return false };
        if child.try_wait().unwrap().is_none() {
            return false;
        }
        self.run().await;
        true
    }

    /// Ends the primary.
    pub async fn end(&mut self) {
        match self.running.take().unwrap() {
            Running::Here(stop, task) => {
                stop.cancel();
                within(Duration::from_secs(20), task).await.unwrap().unwrap();
            }
            Running::Apart(mut child) => {
                child.kill().unwrap();
                child.wait().unwrap();
            }
        }
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

    /// Whoever archives the volume.
    pub fn sidecar(&self) -> Sidecar {
        Sidecar { socket: self.folder.path().join("sidecar.sock") }
    }

    /// The volume.
    pub fn layout(&self) -> store::Layout {
        store::Layout::new(self.folder.path().join("data"))
    }

    /// A policy holds for every mailbox from now on.
    pub async fn back_up(&self) {
        let (status, text) = self.operator(Method::PUT, "/v1/policies", wanted("p")).await;
        assert_eq!(status, StatusCode::NO_CONTENT, "{text}");
    }

    pub async fn status(&self) -> Status {
        let (status, text) = self.operator(Method::GET, "/v1/status", Vec::new()).await;
        assert_eq!(status, StatusCode::OK, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    pub fn secondary(&self, role: Role) -> (ShardClient, Told) {
        self.secondary_of(role, self.ann)
    }

    /// With sessions of that mailbox, which has ann's keys.
    pub fn secondary_of(&self, role: Role, mailbox: MailboxId) -> (ShardClient, Told) {
        let (hints, told_hints) = mpsc::unbounded_channel();
        let (queries, told_queries) = mpsc::unbounded_channel();
        let (ended, told_ended) = mpsc::unbounded_channel();
        let secondary = Arc::new(Secondary {
            mailbox,
            keyset: self.keyset.lock().unwrap().clone(),
            dek: self.dek.clone(),
            sessions: Mutex::default(),
            hints,
            queries,
            ended,
        });
        let config =
            ClientConfig { shard: ShardId(0), address: self.address.to_string(), identity: self.identity(role) };
        let client = ShardClient::connect(config, secondary.clone()).unwrap();
        (client, Told { secondary, hints: told_hints, queries: told_queries, ended: told_ended })
    }

    pub async fn deliver(&self, mx: &ShardClient, tx: u8, body: Vec<u8>) -> Vec<Accepted> {
        self.deliver_to(mx, self.ann, tx, body).await
    }

    pub async fn deliver_to(&self, mx: &ShardClient, mailbox: MailboxId, tx: u8, body: Vec<u8>) -> Vec<Accepted> {
        self.try_deliver_to(mx, mailbox, tx, body).await.unwrap()
    }

    /// The same, where the primary may go away.
    pub async fn try_deliver_to(
        &self,
        mx: &ShardClient,
        mailbox: MailboxId,
        tx: u8,
        body: Vec<u8>,
    ) -> Result<Vec<Accepted>, Failure> {
        let envelope = Envelope {
            mail_from: "sender@example.net".into(),
            helo: "h".into(),
            peer: [127, 0, 0, 1].into(),
            received: Timestamp::now(),
        };
        let trace = Bytes::from_static(b"Received: by mx\r\n");
        let recipients = vec![Recipient { mailbox, rcpt_to: "ann@example.org".into(), trace }];
        let deliver = Deliver { txid: TxId([tx; 16]), envelope, recipients, size: body.len() as u64 };
        mx.deliver(deliver, body.into()).await
    }

    pub fn keys(&self) -> Vec<u8> {
        self.keyset.lock().unwrap().to_json()
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
            fenced: false,
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
        serde_json::to_vec(&Push { directory, bindings: Bindings::default() }).unwrap()
    }
}

/// A push that names one policy for all mailboxes; beside it something that must not be kept.
pub fn wanted(policy: &str) -> Vec<u8> {
    let json = serde_json::json!({
        "policies": {"root": "r", "default": policy, "policies": {policy: {
            "destination": {"s3": {"bucket": "b", "region": "auto", "secretAccessKey": "a-secret-of-the-bucket"}},
            "maxLagSeconds": 1,
            "retention": {"windowDays": 1, "keepLast": 1, "daily": 0, "weekly": 0, "monthly": 0}}}},
        "runs": []});
    serde_json::to_vec(&json).unwrap()
}

fn server() -> ServerId {
    ServerId("test-server".into())
}

/// What a secondary was told and asked.
pub struct Told {
    secondary: Arc<Secondary>,
    hints: mpsc::UnboundedReceiver<MailboxId>,
    queries: mpsc::UnboundedReceiver<MailboxId>,
    ended: mpsc::UnboundedReceiver<SessionId>,
}

impl Told {
    /// Sessions of ann that are logged in here.
    pub fn sessions(&self, sessions: &[SessionId]) {
        *self.secondary.sessions.lock().unwrap() = sessions.to_vec();
    }

    pub fn attach(&self, session: SessionId, nonce: [u8; 16], hello: &HelloReply) -> Attach {
        self.secondary.seal(session, nonce, hello)
    }

    /// The same, opened by another slot.
    pub fn attach_with(&self, slot: SlotId, session: SessionId, hello: &HelloReply) -> Attach {
        Attach { slot, ..self.secondary.seal(session, crypto::random(), hello) }
    }

    pub async fn ended(&mut self) -> SessionId {
        self.ended.recv().await.unwrap()
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
    ended: mpsc::UnboundedSender<SessionId>,
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

    fn revoked(&self, session: SessionId) {
        let _ = self.ended.send(session);
    }

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

impl Drop for World {
    fn drop(&mut self) {
        // A test that failed leaves no process behind.
        if let Some(Running::Apart(child)) = &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
