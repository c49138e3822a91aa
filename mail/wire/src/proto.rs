//! What travels. MessagePack with field names, one value per binary WebSocket message: [`ToPrimary`] one way,
//! [`ToSecondary`] the other.
//!
//! A link: on each socket the secondary says [`Hello`], the primary answers [`HelloReply`] or refuses. Both sockets carry the
//! same [`LinkId`], the control socket comes first.
//!
//! A call: `Request{id, call}`, then
//! * small: `Reply{id}`;
//! * FETCH: `Event{id}`..., then `End{id}`; the secondary grants `Credit{id}` as it consumes, and may `Cancel{id}`;
//! * APPEND, Deliver: `Data{id}`... and `BodyEnd{id}` by the secondary, `Credit{id}` by the primary, then `Reply{id}`, which
//!   may come early; the rest of the body is then thrown away.
//!
//! Credit counts bytes of `bytes` (Data) or of the whole message (Event). A stream starts with [`crate::limits::WINDOW`]; who
//! has any credit left may send one more piece and so go below zero by it.
//!
//! Both sides accept unknown fields, so a field may be added within a version; a new kind of message needs a new version.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use model::verbs::{
    Accepted, Answer, Append, Appended, Attach, Attached, Deliver, Failure, Fetch, FetchEvent, Hint, KeysetReply,
    Request, Resume, Settle,
};
use model::{Address, BootId, Directory, Generation, MailboxId, SessionId, ShardId, Term};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::scope::Verb;

/// The version spoken here.
pub const VERSION: u32 = 1;
/// The oldest version understood here.
pub const OLDEST: u32 = 1;
/// Where the WebSocket is.
pub const PATH: &str = "/v1/wire";

/// One link of a secondary to a primary, minted for every connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LinkId(pub [u8; 16]);

/// Which socket of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lane {
    /// Small calls and pushes.
    Control,
    /// Calls with a body.
    Bulk,
}

/// The first message of a secondary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// What the secondary speaks.
    pub version: u32,
    /// The oldest that it understands.
    pub oldest: u32,
    /// Which link.
    pub link: LinkId,
    /// Which of its sockets.
    pub lane: Lane,
    /// The directory it has; none at its start.
    pub generation: Option<Generation>,
    /// How many mailboxes in it are keyed: that changes within a generation.
    #[serde(default)]
    pub keyed: u64,
}

/// How many mailboxes of a directory are keyed.
pub(crate) fn keyed(directory: Option<&Directory>) -> u64 {
    directory.map_or(0, |directory| directory.mailboxes.values().filter(|mailbox| mailbox.keyed).count() as u64)
}

/// The first message of a primary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloReply {
    /// What the primary speaks.
    pub version: u32,
    /// Who it is; with `term` and `boot` part of the AAD of every hand-over.
    pub shard: ShardId,
    /// Under which ownership.
    pub term: Term,
    /// Which start of its process.
    pub boot: BootId,
    /// The directory it has; none until an operator has pushed one.
    pub generation: Option<Generation>,
    /// What DEKs are sealed to.
    pub handover: ByteBuf,
}

/// A session that is logged in at a secondary, whether attached or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveSession {
    /// Which session.
    pub session: SessionId,
    /// Whose.
    pub mailbox: MailboxId,
}

/// From a secondary to a primary.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToPrimary {
    /// First.
    Hello(Hello),
    /// Asks something.
    Request {
        /// Unique among the calls in flight on this socket.
        id: u32,
        /// What is asked.
        call: Call,
    },
    /// A piece of the body of call `id`.
    Data {
        /// Which call.
        id: u32,
        /// Never empty.
        bytes: Bytes,
    },
    /// The body of call `id` is complete.
    BodyEnd {
        /// Which call.
        id: u32,
    },
    /// The answer is not wanted any more, or the body will not be completed.
    Cancel {
        /// Which call.
        id: u32,
    },
    /// So many bytes of a stream were consumed.
    Credit {
        /// Which call.
        id: u32,
        /// How many.
        bytes: u32,
    },
    /// Answered by `Pong`.
    Ping,
    /// All live sessions, in several messages where they are many. Sessions about to attach are among them.
    Live {
        /// Some of them.
        sessions: Vec<LiveSession>,
        /// No more follow.
        last: bool,
    },
    /// Answer to a key query: an attach with the query's nonce, or none.
    KeyAnswer {
        /// Which query.
        query: u32,
        /// The key.
        attach: Option<Box<Attach>>,
    },
}

