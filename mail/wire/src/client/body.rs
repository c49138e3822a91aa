//! Calls that bring a body.

use std::sync::Arc;

use bytes::Bytes;
use model::SessionId;
use model::verbs::{Accepted, Append, Appended, Code, Deliver, Failure};
use tokio::sync::{mpsc, oneshot};

use super::calls::unexpected;
use super::lane::{Lane, Ticket, Waiting};
use super::order::Place;
use super::{Attempt, Lost, ShardClient};
use crate::limits::{CALL_LIMIT, PIECE};
use crate::proto::{Call, Outcome, ToPrimary};
use crate::window::SendWindow;

/// The bytes of a message.
#[derive(Debug)]
pub enum Body {
    /// All of them, in pieces of any size: can be sent again.
    Held(Vec<Bytes>),
    /// As they come, in pieces of any size; complete when the sender is dropped after the announced size. Cannot be sent
    /// again: once the first piece was taken, a broken link is `Unavailable`.
    Stream(mpsc::Receiver<Bytes>),
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Held(vec![bytes])
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Held(vec![Bytes::from(bytes)])
    }
}

impl ShardClient {
    /// APPEND; the body has exactly `append.size` bytes.
    pub async fn append(&self, session: SessionId, append: Append, body: Body) -> Result<Appended, Failure> {
        let (size, place) = (append.size, self.shared.appends.enter(session, append.seq));
        match self.upload(Some((session, place)), Call::Append { session, append }, size, body).await? {
            Outcome::Appended(appended) => Ok(appended),
            _ => Err(unexpected()),
        }
    }

    /// Brings mail; the body has exactly `deliver.size` bytes. The answer has the order of the recipients.
    pub async fn deliver(&self, deliver: Deliver, body: Body) -> Result<Vec<Accepted>, Failure> {
        let size = deliver.size;
        match self.upload(None, Call::Deliver(deliver), size, body).await? {
            Outcome::Accepted(accepted) => Ok(accepted),
            _ => Err(unexpected()),
        }
    }

    async fn upload(
        &self,
        ordered: Option<(SessionId, Place)>,
        call: Call,
        size: u64,
        body: Body,
    ) -> Result<Outcome, Failure> {
        let mut attempt = Attempt::default();
        let mut source = Source { body, taken: false };
        loop {
            let link = self.link(&mut attempt).await?;
            if let Some((_, place)) = &ordered {
                place.turn(link.id).await;
            }
            match upload_on(&link.bulk, call.clone(), size, &mut source).await {
                Ok(Ok(outcome)) => return Ok(outcome),
                Ok(Err(failure)) => {
                    let session = ordered.as_ref().map(|(session, _)| *session);
                    if failure.code == Code::NotAttached {
                        again(ordered.as_ref());
                    }
                    self.reattach(&mut attempt, &link, session, failure).await?;
                }
                Err(Lost) => {
                    again(ordered.as_ref());
                    self.lost(&mut attempt)?;
                }
            }
            if source.is_spent() {
                return Err(Failure::unavailable("the link to the shard broke inside the message"));
            }
        }
    }
}

fn again(ordered: Option<&(SessionId, Place)>) {
    if let Some((_, place)) = ordered {
        place.again();
    }
}

/// A body, and whether some of it is gone for good.
struct Source {
    body: Body,
    taken: bool,
}

impl Source {
    fn is_spent(&self) -> bool {
        self.taken && matches!(self.body, Body::Stream(_))
    }

    /// The piece after those of `at` pieces; none at the end.
    async fn piece(&mut self, at: usize) -> Option<Bytes> {
        match &mut self.body {
            Body::Held(pieces) => pieces.get(at).cloned(),
            Body::Stream(pieces) => {
                let piece = pieces.recv().await;
                self.taken |= piece.is_some();
                piece
            }
        }
    }
}

async fn upload_on(
    lane: &Arc<Lane>,
    call: Call,
    size: u64,
    source: &mut Source,
) -> Result<Result<Outcome, Failure>, Lost> {
    let (sender, mut answer) = oneshot::channel();
    let window = SendWindow::new();
    let ticket = match lane.open(Waiting::Reply(sender, Some(window.clone())), true).await {
        Ok(ticket) => ticket,
        Err(opening) => return opening.failed().map(Err),
    };
    if let Err(failure) = ticket.request(call).await? {
        return Ok(Err(failure));
    }
    let sent = tokio::select! {
        biased;
        // The shard need not read a body to refuse it.
        early = &mut answer => return early.map_err(|_| Lost),
        sent = send(&ticket, &window, size, source) => sent?,
    };
    match sent {
        Ok(()) => ticket.wait(answer, CALL_LIMIT).await,
        Err(failure) => Ok(Err(failure)),
    }
}

async fn send(
    ticket: &Ticket,
    window: &SendWindow,
    size: u64,
    source: &mut Source,
) -> Result<Result<(), Failure>, Lost> {
    let (mut total, mut at) = (0, 0);
    while let Some(mut bytes) = source.piece(at).await {
        at += 1;
        total += bytes.len() as u64;
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(PIECE));
            if let Err(failure) = window.take(piece.len()).await {
                // The window also closes with the link; then its answer is what counts.
                return if ticket.lane().is_open() { Ok(Err(failure)) } else { Err(Lost) };
            }
            if let Err(failure) = ticket.lane().send(&ToPrimary::Data { id: ticket.id(), bytes: piece }).await? {
                return Ok(Err(failure));
            }
        }
    }
    if total != size {
        return Ok(Err(Failure::new(Code::Cannot, "the message has another size than was announced")));
    }
    ticket.lane().send(&ToPrimary::BodyEnd { id: ticket.id() }).await
}
