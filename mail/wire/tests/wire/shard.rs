//! A shard in memory. Folder ids say how many bytes a FETCH gives, and content ids the same for a resume.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use model::verbs::{
    Accepted, Answer, Append, Appended, Attach, Attached, Code, Deliver, Delta, Failure, Fetch, FetchEvent, FetchRows,
    KeysetReply, QuotaUse, Request, Resume, SectionData, Settle,
};
use model::{Address, BootId, Directory, ModSeq, SessionId, ShardId, Term, Uid, UidSet, UidValidity};
use sealpost_wire::{BodyReader, Caller, FetchSender, HelloReply, LiveSession, PushHandle, Service};
use serde_bytes::ByteBuf;
use tokio::sync::{Notify, watch};

/// The byte at a position of every message.
pub fn byte(at: u64) -> u8 {
    (at % 251) as u8
}

/// The message of that size.
pub fn message(size: u64) -> Vec<u8> {
    (0..size).map(byte).collect()
}

pub struct FakeShard {
    pub boot: BootId,
    pub attached: Mutex<HashSet<SessionId>>,
    pub appended: Mutex<HashMap<u64, Vec<u8>>>,
    /// The numbers of APPENDs, as they came.
    pub order: Mutex<Vec<u64>>,
    pub delivered: Mutex<Vec<Vec<u8>>>,
    pub settled: Mutex<Vec<Settle>>,
    pub directory: Mutex<Option<Arc<Directory>>>,
    /// What FETCH has given to its senders, in bytes.
    pub sent: AtomicU64,
    /// How many handlers of FETCH, and of requests that wait, run.
    pub running: watch::Sender<usize>,
    pub links: watch::Sender<Vec<(Caller, PushHandle)>>,
    pub live: watch::Sender<Option<Vec<LiveSession>>>,
    /// Releases requests that were told to wait (SELECT of `wait`).
    pub release: Notify,
}

impl FakeShard {
    pub fn new(boot: u8) -> Arc<Self> {
        Arc::new(Self {
            boot: BootId([boot; 16]),
            attached: Mutex::default(),
            appended: Mutex::default(),
            order: Mutex::default(),
            delivered: Mutex::default(),
            settled: Mutex::default(),
            directory: Mutex::default(),
            sent: AtomicU64::new(0),
            running: watch::channel(0).0,
            links: watch::channel(Vec::new()).0,
            live: watch::channel(None).0,
            release: Notify::new(),
        })
    }

    fn check(&self, session: SessionId) -> Result<(), Failure> {
        if self.attached.lock().unwrap().contains(&session) {
            return Ok(());
        }
        Err(Failure::new(Code::NotAttached, "attach first"))
    }

