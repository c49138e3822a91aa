//! One socket of a link as its callers see it: what waits for an answer, and by which id.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::verbs::{Code, Failure, FetchEvent};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::Lost;
use crate::WireError;
use crate::codec::encode;
use crate::limits::{MAX_REQUEST, PATIENCE};
use crate::outbox::Outbox;
use crate::proto::{Call, Outcome, ToPrimary};
use crate::window::{InboxSender, SendWindow};

/// One socket.
#[derive(Debug)]
pub struct Lane {
    outbox: Outbox,
    /// None once the socket is gone.
    waiting: Mutex<Option<HashMap<u32, Waiting>>>,
    room: Arc<Semaphore>,
    next: AtomicU32,
}

/// Who waits for what.
#[derive(Debug)]
pub enum Waiting {
    /// One answer; with the window of the body that is being sent, if there is one.
    Reply(oneshot::Sender<Result<Outcome, Failure>>, Option<Arc<SendWindow>>),
    /// A stream.
    Fetch(InboxSender<FetchStep>),
}

/// A step of the answer to a FETCH.
#[derive(Debug)]
pub enum FetchStep {
    /// The next event.
    Event(FetchEvent),
    /// No more.
    End(Result<(), Failure>),
}

/// A call in flight. Dropped before its end, it is cancelled.
#[derive(Debug)]
pub struct Ticket {
    lane: Arc<Lane>,
    id: u32,
    cancel: bool,
    _permit: OwnedSemaphorePermit,
}

impl Lane {
    /// A socket that takes so many calls at a time.
    pub fn new(outbox: Outbox, room: usize) -> Arc<Self> {
        Arc::new(Self {
            outbox,
            waiting: Mutex::new(Some(HashMap::new())),
            room: Arc::new(Semaphore::new(room)),
            next: AtomicU32::new(0),
        })
    }

    /// Registers a call, waiting for room. `cancel`: the primary is told when nobody wants the answer any more.
    pub async fn open(self: &Arc<Self>, waiting: Waiting, cancel: bool) -> Result<Ticket, Opening> {
        let room = tokio::time::timeout(PATIENCE, self.room.clone().acquire_owned()).await;
        let permit = room.map_err(|_| Opening::Full)?.map_err(|_| Opening::Lost)?;
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.lock().as_mut().ok_or(Opening::Lost)?.insert(id, waiting);
        Ok(Ticket { lane: self.clone(), id, cancel, _permit: permit })
    }

    /// Asks a small call.
    pub async fn ask(self: &Arc<Self>, call: Call, limit: Duration) -> Result<Result<Outcome, Failure>, Lost> {
        let (sender, answer) = oneshot::channel();
        let ticket = match self.open(Waiting::Reply(sender, None), false).await {
            Ok(ticket) => ticket,
            Err(opening) => return opening.failed().map(Err),
        };
        if let Err(failure) = ticket.request(call).await? {
            return Ok(Err(failure));
        }
        ticket.wait(answer, limit).await
    }

    /// Gives an answer to who waits for it. One that nobody waits for any more is dropped.
    pub fn reply(&self, id: u32, result: Result<Outcome, Failure>) -> Result<(), WireError> {
        match self.lock().as_mut().and_then(|waiting| waiting.remove(&id)) {
            Some(Waiting::Reply(sender, _)) => drop(sender.send(result)),
            Some(Waiting::Fetch(_)) => return Err(WireError::Protocol("a small answer to a FETCH")),
            None => {}
        }
        Ok(())
    }

    /// Gives an event of `size` bytes to its FETCH.
    pub fn event(&self, id: u32, event: FetchEvent, size: usize) -> Result<(), WireError> {
        match self.lock().as_ref().and_then(|waiting| waiting.get(&id)) {
            Some(Waiting::Fetch(inbox)) if !inbox.push(FetchStep::Event(event), size) => {
                Err(WireError::Protocol("events without credit"))
            }
            Some(Waiting::Reply(..)) => Err(WireError::Protocol("an event for a small call")),
            _ => Ok(()),
        }
    }

    /// Ends a FETCH.
    pub fn end(&self, id: u32, result: Result<(), Failure>) {
        if let Some(Waiting::Fetch(inbox)) = self.lock().as_mut().and_then(|waiting| waiting.remove(&id)) {
            inbox.end(FetchStep::End(result));
        }
    }

    /// The primary consumed so much of a body.
    pub fn credit(&self, id: u32, bytes: u32) {
        if let Some(Waiting::Reply(_, Some(window))) = self.lock().as_ref().and_then(|waiting| waiting.get(&id)) {
            window.grant(bytes);
        }
    }

    /// The socket is gone: everybody who waits learns it.
    pub fn close(&self) {
        self.room.close();
        for waiting in self.lock().take().into_iter().flat_map(HashMap::into_values) {
            if let Waiting::Reply(_, Some(window)) = waiting {
                window.close();
            }
        }
    }

    /// False once the socket is gone.
    pub fn is_open(&self) -> bool {
        self.lock().is_some()
    }

    /// Sends what never waits.
    pub fn urgent(&self, message: &ToPrimary) {
        match encode(message, MAX_REQUEST) {
            Ok(message) => self.outbox.urgent(message),
            Err(error) => tracing::error!(%error, "a message cannot be written"),
        }
    }

    /// Sends one message after those that wait already.
    pub async fn send(&self, message: &ToPrimary) -> Result<Result<(), Failure>, Lost> {
        match encode(message, MAX_REQUEST) {
            Ok(message) => self.outbox.send(message).await.map(Ok).map_err(|_| Lost),
            Err(WireError::TooBig { .. }) => Ok(Err(Failure::new(Code::Limit, "the command is too large"))),
            Err(_) => Ok(Err(Failure::new(Code::ServerBug, "the command cannot be written"))),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<HashMap<u32, Waiting>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a call was not even registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// The socket is gone.
    Lost,
    /// No room for too long.
    Full,
}

impl Opening {
    /// The failure to show, or that the link is lost.
    pub fn failed(self) -> Result<Failure, Lost> {
        match self {
            Self::Lost => Err(Lost),
            Self::Full => Ok(Failure::unavailable("too many calls are in flight to this shard")),
        }
    }
}

impl Ticket {
    /// The call's id.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The socket it is on.
    pub fn lane(&self) -> &Lane {
        &self.lane
    }

    /// Sends the call itself.
    pub async fn request(&self, call: Call) -> Result<Result<(), Failure>, Lost> {
        self.lane.send(&ToPrimary::Request { id: self.id, call }).await
    }

    /// Waits for the answer.
    pub async fn wait(
        &self,
        answer: oneshot::Receiver<Result<Outcome, Failure>>,
        limit: Duration,
    ) -> Result<Result<Outcome, Failure>, Lost> {
        match tokio::time::timeout(limit, answer).await {
            Ok(answered) => answered.map_err(|_| Lost),
            Err(_) => Ok(Err(Failure::unavailable("the shard did not answer in time"))),
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let unfinished = self.lane.lock().as_mut().and_then(|waiting| waiting.remove(&self.id)).is_some();
        if unfinished && self.cancel {
            self.lane.urgent(&ToPrimary::Cancel { id: self.id });
        }
    }
}
