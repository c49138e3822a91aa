//! Streams as a service sees them.

use std::sync::Arc;

use bytes::Bytes;
use model::verbs::{Code, Failure, FetchEvent};
use tokio::time::Instant;
use tokio::time::error::Elapsed;

use crate::WireError;
use crate::codec::encode;
use crate::limits::{MAX_REPLY, PACE, PACE_SPAN, PIECE};
use crate::outbox::Outbox;
use crate::proto::ToSecondary;
use crate::window::{Inbox, SendWindow};

/// Takes the answer to a FETCH, as fast as its reader does.
#[derive(Debug)]
pub struct FetchSender {
    id: u32,
    outbox: Outbox,
    window: Arc<SendWindow>,
}

impl FetchSender {
    pub(super) fn new(id: u32, outbox: Outbox, window: Arc<SendWindow>) -> Self {
        Self { id, outbox, window }
    }

    /// Sends one event, waiting for credit. Data is cut into pieces where it is large. An error means that nobody listens
    /// any more: return it.
    pub async fn send(&mut self, event: FetchEvent) -> Result<(), Failure> {
        match event {
            FetchEvent::Data(mut bytes) => {
                while !bytes.is_empty() {
                    let piece = bytes.split_to(bytes.len().min(PIECE));
                    self.send_one(FetchEvent::Data(piece)).await?;
                }
                Ok(())
            }
            other => self.send_one(other).await,
        }
    }

    async fn send_one(&self, event: FetchEvent) -> Result<(), Failure> {
        let message =
            encode(&ToSecondary::Event { id: self.id, event }, MAX_REPLY).map_err(|error| unwritable(&error))?;
        self.window.take(message.len()).await?;
        self.outbox.send(message).await.map_err(|_| Failure::unavailable("the link is gone"))
    }
}

/// An answer that does not fit says so; one that cannot be written at all is our fault.
pub(super) fn unwritable(error: &WireError) -> Failure {
    match error {
        WireError::TooBig { .. } => Failure::new(Code::Limit, "the answer is too large: ask for less at a time"),
        _ => Failure::new(Code::ServerBug, "the answer cannot be written"),
    }
}

/// A step of a body.
#[derive(Debug)]
pub(super) enum BodyStep {
    Data(Bytes),
    End,
    Cancelled,
}

/// The body of an APPEND or of mail, as it comes. Exactly `size` bytes, or an error.
#[derive(Debug)]
pub struct BodyReader {
    id: u32,
    outbox: Outbox,
    inbox: Inbox<BodyStep>,
    size: u64,
    received: u64,
    over: bool,
    /// When, and at how many octets, the span in which there must be progress began.
    paced: (Instant, u64),
}

impl BodyReader {
    pub(super) fn new(id: u32, outbox: Outbox, inbox: Inbox<BodyStep>, size: u64) -> Self {
        Self { id, outbox, inbox, size, received: 0, over: false, paced: (Instant::now(), 0) }
    }

    /// How many bytes were announced.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The next piece; none once all announced bytes were given. After an error the message must not be stored.
    pub async fn next(&mut self) -> Option<Result<Bytes, Failure>> {
        if self.over {
            return None;
        }
        let step = self.step().await;
        self.over = !matches!(step, Some(Ok(_)));
        step
    }

    /// All of it.
    pub async fn collect(mut self) -> Result<Vec<u8>, Failure> {
        // The size is the peer's word: memory follows the bytes that come.
        let mut body = Vec::with_capacity(usize::try_from(self.size).unwrap_or(PIECE).min(crate::limits::MAX_REQUEST));
        while let Some(piece) = self.next().await {
            body.extend_from_slice(&piece?);
        }
        Ok(body)
    }

    async fn step(&mut self) -> Option<Result<Bytes, Failure>> {
        let Ok(next) = self.next_in_pace().await else {
            return Some(Err(Failure::unavailable("the message comes too slowly")));
        };
        let Some((step, grant)) = next else {
            return Some(Err(Failure::unavailable("the link broke inside the message")));
        };
        if let Some(bytes) = grant {
            self.grant(bytes);
        }
        match step {
            BodyStep::Data(bytes) => {
                self.received += bytes.len() as u64;
                (self.received > self.size).then(wrong_size).map(Err).or(Some(Ok(bytes)))
            }
            BodyStep::End if self.received == self.size => None,
            BodyStep::End => Some(Err(wrong_size())),
            BodyStep::Cancelled => Some(Err(Failure::unavailable("the message was cut off by its sender"))),
        }
    }

    /// An error where too little came in a whole span.
    async fn next_in_pace(&mut self) -> Result<Option<(BodyStep, Option<u32>)>, Elapsed> {
        loop {
            match tokio::time::timeout_at(self.paced.0 + PACE_SPAN, self.inbox.next()).await {
                Err(_) if self.received >= self.paced.1 + PACE => self.paced = (Instant::now(), self.received),
                other => return other,
            }
        }
    }

    fn grant(&self, bytes: u32) {
        match encode(&ToSecondary::Credit { id: self.id, bytes }, MAX_REPLY) {
            Ok(message) => self.outbox.urgent(message),
            Err(error) => tracing::error!(%error, "credit cannot be written"),
        }
    }
}

fn wrong_size() -> Failure {
    Failure::new(Code::Cannot, "the message has another size than was announced")
}
