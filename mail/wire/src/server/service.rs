//! What a primary implements.

use std::net::IpAddr;
use std::sync::Arc;

use model::verbs::{
    Accepted, Answer, Append, Appended, Attach, Attached, Deliver, Failure, Fetch, KeysetReply, Request, Resume, Settle,
};
use model::{Address, Directory, SessionId};

use super::{BodyReader, FetchSender, PushHandle};
use crate::proto::{HelloReply, LinkId, LiveSession};

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// From the certificate: of our own server, and its role's scope allows the call.
    pub peer: tls::Peer,
    /// Over which link; the same for both its sockets.
    pub link: LinkId,
}

/// The primary behind the wire. Scopes are checked before any of these is called.
///
/// Futures of [`Service::fetch`] and [`Service::resume`] are dropped when nobody wants their answer any more; all others
/// run to their end, also when the link is gone.
pub trait Service: Send + Sync + 'static {
    /// Who we are; asked for each socket.
    fn hello(&self, peer: &tls::Peer) -> HelloReply;

    /// The directory to push: at Hello where the secondary has an older one, and when it asks.
    fn directory(&self) -> Option<Arc<Directory>>;

    /// A link is up. `push` reaches it until [`Service::closed`].
    fn opened(&self, caller: &Caller, push: PushHandle);

    /// The link is gone. Sessions attached over it may come back over another within their lease.
    fn closed(&self, caller: &Caller);

    /// All sessions that are logged in over this link; replaces what it reported before, and renews their leases. One that
    /// was attached in the last seconds may be missing, as both may cross.
    fn live(&self, caller: &Caller, sessions: Vec<LiveSession>);

    /// The keyset of an address; without wraps for the role `submission`. With the network of the client that wants to log
    /// in it is an attempt, and may be refused.
    fn keyset(
        &self,
        caller: &Caller,
        address: Address,
        network: Option<IpAddr>,
    ) -> impl Future<Output = Result<KeysetReply, Failure>> + Send;

    /// How an attempt ended.
    fn login_outcome(&self, caller: &Caller, address: Address, network: IpAddr, accepted: bool);

    /// Opens the hand-over, proves the DEK, and attaches the session.
    fn attach(&self, caller: &Caller, attach: Attach) -> impl Future<Output = Result<Attached, Failure>> + Send;

    /// The session is over. One that is not attached is as good.
    fn detach(&self, caller: &Caller, session: SessionId) -> impl Future<Output = Result<(), Failure>> + Send;

    /// A command with a small answer.
    fn request(
        &self,
        caller: &Caller,
        session: SessionId,
        request: Request,
    ) -> impl Future<Output = Result<Answer, Failure>> + Send;

    /// FETCH: events go to `out`; returning ends the stream.
    fn fetch(
        &self,
        caller: &Caller,
        session: SessionId,
        fetch: Fetch,
        out: FetchSender,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// FETCH, continued.
    fn resume(
        &self,
        caller: &Caller,
        session: SessionId,
        resume: Resume,
        out: FetchSender,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// APPEND. Several of one session run at the same time; what happens before the first wait happens in the order in
    /// which the calls came.
    fn append(
        &self,
        caller: &Caller,
        session: SessionId,
        append: Append,
        body: BodyReader,
    ) -> impl Future<Output = Result<Appended, Failure>> + Send;

    /// Mail; the answer has the order of the recipients.
    fn deliver(
        &self,
        caller: &Caller,
        deliver: Deliver,
        body: BodyReader,
    ) -> impl Future<Output = Result<Vec<Accepted>, Failure>> + Send;

    /// The sender knows that its mail was taken.
    fn settle(&self, caller: &Caller, settle: Settle) -> impl Future<Output = Result<(), Failure>> + Send;
}