    async fn send(&self, out: &mut FetchSender, from: u64, size: u64) -> Result<(), Failure> {
        // Whole periods, so that every step starts with byte 0 of the pattern.
        let pattern = Bytes::from(message(251 * 1024));
        let mut at = from;
        while at < size {
            let skip = (at % 251) as usize;
            let take = (size - at).min((pattern.len() - skip) as u64) as usize;
            out.send(FetchEvent::Data(pattern.slice(skip..skip + take))).await?;
            at += take as u64;
            self.sent.store(at, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Counts a handler while it runs, also when it is dropped.
struct Counted<'a>(&'a watch::Sender<usize>);

impl<'a> Counted<'a> {
    fn new(count: &'a watch::Sender<usize>) -> Self {
        count.send_modify(|n| *n += 1);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|n| *n -= 1);
    }
}

impl Service for FakeShard {
    fn hello(&self, _peer: &tls::Peer) -> HelloReply {
        HelloReply {
            version: sealpost_wire::proto::VERSION,
            shard: ShardId(0),
            term: Term(1),
            boot: self.boot,
            generation: None,
            handover: ByteBuf::from(vec![5; 1216]),
        }
    }

    fn directory(&self) -> Option<Arc<Directory>> {
        self.directory.lock().unwrap().clone()
    }

    fn opened(&self, caller: &Caller, push: PushHandle) {
        self.links.send_modify(|links| links.push((caller.clone(), push)));
    }

    fn closed(&self, caller: &Caller) {
        self.links.send_modify(|links| links.retain(|(other, _)| other != caller));
    }

    fn live(&self, _caller: &Caller, sessions: Vec<LiveSession>) {
        self.live.send_replace(Some(sessions));
    }

    async fn keyset(
        &self,
        _caller: &Caller,
        address: Address,
        _network: Option<IpAddr>,
    ) -> Result<KeysetReply, Failure> {
        let keys = ByteBuf::from(address.to_string().into_bytes());
        Ok(KeysetReply { mailbox: crate::world::mailbox(1), keys, allowed: true, wait_ms: 0, suspect: false })
    }

    fn login_outcome(&self, _caller: &Caller, _address: Address, _network: IpAddr, _accepted: bool) {}

    async fn attach(&self, _caller: &Caller, attach: Attach) -> Result<Attached, Failure> {
        if attach.sealed_dek != ByteBuf::from(self.boot.0.to_vec()) {
            return Err(Failure::new(Code::NotAttached, "sealed to another start"));
        }
        self.attached.lock().unwrap().insert(attach.session);
        Ok(Attached { waiting: 3, shard: ShardId(0), term: Term(1), boot: self.boot })
    }

    async fn detach(&self, _caller: &Caller, session: SessionId) -> Result<(), Failure> {
        self.attached.lock().unwrap().remove(&session);
        Ok(())
    }

    async fn request(&self, _caller: &Caller, session: SessionId, request: Request) -> Result<Answer, Failure> {
        self.check(session)?;
        match request {
            Request::Quota => Ok(Answer::Quota(QuotaUse { bytes: 1, messages: 2, limit: Some(3) })),
            Request::Sync(view) => {
                // As large as asked for: one UID in two, so that every one is a run of its own.
                let appeared = (0..view.uidnext.0).fold(UidSet::new(), |mut set, n| {
                    set.insert(Uid(1 + 2 * n));
                    set
                });
                Ok(Answer::Synced(Delta { modseq: view.since, appeared, ..Delta::default() }))
            }
            Request::Select { name, .. } if name == "panic" => panic!("as asked"),
            Request::Select { .. } => {
                let _counted = Counted::new(&self.running);
                self.release.notified().await;
                Ok(Answer::Done)
            }
            _ => Ok(Answer::Done),
        }
    }

    async fn fetch(&self, _: &Caller, session: SessionId, fetch: Fetch, mut out: FetchSender) -> Result<(), Failure> {
        let _counted = Counted::new(&self.running);
        self.check(session)?;
        let size = fetch.view.folder.0 as u64;
        out.send(FetchEvent::Head {
            delta: Delta::default(),
            modseq: ModSeq(8),
            missing: UidSet::new(),
            keywords: model::Keywords::default(),
        })
        .await?;
        let rows = FetchRows {
            uids: vec![1],
            contents: vec![size as i64],
            sections: vec![SectionData::Large(size)],
            ..FetchRows::default()
        };
        out.send(FetchEvent::Rows(Box::new(rows))).await?;
        self.send(&mut out, 0, size).await
    }

    async fn resume(
        &self,
        _: &Caller,
        session: SessionId,
        resume: Resume,
        mut out: FetchSender,
    ) -> Result<(), Failure> {
        self.check(session)?;
        self.send(&mut out, resume.offset, resume.content.0 as u64).await
    }

    async fn append(
        &self,
        _: &Caller,
        session: SessionId,
        append: Append,
        body: BodyReader,
    ) -> Result<Appended, Failure> {
        self.check(session)?;
        self.order.lock().unwrap().push(append.seq);
        if append.folder == "full" {
            return Err(Failure::new(Code::OverQuota, "full"));
        }
        if append.folder == "stall" {
            self.release.notified().await;
        }
        let body = body.collect().await?;
        self.appended.lock().unwrap().insert(append.seq, body);
        Ok(Appended { uidvalidity: UidValidity(1), uid: Uid(append.seq as u32), delta: None })
    }

    async fn deliver(&self, _: &Caller, deliver: Deliver, body: BodyReader) -> Result<Vec<Accepted>, Failure> {
        let body = body.collect().await?;
        self.delivered.lock().unwrap().push(body);
        Ok(deliver.recipients.iter().map(|_| Accepted::Stored).collect())
    }

    async fn settle(&self, _caller: &Caller, settle: Settle) -> Result<(), Failure> {
        self.settled.lock().unwrap().push(settle);
        Ok(())
    }
}
