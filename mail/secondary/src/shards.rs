//! The wires to all shards.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::verbs::{Attach, Failure, Hint};
use model::{Directory, Generation, MailboxId, SessionId, ShardId};
use tls::Identity;
use wire::{ClientConfig, Events, HelloReply, LiveSession, ShardClient};

use crate::directory::Routes;
use crate::imap::Sessions;
use crate::{Config, SecondaryError};

/// One client per shard. Clones share them.
#[derive(Clone)]
pub struct Shards(Arc<BTreeMap<ShardId, ShardClient>>);

impl Shards {
    /// Starts to connect to every shard.
    pub fn connect(
        config: &Config,
        identity: &Identity,
        routes: &Routes,
        sessions: &Sessions,
    ) -> Result<Self, SecondaryError> {
        let mut clients = BTreeMap::new();
        for shard in &config.shards {
            let to = ClientConfig { shard: shard.id, address: shard.address.clone(), identity: identity.clone() };
            let heard = Heard { shard: shard.id, routes: routes.clone(), sessions: sessions.clone() };
            clients.insert(shard.id, ShardClient::connect(to, Arc::new(heard))?);
        }
        Ok(Self(Arc::new(clients)))
    }

    /// The way to a shard.
    pub fn get(&self, shard: ShardId) -> Option<&ShardClient> {
        self.0.get(&shard)
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &ShardClient> {
        self.0.values()
    }

    /// The shard that answers for addresses nobody has.
    pub fn first(&self) -> Option<&ShardClient> {
        self.0.values().next()
    }

    /// True where a connected shard has a newer directory than this, which is still on its way.
    pub fn know_more(&self, than: Generation) -> bool {
        self.0.values().any(|client| client.generation() > Some(than))
    }
}

/// What a shard says unasked.
struct Heard {
    shard: ShardId,
    routes: Routes,
    sessions: Sessions,
}

impl Events for Heard {
    fn connected(&self, _: &HelloReply) {
        // Hints may have been lost; and a sync brings back the key of a session whose primary restarted.
        self.sessions.resync(self.shard);
    }

    // The wire logs links; sessions wait for the next one with their commands.
    fn disconnected(&self) {}

    fn live_sessions(&self) -> Vec<LiveSession> {
        self.sessions.of_shard(self.shard)
    }

    fn changed(&self, mailbox: MailboxId, hint: Hint) {
        self.sessions.changed(mailbox, &hint);
    }

    fn directory(&self, directory: Arc<Directory>) {
        self.routes.offer(self.shard, directory);
    }

    fn revoked(&self, session: SessionId) {
        self.sessions.revoked(session);
    }

    fn draining(&self) {
        tracing::info!(shard = %self.shard, "the shard is about to stop");
    }

    async fn reattach(&self, session: SessionId, hello: &HelloReply) -> Result<Attach, Failure> {
        self.sessions.reattach(session, hello)
    }

    async fn key_query(&self, mailbox: MailboxId, nonce: [u8; 16], hello: &HelloReply) -> Option<Attach> {
        self.sessions.key(mailbox, nonce, hello)
    }
}
