//! The calls of one socket: admitted, run each in a task of its own, answered.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_util::FutureExt;
use model::verbs::{Code, Failure};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::listen::Shared;
use super::push::PushHandle;
use super::service::{Caller, Service};
use super::streams::{BodyReader, BodyStep, FetchSender, unwritable};
use crate::WireError;
use crate::codec::encode;
use crate::limits::{MAX_CALLS, MAX_REPLY, MAX_STREAMS};
use crate::outbox::Outbox;
use crate::proto::{Call, Lane, Outcome, ToSecondary};
use crate::scope::{self, Verb};
use crate::window::{InboxSender, SendWindow, inbox};

/// What runs on one socket.
pub struct Calls<S> {
    shared: Arc<Shared<S>>,
    caller: Arc<Caller>,
    outbox: Outbox,
    closed: CancellationToken,
    push: Option<PushHandle>,
    streams: Arc<Streams>,
    room: Arc<Semaphore>,
}

#[derive(Default)]
struct Streams(Mutex<HashMap<u32, Stream>>);

/// The reader's grip on a call with a body.
enum Stream {
    Fetch { window: Arc<SendWindow>, stop: CancellationToken },
    Body(InboxSender<BodyStep>),
}

impl<S: Service> Calls<S> {
    pub fn new(
        shared: Arc<Shared<S>>,
        caller: Arc<Caller>,
        outbox: Outbox,
        closed: CancellationToken,
        lane: Lane,
        push: Option<PushHandle>,
    ) -> Self {
        let room = Semaphore::new(2 * if lane == Lane::Control { MAX_CALLS } else { MAX_STREAMS });
        Self { shared, caller, outbox, closed, push, streams: Arc::default(), room: Arc::new(room) }
    }

    /// Admits and starts a call. Waits only to refuse one: a peer over its limits is slowed down.
    pub async fn start(&self, id: u32, call: Call) -> Result<(), WireError> {
        let verb = call.verb();
        let admitted = scope::check(self.caller.peer.role, verb).and_then(|()| {
            let full = |_| Failure::new(Code::Limit, "too many calls in flight on this socket");
            self.room.clone().try_acquire_owned().map_err(full)
        });
        match admitted {
            Ok(permit) => self.run(id, call, permit),
            Err(failure) if matches!(verb, Verb::Fetch | Verb::Resume) => end(&self.outbox, id, Err(failure)).await,
            Err(failure) => reply(&self.outbox, id, Err(failure)).await,
        }
    }

    fn run(&self, id: u32, call: Call, permit: OwnedSemaphorePermit) -> Result<(), WireError> {
        let (service, caller) = (self.shared.service.clone(), self.caller.clone());
        match call {
            Call::Fetch { session, fetch } => {
                self.stream(id, permit, move |out| async move { service.fetch(&caller, session, fetch, out).await })
            }
            Call::Resume { session, resume } => {
                self.stream(id, permit, move |out| async move { service.resume(&caller, session, resume, out).await })
            }
            Call::Append { session, append } => self.upload(id, permit, append.size, move |body| async move {
                service.append(&caller, session, append, body).await.map(Outcome::Appended)
            }),
            Call::Deliver(deliver) => self.upload(id, permit, deliver.size, move |body| async move {
                service.deliver(&caller, deliver, body).await.map(Outcome::Accepted)
            }),
            small => {
                let (outbox, push) = (self.outbox.clone(), self.push.clone());
                self.shared.tasks.spawn(async move {
                    let result = guarded(answer(&*service, &caller, small, push)).await;
                    drop(permit);
                    sent(reply(&outbox, id, result).await);
                });
                Ok(())
            }
        }
    }

