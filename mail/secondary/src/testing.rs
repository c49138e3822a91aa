//! Shards that are never there.

use std::sync::Arc;

use model::verbs::{Attach, Failure, Hint};
use model::{MailboxId, ServerId, SessionId, ShardId};
use tls::{DevCa, Identity, Peer, Role};
use wire::{ClientConfig, Events, HelloReply, LiveSession, ShardClient};

/// A secondary that nobody ever tells anything.
struct Deaf;

impl Events for Deaf {
    fn connected(&self, _: &HelloReply) {}
    fn disconnected(&self) {}
    fn live_sessions(&self) -> Vec<LiveSession> {
        Vec::new()
    }
    fn changed(&self, _: MailboxId, _: Hint) {}
    fn directory(&self, _: Arc<model::Directory>) {}
    fn revoked(&self, _: SessionId) {}
    fn draining(&self) {}
    async fn reattach(&self, _: SessionId, _: &HelloReply) -> Result<Attach, Failure> {
        Err(Failure::unavailable("deaf"))
    }
    async fn key_query(&self, _: MailboxId, _: [u8; 16], _: &HelloReply) -> Option<Attach> {
        None
    }
}

/// The way to a shard that is never there.
pub fn unreachable(id: u32) -> ShardClient {
    tls::install_provider();
    let folder = tempfile::tempdir().unwrap();
    let ca = DevCa::load_or_create(folder.path()).unwrap();
    let files = ca.identity(&Peer::new(ServerId("s".into()), Role::Imap)).unwrap();
    let identity = Identity::load(&files).unwrap();
    // Bound and never accepted from: nothing else can take the port meanwhile.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap().to_string();
    let config = ClientConfig { shard: ShardId(id), address, identity };
    ShardClient::connect(config, Arc::new(Deaf)).unwrap()
}
