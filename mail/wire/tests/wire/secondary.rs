//! A secondary that writes down what it is told.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use model::verbs::{Attach, Failure, Hint};
use model::{BootId, Directory, MailboxId, SessionId, SlotId};
use sealpost_wire::{Events, HelloReply, LiveSession};
use serde_bytes::ByteBuf;
use tokio::sync::watch;

#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    Connected(BootId),
    Disconnected,
    Changed(MailboxId, Hint),
    Directory(u64),
    Revoked(SessionId),
    Draining,
}

#[derive(Default)]
pub struct FakeSecondary {
    pub told: watch::Sender<Vec<Told>>,
    pub live: Mutex<Vec<LiveSession>>,
    pub reattached: AtomicUsize,
    /// Answers key queries with this nonce instead of the one asked for.
    pub wrong_nonce: Mutex<Option<[u8; 16]>>,
}

/// What the fake shard takes for a DEK sealed to it.
pub fn attach(session: SessionId, nonce: [u8; 16], hello: &HelloReply) -> Attach {
    Attach {
        session,
        mailbox: crate::world::mailbox(1),
        slot: SlotId(1),
        keys_version: 1,
        nonce,
        sealed_dek: ByteBuf::from(hello.boot.0.to_vec()),
    }
}

impl FakeSecondary {
    fn tell(&self, told: Told) {
        self.told.send_modify(|all| all.push(told));
    }

    /// Waits until it was told.
    pub async fn heard(&self, what: impl Fn(&Told) -> bool) {
        let mut told = self.told.subscribe();
        crate::world::soon(told.wait_for(|all| all.iter().any(&what))).await.unwrap();
    }
}

impl Events for FakeSecondary {
    fn connected(&self, hello: &HelloReply) {
        self.tell(Told::Connected(hello.boot));
    }

    fn disconnected(&self) {
        self.tell(Told::Disconnected);
    }

    fn live_sessions(&self) -> Vec<LiveSession> {
        self.live.lock().unwrap().clone()
    }

    fn changed(&self, mailbox: MailboxId, hint: Hint) {
        self.tell(Told::Changed(mailbox, hint));
    }

    fn directory(&self, directory: Arc<Directory>) {
        self.tell(Told::Directory(directory.generation.seq));
    }

    fn revoked(&self, session: SessionId) {
        self.tell(Told::Revoked(session));
    }

    fn draining(&self) {
        self.tell(Told::Draining);
    }

    async fn reattach(&self, session: SessionId, hello: &HelloReply) -> Result<Attach, Failure> {
        self.reattached.fetch_add(1, Ordering::Relaxed);
        Ok(attach(session, [0; 16], hello))
    }

    async fn key_query(&self, mailbox: MailboxId, nonce: [u8; 16], hello: &HelloReply) -> Option<Attach> {
        let session = self.live.lock().unwrap().iter().find(|live| live.mailbox == mailbox)?.session;
        let nonce = self.wrong_nonce.lock().unwrap().unwrap_or(nonce);
        Some(attach(session, nonce, hello))
    }
}
