//! Live sessions: who is logged in here, with the shielded key that brings a session back after its primary restarted.
//!
//! A session is registered before it attaches and until it ends: by being dropped, or by being revoked. One that has ended
//! vouches for nothing any more, however long its client takes to leave.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use ::imap::{Ended, Notice};
use crypto::{HandoverAad, HandoverPublic, ShieldedDek};
use model::verbs::{Attach, Code, Failure, Hint};
use model::{MailboxId, ModSeq, SessionId, ShardId, SlotId};
use serde_bytes::ByteBuf;
use tokio::sync::watch;
use wire::{HelloReply, LiveSession, ShardClient};

/// One login. Clones share it; the session is detached when the last one is dropped.
#[derive(Clone)]
pub struct Live(Arc<Session>);

struct Session {
    id: SessionId,
    mailbox: MailboxId,
    slot: SlotId,
    keys_version: u64,
    dek: ShieldedDek,
    shard: ShardClient,
    seq: AtomicU64,
    notice: watch::Sender<Notice>,
    registry: Sessions,
}

/// What opened a session.
pub struct Opened {
    /// Which mailbox.
    pub mailbox: MailboxId,
    /// The slot.
    pub slot: SlotId,
    /// The keyset's version.
    pub keys_version: u64,
    /// The key.
    pub dek: ShieldedDek,
}

impl Live {
    /// Attaches a fresh session and registers it.
    pub async fn open(opened: Opened, shard: ShardClient, registry: &Sessions) -> Result<Self, Failure> {
        // Registered first: a hint between attach and registration would be lost.
        let live = Self::register(opened, shard, registry);
        live.shard().attach(|hello| live.attach(hello, crypto::random())).await?;
        Ok(live)
    }

    fn register(opened: Opened, shard: ShardClient, registry: &Sessions) -> Self {
        let live = Self(Arc::new(Session {
            id: SessionId(crypto::random()),
            mailbox: opened.mailbox,
            slot: opened.slot,
            keys_version: opened.keys_version,
            dek: opened.dek,
            shard,
            seq: AtomicU64::new(1),
            notice: watch::Sender::new(Notice::default()),
            registry: registry.clone(),
        }));
        registry.add(&live);
        live
    }

    /// The session's id.
    pub fn session(&self) -> SessionId {
        self.0.id
    }

    /// The way to its mailbox.
    pub fn shard(&self) -> &ShardClient {
        &self.0.shard
    }

    /// What the session was told from outside.
    pub fn notices(&self) -> watch::Receiver<Notice> {
        self.0.notice.subscribe()
    }

    /// The next number for a non-repeatable request.
    pub fn next_seq(&self) -> u64 {
        self.0.seq.fetch_add(1, Ordering::Relaxed)
    }

    /// A failure that ends the session ends it here too.
    pub fn noticed(&self, failure: &Failure) {
        if failure.code == Code::Revoked {
            self.end(Ended::Revoked);
        }
    }

    /// The hand-over of this session's key to the primary that said hello, and to nobody else.
    fn attach(&self, hello: &HelloReply, nonce: [u8; 16]) -> Result<Attach, Failure> {
        let Session { id, mailbox, slot, keys_version, .. } = *self.0;
        let aad = HandoverAad { shard: hello.shard, term: hello.term, boot: hello.boot, mailbox, session: id, nonce };
        let public = HandoverPublic::from_bytes(&hello.handover).map_err(|error| unsealed(&error))?;
        files::fault::point("handover.seal.before");
        let sealed = self.0.dek.with(|dek| public.seal_dek(dek, &aad)).map_err(|error| unsealed(&error))?;
        files::fault::point("handover.seal.after");
        Ok(Attach { session: id, mailbox, slot, keys_version, nonce, sealed_dek: ByteBuf::from(sealed) })
    }

    /// A hint of modseq 0 stands for some that were missed.
    fn hint(&self, hint: &Hint) {
        let modseq = Some(hint.modseq).filter(|modseq| *modseq > ModSeq(0));
        self.0.notice.send_modify(|notice| notice.modseq = modseq);
    }

    fn resync(&self) {
        self.0.notice.send_modify(|notice| notice.modseq = None);
    }

