//! What the front end asks of the rest of the system.

use std::future::Future;
use std::net::SocketAddr;

use bytes::Bytes;
use model::ModSeq;
use model::verbs::{Answer, Append, Appended, Failure, Fetch, FetchEvent, Request};
use tokio::sync::{mpsc, watch};
use zeroize::Zeroizing;

/// Turns a name and a password into an open mailbox. Cheap to clone; shared by all connections.
pub trait Accounts: Clone + Send + Sync + 'static {
    /// What a login opens.
    type Mailbox: Mailbox;

    /// Logs in by full address. Limits and the delay after a failure are the implementor's policy. `user` is as the
    /// client sent it, not checked to be an address.
    fn login(
        &self,
        user: &str,
        password: Zeroizing<Vec<u8>>,
        peer: SocketAddr,
    ) -> impl Future<Output = Result<Self::Mailbox, LoginError>> + Send;
}

/// Why nobody was logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// Unknown user or wrong password, on the word of the shard that owns the mailbox.
    #[error("authentication failed")]
    Rejected,
    /// It cannot be known now.
    #[error("temporarily unable to log in")]
    Unavailable,
    /// Too many attempts or connections.
    #[error("too many logins")]
    Limited,
    /// The password is right, but IMAP is not allowed.
    #[error("IMAP is not allowed for this account")]
    NotAllowed,
}

/// One login's mailbox. Dropping it ends the session behind it.
pub trait Mailbox: Send + Sync + 'static {
    /// One round trip. Waits out restarts of the owner itself and answers [`model::verbs::Code::Unavailable`] only when
    /// its patience (20 s) is over.
    fn request(&self, request: Request) -> impl Future<Output = Result<Answer, Failure>> + Send;

    /// A stream that ends after the last event or the first failure. The implementor resumes broken streams; a failure
    /// inside a large section therefore ends the connection. Dropping the receiver cancels.
    fn fetch(&self, fetch: Fetch) -> mpsc::Receiver<Result<FetchEvent, Failure>>;

    /// Adds a message of exactly `append.size` octets. Several may run at once; they are to be placed in the order of
    /// their `seq`.
    fn append(&self, append: Append, body: Body) -> impl Future<Output = Result<Appended, Failure>> + Send;

    /// What others did and whether the session has to end. Marked as changed with each hint.
    fn hints(&self) -> watch::Receiver<Notice>;

    /// The next number of this session, for requests that must not be repeated.
    fn next_seq(&self) -> u64;
}

/// The octets of an APPEND.
#[derive(Debug)]
pub enum Body {
    /// All of them; at most 1 MiB.
    Whole(Bytes),
    /// They arrive in pieces. If the channel closes before all have come, the client gave up: nothing may be stored.
    Stream(mpsc::Receiver<Bytes>),
}

/// The last thing a session was told from outside. Hints coalesce and may be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Notice {
    /// The mailbox's modseq, if known: a session that knows it already need not sync. `None` = sync anyway.
    pub modseq: Option<ModSeq>,
    /// The session has to end.
    pub ended: Option<Ended>,
}

/// Why a session has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Its password was changed or revoked, or the mailbox was suspended or removed.
    Revoked,
    /// The mailbox cannot be reached any more, or this server is going away.
    Unavailable,
}