    fn stream<F, Fut>(&self, id: u32, permit: OwnedSemaphorePermit, work: F) -> Result<(), WireError>
    where
        F: FnOnce(FetchSender) -> Fut,
        Fut: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let (window, stop) = (SendWindow::new(), self.closed.child_token());
        self.streams.insert(id, Stream::Fetch { window: window.clone(), stop: stop.clone() })?;
        let work = work(FetchSender::new(id, self.outbox.clone(), window));
        let (streams, outbox) = (self.streams.clone(), self.outbox.clone());
        self.shared.tasks.spawn(async move {
            let result = stop.run_until_cancelled(guarded(work)).await;
            streams.remove(id);
            drop(permit);
            if let Some(result) = result {
                sent(end(&outbox, id, result).await);
            }
        });
        Ok(())
    }

    fn upload<F, Fut>(&self, id: u32, permit: OwnedSemaphorePermit, size: u64, work: F) -> Result<(), WireError>
    where
        F: FnOnce(BodyReader) -> Fut,
        Fut: Future<Output = Result<Outcome, Failure>> + Send + 'static,
    {
        let (sender, receiver) = inbox();
        self.streams.insert(id, Stream::Body(sender))?;
        let work = work(BodyReader::new(id, self.outbox.clone(), receiver, size));
        let (streams, outbox) = (self.streams.clone(), self.outbox.clone());
        let mut work = Box::pin(guarded(work));
        // Begun here, not whenever the task gets its turn: a service sees bodies in the order of their calls.
        let begun = work.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        self.shared.tasks.spawn(async move {
            let result = match begun {
                Poll::Ready(result) => result,
                Poll::Pending => work.await,
            };
            // What still comes of the body is thrown away from here on.
            streams.remove(id);
            drop(permit);
            sent(reply(&outbox, id, result).await);
        });
        Ok(())
    }

    /// A piece of a body. One for a call that has its answer already is dropped.
    pub fn data(&self, id: u32, bytes: Bytes) -> Result<(), WireError> {
        let size = bytes.len();
        if size == 0 {
            return Err(WireError::Protocol("an empty piece of a body"));
        }
        match self.streams.lock().get(&id) {
            Some(Stream::Body(body)) if !body.push(BodyStep::Data(bytes), size) => {
                Err(WireError::Protocol("a body without credit"))
            }
            _ => Ok(()),
        }
    }

    /// The body is complete: nothing more may come for it.
    pub fn body_end(&self, id: u32) {
        self.finish(id, BodyStep::End);
    }

    /// The answer is not wanted, or the body will not be completed.
    pub fn cancel(&self, id: u32) {
        self.finish(id, BodyStep::Cancelled);
    }

    fn finish(&self, id: u32, step: BodyStep) {
        let mut streams = self.streams.lock();
        match streams.get(&id) {
            Some(Stream::Body(body)) => {
                body.end(step);
                // With the sender gone no second end can follow.
                streams.remove(&id);
            }
            Some(Stream::Fetch { stop, .. }) if matches!(step, BodyStep::Cancelled) => stop.cancel(),
            _ => {}
        }
    }

    /// The reader of a FETCH consumed so much.
    pub fn credit(&self, id: u32, bytes: u32) {
        if let Some(Stream::Fetch { window, .. }) = self.streams.lock().get(&id) {
            window.grant(bytes);
        }
    }

    /// The socket is gone: bodies that are not complete never will be.
    pub fn close(&self) {
        self.streams.lock().clear();
    }
}

impl Streams {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Stream>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn insert(&self, id: u32, stream: Stream) -> Result<(), WireError> {
        match self.lock().insert(id, stream) {
            None => Ok(()),
            Some(_) => Err(WireError::Protocol("two calls of the same id")),
        }
    }

    fn remove(&self, id: u32) {
        self.lock().remove(&id);
    }
}

async fn answer<S: Service>(
    service: &S,
    caller: &Caller,
    call: Call,
    push: Option<PushHandle>,
) -> Result<Outcome, Failure> {
    match call {
        Call::Keyset { address, network } => service.keyset(caller, address, network).await.map(Outcome::Keyset),
        Call::LoginOutcome { address, network, accepted } => {
            service.login_outcome(caller, address, network, accepted);
            Ok(Outcome::Done)
        }
        Call::Attach(attach) => service.attach(caller, attach).await.map(Outcome::Attached),
        Call::Detach { session } => service.detach(caller, session).await.map(|()| Outcome::Done),
        Call::Request { session, request } => {
            service.request(caller, session, request).await.map(|answer| Outcome::Answer(Box::new(answer)))
        }
        Call::Settle(settle) => service.settle(caller, settle).await.map(|()| Outcome::Done),
        Call::Directory => {
            // Pushes overtake answers, so it is there when the answer is.
            let (Some(push), Some(directory)) = (push, service.directory()) else { return Ok(Outcome::Done) };
            push.directory(directory);
            Ok(Outcome::Done)
        }
        Call::Fetch { .. } | Call::Resume { .. } | Call::Append { .. } | Call::Deliver(_) => {
            Err(Failure::new(Code::ServerBug, "a stream was taken for a small call"))
        }
    }
}

/// A call that panics answers like any other bug, instead of leaving its caller waiting.
async fn guarded<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let caught = AssertUnwindSafe(work).catch_unwind().await;
    caught.unwrap_or_else(|_| Err(Failure::new(Code::ServerBug, "the shard failed at this request")))
}

async fn reply(outbox: &Outbox, id: u32, result: Result<Outcome, Failure>) -> Result<(), WireError> {
    let message = match encode(&ToSecondary::Reply { id, result }, MAX_REPLY) {
        Ok(message) => message,
        Err(error) => encode(&ToSecondary::Reply { id, result: Err(unwritable(&error)) }, MAX_REPLY)?,
    };
    outbox.send(message).await
}

async fn end(outbox: &Outbox, id: u32, result: Result<(), Failure>) -> Result<(), WireError> {
    outbox.send(encode(&ToSecondary::End { id, result }, MAX_REPLY)?).await
}

/// A link that broke meanwhile is logged by its reader.
fn sent(result: Result<(), WireError>) {
    match result {
        Ok(()) | Err(WireError::Closed) => {}
        Err(error) => tracing::error!(%error, "an answer cannot be written"),
    }
}