/// From a primary to a secondary.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToSecondary {
    /// First.
    Welcome(HelloReply),
    /// First and last.
    Refused(Failure),
    /// The answer to a call.
    Reply {
        /// Which call.
        id: u32,
        /// What came of it.
        result: Result<Outcome, Failure>,
    },
    /// A step of the answer to a FETCH.
    Event {
        /// Which call.
        id: u32,
        /// What comes next.
        event: FetchEvent,
    },
    /// The end of the answer to a FETCH.
    End {
        /// Which call.
        id: u32,
        /// Complete, or why not.
        result: Result<(), Failure>,
    },
    /// So many bytes of a body were consumed.
    Credit {
        /// Which call.
        id: u32,
        /// How many.
        bytes: u32,
    },
    /// Answer to `Ping`.
    Pong,
    /// Something happened in a mailbox that this link has sessions of.
    Changed {
        /// Which mailbox.
        mailbox: MailboxId,
        /// What.
        hint: Hint,
    },
    /// The directory, where it is newer than the one the secondary has.
    Directory(Arc<Directory>),
    /// The session ends: its slot was revoked or its key dropped for good.
    Revoked {
        /// Which session.
        session: SessionId,
    },
    /// The primary is about to stop; it will be back, here or elsewhere.
    Draining,
    /// Mail came for a mailbox that this secondary reported a live session of.
    KeyQuery {
        /// Names the answer.
        query: u32,
        /// Which mailbox.
        mailbox: MailboxId,
        /// Part of the hand-over's AAD.
        nonce: [u8; 16],
    },
}

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Call {
    /// The keyset of an address, a fake one where it is unknown.
    Keyset {
        /// Who wants to log in.
        address: Address,
        /// From which client network; attempts of an address are counted by it.
        #[serde(default)]
        network: Option<IpAddr>,
    },
    /// How a login ended for which a keyset was given.
    LoginOutcome {
        /// Who wanted to log in.
        address: Address,
        /// From where.
        network: IpAddr,
        /// The secret was right.
        accepted: bool,
    },
    /// Brings a session's key.
    Attach(Attach),
    /// The session is over; its key may go.
    Detach {
        /// Which session.
        session: SessionId,
    },
    /// A command with a small answer.
    Request {
        /// On whose behalf.
        session: SessionId,
        /// The command.
        request: Request,
    },
    /// FETCH.
    Fetch {
        /// On whose behalf.
        session: SessionId,
        /// The command.
        fetch: Fetch,
    },
    /// Goes on in the middle of a large section.
    Resume {
        /// On whose behalf.
        session: SessionId,
        /// Where.
        resume: Resume,
    },
    /// APPEND; the message follows.
    Append {
        /// On whose behalf.
        session: SessionId,
        /// The command.
        append: Append,
    },
    /// Mail; the message follows.
    Deliver(Deliver),
    /// The sender knows that its mail was taken.
    Settle(Settle),
    /// Push the directory, even if nothing changed.
    Directory,
}

impl Call {
    /// What the scope table decides on.
    pub fn verb(&self) -> Verb {
        match self {
            Self::Keyset { .. } => Verb::Keyset,
            Self::LoginOutcome { .. } => Verb::LoginOutcome,
            Self::Attach(_) => Verb::Attach,
            Self::Detach { .. } => Verb::Detach,
            Self::Request { .. } => Verb::Request,
            Self::Fetch { .. } => Verb::Fetch,
            Self::Resume { .. } => Verb::Resume,
            Self::Append { .. } => Verb::Append,
            Self::Deliver(_) => Verb::Deliver,
            Self::Settle(_) => Verb::Settle,
            Self::Directory => Verb::Directory,
        }
    }
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// To [`Call::Keyset`].
    Keyset(KeysetReply),
    /// To [`Call::Attach`].
    Attached(Attached),
    /// To [`Call::Request`].
    Answer(Box<Answer>),
    /// To [`Call::Append`].
    Appended(Appended),
    /// To [`Call::Deliver`], in the order of the recipients.
    Accepted(Vec<Accepted>),
    /// To everything else.
    Done,
}
