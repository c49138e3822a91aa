//! One socket of a link, from Hello to its end.

use std::sync::Arc;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use model::verbs::{Code, Failure};
use tls::{Peer, Role};
use tokio::io::{ReadHalf, WriteHalf};
use tokio_util::sync::CancellationToken;

use super::listen::Shared;
use super::push::PushHandle;
use super::service::{Caller, Service};
use crate::codec::{decode, encode};
use crate::limits::{CONNECT_LIMIT, MAX_REPLY, MAX_REQUEST, MAX_SESSIONS, SILENCE};
use crate::outbox::{Outbox, outbox};
use crate::proto::{self, Hello, Lane, LiveSession, OLDEST, ToPrimary, ToSecondary, VERSION};
use crate::scope::{self, Verb};
use crate::server::calls::Calls;
use crate::socket::{End, MessageReader, MessageWriter};
use crate::{WireError, socket};

type Stream = TokioIo<Upgraded>;

/// A link with its control socket up.
#[derive(Debug)]
pub struct Link {
    caller: Arc<Caller>,
    closed: CancellationToken,
}

/// Says how a socket ended, if that is worth a line.
pub fn log(role: Role, error: &WireError) {
    match error {
        WireError::Closed | WireError::Io(_) | WireError::WebSocket(_) => {
            tracing::debug!(%role, %error, "a link ended");
        }
        _ => tracing::warn!(%role, %error, "a link was closed"),
    }
}

/// Serves one socket until it ends.
pub async fn run<S: Service>(shared: Arc<Shared<S>>, peer: Peer, socket: Upgraded) -> Result<(), WireError> {
    let (mut sink, mut stream) = socket::messages(TokioIo::new(socket), End::Server, MAX_REQUEST);
    let first = shared.stop.run_until_cancelled(stream.next(CONNECT_LIMIT)).await;
    let first = first.unwrap_or(Err(WireError::Closed))?;
    let ToPrimary::Hello(hello) = decode(&first)? else {
        return Err(WireError::Protocol("no Hello"));
    };
    match admit(&shared, peer, &hello) {
        Err(failure) => {
            sink.send(encode(&ToSecondary::Refused(failure.clone()), MAX_REPLY)?).await?;
            Err(WireError::Refused(failure))
        }
        Ok((caller, closed)) => {
            let ended = serve(&shared, &caller, &closed, &hello, sink, stream).await;
            // A link is up only when both of its sockets are.
            closed.cancel();
            if hello.lane == Lane::Control {
                shared.with_links(|links| links.remove(&hello.link));
                shared.service.closed(&caller);
            }
            ended
        }
    }
}

/// Who it is and when its link ends, or why it may not come in.
fn admit<S: Service>(
    shared: &Shared<S>,
    peer: Peer,
    hello: &Hello,
) -> Result<(Arc<Caller>, CancellationToken), Failure> {
    if hello.version < OLDEST || hello.oldest > VERSION {
        let text =
            format!("versions {} to {} are not spoken here, but {OLDEST} to {VERSION}", hello.oldest, hello.version);
        return Err(Failure::new(Code::Cannot, text));
    }
    if scope::verbs(peer.role).is_empty() {
        return Err(Failure::new(Code::NoPerm, format!("the role {} has no business here", peer.role)));
    }
    shared.with_links(|links| match (hello.lane, links.get(&hello.link)) {
        (Lane::Control, None) => {
            let caller = Arc::new(Caller { peer, link: hello.link });
            let closed = shared.stop.child_token();
            links.insert(hello.link, Link { caller: caller.clone(), closed: closed.clone() });
            Ok((caller, closed))
        }
        (Lane::Bulk, Some(link)) if link.caller.peer == peer => Ok((link.caller.clone(), link.closed.clone())),
        (Lane::Control, Some(_)) => Err(Failure::new(Code::AlreadyExists, "there is a link of that id")),
        (Lane::Bulk, _) => Err(Failure::unavailable("there is no link of that id")),
    })
}

