//! Certificates, a served shard, clients.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use model::verbs::{Fetch, FetchItems, View};
use model::{FolderId, MailboxId, ModSeq, ServerId, SessionId, ShardId, Uid, UidSet};
use sealpost_wire::{ClientConfig, Server, ShardClient};
use tempfile::TempDir;
use tls::{DevCa, Identity, Peer, Role};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::secondary::{FakeSecondary, attach};
use crate::shard::FakeShard;

pub const SESSION: SessionId = SessionId([7; 16]);

/// What must happen, happens within this; nothing waits for it to pass.
pub async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(15), work).await.expect("it took too long")
}

pub fn mailbox(n: u8) -> MailboxId {
    MailboxId::from_random([n; 17])
}

pub fn view(folder: i64) -> View {
    View { folder: FolderId(folder), since: ModSeq(1), uidnext: Uid(1), keywords: 0 }
}

/// A FETCH of that many bytes.
pub fn fetch(size: i64) -> Fetch {
    Fetch {
        view: view(size),
        uids: UidSet::range(Uid(1), Uid(1)),
        items: FetchItems::default(),
        sections: Vec::new(),
        changed_since: None,
        mark_seen: false,
    }
}

pub struct World {
    dir: TempDir,
    ca: DevCa,
}

/// A shard being served.
pub struct Served {
    pub shard: Arc<FakeShard>,
    pub address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<Result<(), sealpost_wire::WireError>>,
}

impl World {
    pub fn new() -> Self {
        tls::install_provider();
        let dir = tempfile::tempdir().unwrap();
        let ca = DevCa::load_or_create(dir.path()).unwrap();
        Self { dir, ca }
    }

    pub fn identity(&self, role: Role) -> Identity {
        let peer = Peer::new(ServerId("s1".to_owned()), role);
        Identity::load(&self.ca.identity(&peer).unwrap()).unwrap()
    }

    pub async fn serve(&self, boot: u8) -> Served {
        self.serve_at(boot, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    pub async fn serve_at(&self, boot: u8, address: SocketAddr) -> Served {
        self.serve_shard(FakeShard::new(boot), address).await
    }

    pub async fn serve_shard(&self, shard: Arc<FakeShard>, address: SocketAddr) -> Served {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let server = Server::new(shard.clone(), stop.clone());
        let identity = self.identity(Role::Primary(ShardId(0)));
        let who = |axum::Extension(peer): axum::Extension<Peer>| async move { peer.to_string() };
        let control = axum::Router::new().route("/v1/who", axum::routing::get(who));
        let task = tokio::spawn(async move { server.serve(listener, &identity, control).await });
        Served { shard, address, stop, task }
    }

    pub fn client(&self, role: Role, address: SocketAddr) -> (ShardClient, Arc<FakeSecondary>) {
        let secondary = Arc::new(FakeSecondary::default());
        let config = ClientConfig { shard: ShardId(0), address: address.to_string(), identity: self.identity(role) };
        (ShardClient::connect(config, secondary.clone()).unwrap(), secondary)
    }

    /// A client with [`SESSION`] attached.
    pub async fn attached(&self, address: SocketAddr) -> (ShardClient, Arc<FakeSecondary>) {
        let (client, secondary) = self.client(Role::Imap, address);
        soon(client.attach(|hello| Ok(attach(SESSION, [0; 16], hello)))).await.unwrap();
        (client, secondary)
    }

    pub fn other() -> Self {
        Self::new()
    }

    pub fn folder(&self) -> &std::path::Path {
        self.dir.path()
    }
}

impl Served {
    /// As if the process had ended: every connection is gone, the port is free.
    pub async fn kill(self) -> SocketAddr {
        self.stop.cancel();
        soon(self.task).await.unwrap().unwrap();
        self.address
    }
}