    fn end(&self, why: Ended) {
        self.0.registry.remove(self.0.id);
        self.0.notice.send_modify(|notice| notice.ended = Some(why));
    }
}

fn unsealed(error: &crypto::CryptoError) -> Failure {
    tracing::error!(%error, "a key could not be handed over");
    Failure::new(Code::ServerBug, "the key could not be handed over")
}

impl Drop for Session {
    fn drop(&mut self) {
        self.registry.remove(self.id);
        // Outside a runtime the process is ending, and with it the lease.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (shard, id) = (self.shard.clone(), self.id);
            runtime.spawn(async move { shard.detach(id).await });
        }
    }
}

/// All sessions of this process.
#[derive(Clone, Default)]
pub struct Sessions(Arc<Mutex<Registry>>);

#[derive(Default)]
struct Registry {
    sessions: HashMap<SessionId, Registered>,
    by_mailbox: HashMap<MailboxId, Vec<SessionId>>,
}

struct Registered {
    mailbox: MailboxId,
    shard: ShardId,
    session: Weak<Session>,
}

impl Registry {
    fn get(&self, session: SessionId) -> Option<Live> {
        self.sessions.get(&session)?.session.upgrade().map(Live)
    }
}

impl Sessions {
    fn add(&self, live: &Live) {
        let Session { id, mailbox, .. } = *live.0;
        let entry = Registered { mailbox, shard: live.0.shard.shard(), session: Arc::downgrade(&live.0) };
        self.with(|registry| {
            registry.sessions.insert(id, entry);
            registry.by_mailbox.entry(mailbox).or_default().push(id);
        });
    }

    fn remove(&self, session: SessionId) {
        self.with(|registry| {
            let Some(Registered { mailbox, .. }) = registry.sessions.remove(&session) else { return };
            let Some(own) = registry.by_mailbox.get_mut(&mailbox) else { return };
            own.retain(|id| *id != session);
            if own.is_empty() {
                registry.by_mailbox.remove(&mailbox);
            }
        });
    }

    /// What comes out is dropped after the lock: the last holder of a session takes it to leave the registry.
    fn with<T>(&self, act: impl FnOnce(&mut Registry) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The sessions of a mailbox.
    fn of(&self, mailbox: MailboxId) -> Vec<Live> {
        self.with(|registry| {
            let own = registry.by_mailbox.get(&mailbox).into_iter().flatten();
            own.filter_map(|id| registry.get(*id)).collect()
        })
    }

    /// Every session of a shard.
    pub fn of_shard(&self, shard: ShardId) -> Vec<LiveSession> {
        self.with(|registry| {
            let own = registry.sessions.iter().filter(|(_, entry)| entry.shard == shard);
            own.map(|(id, entry)| LiveSession { session: *id, mailbox: entry.mailbox }).collect()
        })
    }

    /// Tells the sessions of a mailbox that something happened.
    pub fn changed(&self, mailbox: MailboxId, hint: &Hint) {
        for live in self.of(mailbox) {
            live.hint(hint);
        }
    }

    /// Tells all sessions of a shard that anything may have happened.
    pub fn resync(&self, shard: ShardId) {
        let own: Vec<Live> = self.with(|registry| {
            let own = registry.sessions.values().filter(|entry| entry.shard == shard);
            own.filter_map(|entry| entry.session.upgrade().map(Live)).collect()
        });
        own.iter().for_each(Live::resync);
    }

    /// Ends a session whose slot was revoked.
    pub fn revoked(&self, session: SessionId) {
        if let Some(live) = self.with(|registry| registry.get(session)) {
            live.end(Ended::Revoked);
        }
    }

    /// The hand-over of a session's key, once more.
    pub fn reattach(&self, session: SessionId, hello: &HelloReply) -> Result<Attach, Failure> {
        let live = self.with(|registry| registry.get(session));
        live.ok_or_else(|| Failure::new(Code::Revoked, "the session is over"))?.attach(hello, crypto::random())
    }

    /// The hand-over of a mailbox's key, in the name of a session that is live here.
    pub fn key(&self, mailbox: MailboxId, nonce: [u8; 16], hello: &HelloReply) -> Option<Attach> {
        self.of(mailbox).first()?.attach(hello, nonce).ok()
    }
}

#[cfg(test)]
mod tests;
