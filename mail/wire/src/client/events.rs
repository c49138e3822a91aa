//! What a secondary is told, and asked.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use model::verbs::{Attach, Failure, Hint};
use model::{Directory, MailboxId, SessionId};

use crate::proto::{HelloReply, LiveSession};

/// The secondary behind a [`crate::ShardClient`]. The methods that are not async are called by the reader of the link:
/// they must be quick, and must not wait.
pub trait Events: Send + Sync + 'static {
    /// A link is up; calls go out from now on. With another `boot` than before, every session must be attached again:
    /// their next call does it, IDLE sessions should do it now.
    fn connected(&self, hello: &HelloReply);

    /// The link is gone; the next one is being made.
    fn disconnected(&self);

    /// All sessions logged in for mailboxes of this shard. A session belongs in here before it first attaches.
    fn live_sessions(&self) -> Vec<LiveSession>;

    /// Something happened in a mailbox: sync its sessions.
    fn changed(&self, mailbox: MailboxId, hint: Hint);

    /// A directory newer than any that this client brought before, or of the same generation with other keys. Other
    /// shards may have brought a newer one.
    fn directory(&self, directory: Arc<Directory>);

    /// The session was ended by its owner or the operator.
    fn revoked(&self, session: SessionId);

    /// The primary is about to stop.
    fn draining(&self);

    /// Seals the session's DEK once more: the primary has lost it. An error ends the call that needed it.
    fn reattach(&self, session: SessionId, hello: &HelloReply) -> impl Future<Output = Result<Attach, Failure>> + Send;

    /// Mail came for a mailbox: its key sealed with that nonce, in the name of a live session; none without one.
    fn key_query(
        &self,
        mailbox: MailboxId,
        nonce: [u8; 16],
        hello: &HelloReply,
    ) -> impl Future<Output = Option<Attach>> + Send;
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// [`Events`] without its type: a client is one type, whoever listens.
pub(super) trait DynEvents: Send + Sync {
    fn connected(&self, hello: &HelloReply);
    fn disconnected(&self);
    fn live_sessions(&self) -> Vec<LiveSession>;
    fn changed(&self, mailbox: MailboxId, hint: Hint);
    fn directory(&self, directory: Arc<Directory>);
    fn revoked(&self, session: SessionId);
    fn draining(&self);
    fn reattach_dyn<'a>(&'a self, session: SessionId, hello: &'a HelloReply) -> Boxed<'a, Result<Attach, Failure>>;
    fn key_query_dyn<'a>(
        &'a self,
        mailbox: MailboxId,
        nonce: [u8; 16],
        hello: &'a HelloReply,
    ) -> Boxed<'a, Option<Attach>>;
}

impl<E: Events> DynEvents for E {
    fn connected(&self, hello: &HelloReply) {
        Events::connected(self, hello);
    }

    fn disconnected(&self) {
        Events::disconnected(self);
    }

    fn live_sessions(&self) -> Vec<LiveSession> {
        Events::live_sessions(self)
    }

    fn changed(&self, mailbox: MailboxId, hint: Hint) {
        Events::changed(self, mailbox, hint);
    }

    fn directory(&self, directory: Arc<Directory>) {
        Events::directory(self, directory);
    }

    fn revoked(&self, session: SessionId) {
        Events::revoked(self, session);
    }

    fn draining(&self) {
        Events::draining(self);
    }

    fn reattach_dyn<'a>(&'a self, session: SessionId, hello: &'a HelloReply) -> Boxed<'a, Result<Attach, Failure>> {
        Box::pin(self.reattach(session, hello))
    }

    fn key_query_dyn<'a>(
        &'a self,
        mailbox: MailboxId,
        nonce: [u8; 16],
        hello: &'a HelloReply,
    ) -> Boxed<'a, Option<Attach>> {
        Box::pin(self.key_query(mailbox, nonce, hello))
    }
}

impl fmt::Debug for dyn DynEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}