async fn serve<S: Service>(
    shared: &Arc<Shared<S>>,
    caller: &Arc<Caller>,
    closed: &CancellationToken,
    hello: &Hello,
    mut sink: MessageWriter<WriteHalf<Stream>>,
    stream: MessageReader<ReadHalf<Stream>>,
) -> Result<(), WireError> {
    let welcome = shared.service.hello(&caller.peer);
    // Before there is a writer, so that nothing overtakes it.
    sink.send(encode(&ToSecondary::Welcome(welcome), MAX_REPLY)?).await?;
    let (outbox, writer) = outbox();
    let stop = closed.clone();
    shared.tasks.spawn(async move {
        if let Err(error) = writer.run(sink, stop.clone()).await {
            tracing::debug!(%error, "a socket cannot be written to");
        }
        stop.cancel();
    });
    let push = (hello.lane == Lane::Control).then(|| {
        let push = PushHandle::new(caller.peer.role, outbox.clone(), closed.clone());
        shared.service.opened(caller, push.clone());
        let has = (hello.generation, hello.keyed);
        let offered = |d: &Arc<model::Directory>| (Some(d.generation), proto::keyed(Some(d)));
        let newer = shared.service.directory().filter(|d| offered(d) != has && offered(d).0 >= has.0);
        if let Some(directory) = newer {
            push.directory(directory);
        }
        push
    });
    let calls = Calls::new(shared.clone(), caller.clone(), outbox.clone(), closed.clone(), hello.lane, push.clone());
    let mut reader = Reader { shared, caller, push, outbox, calls, live: Vec::new() };
    let ended = closed.run_until_cancelled(reader.run(stream)).await;
    reader.calls.close();
    ended.unwrap_or(Ok(()))
}

struct Reader<'a, S> {
    shared: &'a Arc<Shared<S>>,
    caller: &'a Arc<Caller>,
    /// On the control socket.
    push: Option<PushHandle>,
    outbox: Outbox,
    calls: Calls<S>,
    /// What was reported so far of a list in several messages.
    live: Vec<LiveSession>,
}

impl<S: Service> Reader<'_, S> {
    async fn run(&mut self, mut stream: MessageReader<ReadHalf<Stream>>) -> Result<(), WireError> {
        loop {
            let message = stream.next(SILENCE).await?;
            match decode(&message)? {
                ToPrimary::Hello(_) => return Err(WireError::Protocol("a second Hello")),
                ToPrimary::Request { id, call } => self.calls.start(id, call).await?,
                ToPrimary::Data { id, bytes } => self.calls.data(id, bytes)?,
                ToPrimary::BodyEnd { id } => self.calls.body_end(id),
                ToPrimary::Cancel { id } => self.calls.cancel(id),
                ToPrimary::Credit { id, bytes } => self.calls.credit(id, bytes),
                ToPrimary::Ping => self.outbox.pong(encode(&ToSecondary::Pong, MAX_REPLY)?),
                ToPrimary::Live { sessions, last } => self.live(sessions, last)?,
                ToPrimary::KeyAnswer { query, attach } => match &self.push {
                    Some(push) => push.answer(query, attach),
                    None => return Err(WireError::Protocol("a key answer on the bulk socket")),
                },
            }
        }
    }

    fn live(&mut self, sessions: Vec<LiveSession>, last: bool) -> Result<(), WireError> {
        if self.push.is_none() || scope::check(self.caller.peer.role, Verb::Attach).is_err() {
            // Every client reports; most roles always report none.
            return match sessions.as_slice() {
                [] => Ok(()),
                _ => Err(WireError::Protocol("live sessions of a role or socket that has none")),
            };
        }
        if self.live.len() + sessions.len() > MAX_SESSIONS {
            return Err(WireError::Protocol("too many live sessions"));
        }
        self.live.extend(sessions);
        if last {
            self.shared.service.live(self.caller, std::mem::take(&mut self.live));
        }
        Ok(())
    }
}
