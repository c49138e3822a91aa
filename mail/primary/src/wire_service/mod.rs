//! What secondaries ask, answered: the wire's `Service` over a [`Shard`].
//!
//! One file per concern: `attach` (keysets, sessions), `requests` (mailbox verbs), `push` (what is told unasked).

mod attach;
mod push;
mod requests;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use model::verbs::{
    Accepted, Answer, Append, Appended, Attach, Attached, Code, Deliver, Failure, Fetch, KeysetReply, Request, Resume,
    Settle,
};
use model::{Address, Directory, MailboxId, SessionId};
use serde_bytes::ByteBuf;
use wire::{BodyReader, Caller, FetchSender, HelloReply, LiveSession, PushHandle};

use crate::delivery::{self, Arrival};
use crate::shard::Shard;

pub use attach::attach;
pub use push::{follow_routes, revoke};

/// One connected secondary.
pub struct Link {
    /// Who.
    pub caller: Caller,
    /// Reaches it.
    pub push: PushHandle,
    /// Mailboxes it has live sessions of, by its last report.
    live: Mutex<HashSet<MailboxId>>,
}

impl Link {
    /// True where it reported a live session of the mailbox.
    pub fn has(&self, mailbox: MailboxId) -> bool {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).contains(&mailbox)
    }
}

/// The wire's view of a shard.
#[derive(Clone)]
pub struct WireService(pub Arc<Shard>);

impl wire::Service for WireService {
    fn hello(&self, _peer: &tls::Peer) -> HelloReply {
        let shard = &self.0;
        HelloReply {
            version: wire::proto::VERSION,
            shard: shard.id,
            term: shard.term,
            boot: shard.boot,
            generation: shard.routes.current().map(|directory| directory.generation),
            handover: ByteBuf::from(shard.handover.public().as_bytes()),
        }
    }

    fn directory(&self) -> Option<Arc<Directory>> {
        self.0.routes.current()
    }

    fn opened(&self, caller: &Caller, push: PushHandle) {
        tracing::info!(role = %caller.peer.role, "a secondary is connected");
        let link = Link { caller: caller.clone(), push, live: Mutex::default() };
        self.0.links().insert(caller.link, Arc::new(link));
    }

    fn closed(&self, caller: &Caller) {
        tracing::info!(role = %caller.peer.role, "a secondary is gone");
        self.0.links().remove(&caller.link);
        self.0.sessions().lost(caller.link);
    }

    fn live(&self, caller: &Caller, sessions: Vec<LiveSession>) {
        let ids: Vec<_> = sessions.iter().map(|live| live.session).collect();
        self.0.sessions().renew(caller.link, &ids, Instant::now());
        if let Some(link) = self.0.links().get(&caller.link) {
            let mut live = link.live.lock().unwrap_or_else(PoisonError::into_inner);
            *live = sessions.iter().map(|live| live.mailbox).collect();
        }
    }

    async fn keyset(&self, caller: &Caller, address: Address, network: Option<IpAddr>) -> Result<KeysetReply, Failure> {
        attach::keyset(&self.0, caller.peer.role, &address, network).await
    }

    fn login_outcome(&self, _caller: &Caller, address: Address, network: IpAddr, accepted: bool) {
        let mut guesses = self.0.guesses();
        if accepted {
            guesses.succeeded(network, &address);
        } else {
            guesses.failed(network, &address, Instant::now());
        }
    }

    async fn attach(&self, caller: &Caller, request: Attach) -> Result<Attached, Failure> {
        attach(&self.0, caller.link, request).await
    }

    async fn detach(&self, caller: &Caller, session: SessionId) -> Result<(), Failure> {
        let ended = self.0.sessions().detach(session, caller.link);
        self.0.end(ended);
        Ok(())
    }

    async fn request(&self, caller: &Caller, session: SessionId, request: Request) -> Result<Answer, Failure> {
        requests::request(&self.0, caller.link, session, request).await
    }

    async fn fetch(&self, caller: &Caller, session: SessionId, fetch: Fetch, out: FetchSender) -> Result<(), Failure> {
        requests::fetch(&self.0, caller.link, session, fetch, out).await
    }

    async fn resume(
        &self,
        caller: &Caller,
        session: SessionId,
        resume: Resume,
        out: FetchSender,
    ) -> Result<(), Failure> {
        requests::resume(&self.0, caller.link, session, resume, out).await
    }

    async fn append(
        &self,
        caller: &Caller,
        session: SessionId,
        append: Append,
        body: BodyReader,
    ) -> Result<Appended, Failure> {
        requests::append(&self.0, caller.link, session, append, body).await
    }

    async fn deliver(&self, _caller: &Caller, deliver: Deliver, body: BodyReader) -> Result<Vec<Accepted>, Failure> {
        let _memory = self.0.reserve(deliver.size).await?;
        let body = body.collect().await?;
        let (txid, envelope) = (deliver.txid, deliver.envelope);
        let hashed = tokio::task::spawn_blocking(move || Arrival::new(txid, envelope, body.into(), Timestamp::now()));
        let arrival = hashed.await.map_err(|_| Failure::new(Code::ServerBug, "a message could not be hashed"))?;
        Ok(delivery::deliver(&self.0, Arc::new(arrival), &deliver.recipients).await)
    }

    async fn settle(&self, _caller: &Caller, settle: Settle) -> Result<(), Failure> {
        delivery::settle(&self.0, settle).await
    }
}
