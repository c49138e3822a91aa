//! Live sessions: who is logged in here, with the shielded key that brings a session back after its primary restarted.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use ::imap::{Ended, Notice};
use crypto::{HandoverAad, HandoverPublic, ShieldedDek};
use model::verbs::{Attach, Code, Failure, Hint};
use model::{MailboxId, SessionId, ShardId, SlotId};
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
        let session = Session {
            id: SessionId(crypto::random()),
            mailbox: opened.mailbox,
            slot: opened.slot,
            keys_version: opened.keys_version,
            dek: opened.dek,
            shard: shard.clone(),
            seq: AtomicU64::new(1),
            notice: watch::Sender::new(Notice::default()),
            registry: registry.clone(),
        };
        let live = Self(Arc::new(session));
        // Registered first: a hint between attach and registration would be lost.
        registry.add(&live);
        shard.attach(|hello| live.attach(hello, crypto::random())).await?;
        Ok(live)
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
        let public = HandoverPublic::from_bytes(&hello.handover).map_err(unsealed)?;
        let sealed = self.0.dek.with(|dek| public.seal_dek(dek, &aad)).map_err(unsealed)?;
        Ok(Attach { session: id, mailbox, slot, keys_version, nonce, sealed_dek: ByteBuf::from(sealed) })
    }

    fn hint(&self, hint: &Hint) {
        self.0.notice.send_modify(|notice| notice.modseq = Some(hint.modseq));
    }

    fn resync(&self) {
        self.0.notice.send_modify(|notice| notice.modseq = None);
    }

    fn end(&self, why: Ended) {
        self.0.notice.send_modify(|notice| notice.ended = Some(why));
    }
}

fn unsealed(error: crypto::CryptoError) -> Failure {
    tracing::error!(%error, "a key could not be handed over");
    Failure::new(Code::ServerBug, "the key could not be handed over")
}

impl Drop for Session {
    fn drop(&mut self) {
        self.registry.remove(self.id, self.mailbox);
        // Outside a runtime the process is ending, and with it the lease.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (shard, id) = (self.shard.clone(), self.id);
            runtime.spawn(async move { shard.detach(id).await });
        }
    }
}

/// All sessions of this process.
#[derive(Clone, Default)]
pub struct Sessions(Arc<Mutex<HashMap<MailboxId, Vec<(SessionId, Weak<Session>)>>>>);

impl Sessions {
    fn add(&self, live: &Live) {
        let entry = (live.0.id, Arc::downgrade(&live.0));
        self.with(|sessions| sessions.entry(live.0.mailbox).or_default().push(entry));
    }

    fn remove(&self, session: SessionId, mailbox: MailboxId) {
        self.with(|sessions| {
            if let Some(of_mailbox) = sessions.get_mut(&mailbox) {
                of_mailbox.retain(|(id, _)| *id != session);
                if of_mailbox.is_empty() {
                    sessions.remove(&mailbox);
                }
            }
        });
    }

    /// The sessions of a mailbox.
    fn of(&self, mailbox: MailboxId) -> Vec<Live> {
        self.with(|sessions| {
            let of_mailbox = sessions.get(&mailbox).into_iter().flatten();
            of_mailbox.filter_map(|(_, session)| session.upgrade().map(Live)).collect()
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut HashMap<MailboxId, Vec<(SessionId, Weak<Session>)>>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    fn all(&self) -> Vec<Live> {
        self.with(|sessions| sessions.values().flatten().filter_map(|(_, s)| s.upgrade().map(Live)).collect())
    }

    /// Every session of a shard.
    pub fn of_shard(&self, shard: ShardId) -> Vec<LiveSession> {
        let here = self.all().into_iter().filter(|live| live.0.shard.shard() == shard);
        here.map(|live| LiveSession { session: live.0.id, mailbox: live.0.mailbox }).collect()
    }

    /// Tells the sessions of a mailbox that something happened.
    pub fn changed(&self, mailbox: MailboxId, hint: &Hint) {
        for live in self.of(mailbox) {
            live.hint(hint);
        }
    }

    /// Tells all sessions of a shard that anything may have happened.
    pub fn resync(&self, shard: ShardId) {
        self.all().iter().filter(|live| live.0.shard.shard() == shard).for_each(Live::resync);
    }

    /// Ends a session whose slot was revoked.
    pub fn revoked(&self, session: SessionId) {
        self.all().iter().filter(|live| live.0.id == session).for_each(|live| live.end(Ended::Revoked));
    }

    /// The hand-over of a session's key, once more.
    pub fn reattach(&self, session: SessionId, hello: &HelloReply) -> Result<Attach, Failure> {
        let live = self.all().into_iter().find(|live| live.0.id == session);
        live.ok_or_else(|| Failure::new(Code::Revoked, "the session is over"))?.attach(hello, crypto::random())
    }

    /// The hand-over of a mailbox's key, in the name of a session that is live here.
    pub fn key(&self, mailbox: MailboxId, nonce: [u8; 16], hello: &HelloReply) -> Option<Attach> {
        self.of(mailbox).first()?.attach(hello, nonce).ok()
    }
}
