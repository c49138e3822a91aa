//! What a primary says without being asked.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::verbs::{Attach, Hint};
use model::{Directory, MailboxId, SessionId};
use tls::Role;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::codec::encode;
use crate::limits::MAX_REPLY;
use crate::outbox::Outbox;
use crate::proto::ToSecondary;
use crate::scope::{self, Verb};

/// Reaches one link. Nothing here waits, except the key query; a link that is gone takes everything and does nothing.
#[derive(Debug, Clone)]
pub struct PushHandle {
    role: Role,
    outbox: Outbox,
    queries: Arc<Queries>,
    closed: CancellationToken,
}

#[derive(Debug, Default)]
struct Queries {
    next: AtomicU32,
    waiting: Mutex<HashMap<u32, oneshot::Sender<Option<Box<Attach>>>>>,
}

impl PushHandle {
    pub(super) fn new(role: Role, outbox: Outbox, closed: CancellationToken) -> Self {
        Self { role, outbox, queries: Arc::default(), closed }
    }

    /// Something happened in a mailbox. Hints coalesce until they are written.
    pub fn changed(&self, mailbox: MailboxId, hint: Hint) {
        if self.may(Verb::Attach) {
            self.outbox.changed(mailbox, hint);
        }
    }

    /// A newer directory; replaces one that is not written yet.
    pub fn directory(&self, directory: Arc<Directory>) {
        if self.may(Verb::Directory) {
            self.outbox.directory(directory);
        }
    }

    /// A session ends, for a reason its client is told.
    pub fn revoked(&self, session: SessionId) {
        if self.may(Verb::Attach) {
            self.urgent(&ToSecondary::Revoked { session });
        }
    }

    /// We are about to stop.
    pub fn draining(&self) {
        self.urgent(&ToSecondary::Draining);
    }

    /// Asks for the key of a mailbox that the link has a live session of: an attach with that nonce, or none. None also
    /// where the role may not have keys, the deadline passes or the link breaks.
    pub async fn key_query(&self, mailbox: MailboxId, nonce: [u8; 16], deadline: Duration) -> Option<Attach> {
        if !self.may(Verb::Attach) {
            return None;
        }
        let query = self.queries.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        let _waiting = Waiting::new(&self.queries, query, sender);
        self.urgent(&ToSecondary::KeyQuery { query, mailbox, nonce });
        tokio::select! {
            answer = tokio::time::timeout(deadline, answer) => answer.ok()?.ok()?.map(|attach| *attach),
            () = self.closed.cancelled() => None,
        }
        // An answer to another question is no answer.
        .filter(|attach| attach.mailbox == mailbox && attach.nonce == nonce)
    }

    /// True once the link is gone.
    pub fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    pub(super) fn answer(&self, query: u32, attach: Option<Box<Attach>>) {
        let waiting = self.queries.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&query);
        if let Some(waiting) = waiting {
            // Whoever asked may have given up.
            let _ = waiting.send(attach);
        }
    }

    fn may(&self, verb: Verb) -> bool {
        !self.closed.is_cancelled() && scope::check(self.role, verb).is_ok()
    }

    fn urgent(&self, message: &ToSecondary) {
        match encode(message, MAX_REPLY) {
            Ok(message) => self.outbox.urgent(message),
            Err(error) => tracing::error!(%error, "a push cannot be written"),
        }
    }
}

/// Forgets a query that is over, however it ends.
struct Waiting<'a> {
    queries: &'a Queries,
    query: u32,
}

impl<'a> Waiting<'a> {
    fn new(queries: &'a Queries, query: u32, sender: oneshot::Sender<Option<Box<Attach>>>) -> Self {
        queries.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(query, sender);
        Self { queries, query }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.queries.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.query);
    }
}
