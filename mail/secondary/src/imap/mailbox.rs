//! A logged-in mailbox, over the wire.

use ::imap::{Body, Notice};
use model::verbs::{Answer, Append, Appended, Failure, Fetch, FetchEvent, Request};
use tokio::sync::{mpsc, watch};

use super::fetching;
use super::live::Live;

/// One login's mailbox.
pub struct RemoteMailbox {
    live: Live,
}

impl RemoteMailbox {
    /// The mailbox behind a session.
    pub fn new(live: Live) -> Self {
        Self { live }
    }

    fn noticed<T>(&self, result: Result<T, Failure>) -> Result<T, Failure> {
        if let Err(failure) = &result {
            self.live.noticed(failure);
        }
        result
    }
}

impl ::imap::Mailbox for RemoteMailbox {
    async fn request(&self, request: Request) -> Result<Answer, Failure> {
        self.noticed(self.live.shard().request(self.live.session(), request).await)
    }

    fn fetch(&self, fetch: Fetch) -> mpsc::Receiver<Result<FetchEvent, Failure>> {
        fetching::start(self.live.clone(), fetch)
    }

    async fn append(&self, append: Append, body: Body) -> Result<Appended, Failure> {
        let body = match body {
            Body::Whole(bytes) => wire::Body::from(bytes),
            Body::Stream(pieces) => wire::Body::Stream(pieces),
        };
        let appending = self.live.shard().append(self.live.session(), append, body);
        // Without tokio's budget: its first poll puts the command into the queue, and a poll that only yields would let a
        // later APPEND overtake this one.
        self.noticed(tokio::task::unconstrained(appending).await)
    }

    fn hints(&self) -> watch::Receiver<Notice> {
        self.live.notices()
    }

    fn next_seq(&self) -> u64 {
        self.live.next_seq()
    }
}
