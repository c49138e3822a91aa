//! A small real mailbox in memory, and a client that speaks lines with a session over it.
#![allow(dead_code, missing_docs, clippy::missing_panics_doc, clippy::new_without_default)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::similar_names)]

pub mod client;
pub mod fetch;
pub mod search;
pub mod state;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::verbs::{Answer, Append, Appended, Code, Failure, Fetch, FetchEvent, Request};
use sealpost_imap::{Accounts, Body, Ended, LoginError, Mailbox, Notice};
use state::State;
use tokio::sync::{Barrier, mpsc, watch};
use zeroize::Zeroizing;

/// One account, `ann@example.test` with the password `pass`.
#[derive(Clone)]
pub struct Fake {
    pub state: Arc<Mutex<State>>,
    pub hints: watch::Sender<Notice>,
    /// The longest queue of a streamed body, and the most octets of an APPEND seen at once.
    pub largest_piece: Arc<AtomicUsize>,
    /// If set, APPENDs are answered only when so many are there.
    pub gate: Option<Arc<Barrier>>,
    seq: Arc<AtomicU64>,
}

impl Fake {
    pub fn new() -> Self {
        Self {
            state: Arc::new(Mutex::new(State::new())),
            hints: watch::Sender::new(Notice::default()),
            largest_piece: Arc::default(),
            gate: None,
            seq: Arc::default(),
        }
    }

    /// What a live delivery does.
    pub fn deliver(&self, data: &[u8]) {
        let modseq = {
            let mut state = self.state.lock().unwrap();
            state.add("INBOX", data.to_vec().into(), &[], None).unwrap();
            state.modseq
        };
        self.hint(modseq);
    }

    pub fn end(&self, ended: Ended) {
        self.hints.send_modify(|notice| notice.ended = Some(ended));
    }

    fn hint(&self, modseq: u64) {
        self.hints.send_modify(|notice| notice.modseq = Some(model::ModSeq(modseq)));
    }
}

impl Accounts for Fake {
    type Mailbox = Fake;

    async fn login(&self, user: &str, password: Zeroizing<Vec<u8>>, _: SocketAddr) -> Result<Fake, LoginError> {
        match (user, password.as_slice()) {
            ("ann@example.test", b"pass") => Ok(self.clone()),
            ("away@example.test", _) => Err(LoginError::Unavailable),
            ("pop@example.test", _) => Err(LoginError::NotAllowed),
            _ => Err(LoginError::Rejected),
        }
    }
}

impl Mailbox for Fake {
    async fn request(&self, request: Request) -> Result<Answer, Failure> {
        let (answer, before, after) = {
            let mut state = self.state.lock().unwrap();
            let before = state.modseq;
            (state.request(request), before, state.modseq)
        };
        if after > before {
            self.hint(after);
        }
        answer
    }

    fn fetch(&self, fetch: Fetch) -> mpsc::Receiver<Result<FetchEvent, Failure>> {
        let (sender, receiver) = mpsc::channel(2);
        let events = self.state.lock().unwrap().fetch(&fetch);
        tokio::spawn(async move {
            for event in events {
                if sender.send(event).await.is_err() {
                    return;
                }
            }
        });
        receiver
    }

    async fn append(&self, append: Append, body: Body) -> Result<Appended, Failure> {
        let mut data = Vec::new();
        match body {
            Body::Whole(whole) => data.extend_from_slice(&whole),
            Body::Stream(mut pieces) => {
                while let Some(piece) = pieces.recv().await {
                    self.largest_piece.fetch_max(piece.len(), Ordering::Relaxed);
                    data.extend_from_slice(&piece);
                }
            }
        }
        if data.len() as u64 != append.size {
            return Err(Failure::new(Code::None, "The message broke off"));
        }
        if let Some(gate) = &self.gate {
            gate.wait().await;
        }
        let (appended, modseq) = {
            let mut state = self.state.lock().unwrap();
            let flags: Vec<&str> = append.flags.iter().map(String::as_str).collect();
            let date = append.internal_date.map(jiff::Timestamp::as_second);
            let (uidvalidity, uid) = state.add(&append.folder, data.into(), &flags, date)?;
            let delta = append.view.map(|view| state.delta(&view));
            (Appended { uidvalidity, uid, delta }, state.modseq)
        };
        self.hint(modseq);
        Ok(appended)
    }

    fn hints(&self) -> watch::Receiver<Notice> {
        self.hints.subscribe()
    }

    fn next_seq(&self) -> u64 {
        self.seq.fetch_add(1, Ordering::Relaxed)
    }
}

/// No test waits longer for anything.
pub const DEADLINE: Duration = Duration::from_secs(10);
