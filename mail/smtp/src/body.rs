//! The octets of a message while it comes in: chunks, a limit, and a share of the memory all connections have.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Octets per chunk, and per permit of the budget.
const CHUNK: usize = 64 << 10;
/// First allocation of a chunk: most mail is small.
const FIRST: usize = 4 << 10;
/// Octets all connections may hold, unless told otherwise.
const DEFAULT_BUDGET: usize = 512 << 20;

/// Memory for messages being received, shared by all connections. Who finds it used up does not wait (everybody else
/// might be waiting too, each with half a message): the message is refused with 452 and comes again.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Semaphore>);

impl Budget {
    /// So many octets, in steps of 64 KiB.
    pub fn new(octets: usize) -> Self {
        Self(Arc::new(Semaphore::new(octets / CHUNK)))
    }

    fn take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).try_acquire_owned().ok()
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(DEFAULT_BUDGET)
    }
}

/// Why content is no longer kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overflow {
    /// More than the largest message.
    Size,
    /// The budget is used up.
    Memory,
}

/// Content as far as it came. After an overflow it takes octets and forgets them.
#[derive(Debug)]
pub(crate) struct Body {
    chunks: Vec<Bytes>,
    tail: BytesMut,
    size: u64,
    limit: u64,
    budget: Budget,
    paid: Option<OwnedSemaphorePermit>,
    overflow: Option<Overflow>,
}

impl Body {
    pub(crate) fn new(limit: u64, budget: Budget) -> Self {
        Self { chunks: Vec::new(), tail: BytesMut::new(), size: 0, limit, budget, paid: None, overflow: None }
    }

    /// How many octets may still come.
    pub(crate) fn room(&self) -> u64 {
        self.limit - self.size
    }

    pub(crate) fn overflow(&self) -> Option<Overflow> {
        self.overflow
    }

    pub(crate) fn push(&mut self, mut bytes: &[u8]) {
        if self.overflow.is_none() && bytes.len() as u64 > self.room() {
            self.give_up(Overflow::Size);
        }
        while self.overflow.is_none() && !bytes.is_empty() {
            if self.tail.is_empty() && !self.begin_chunk() {
                return self.give_up(Overflow::Memory);
            }
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK - self.tail.len()));
            self.tail.extend_from_slice(now);
            self.size += now.len() as u64;
            bytes = later;
            if self.tail.len() == CHUNK {
                self.chunks.push(self.tail.split().freeze());
            }
        }
    }

    fn begin_chunk(&mut self) -> bool {
        let Some(permit) = self.budget.take() else { return false };
        match &mut self.paid {
            Some(paid) => paid.merge(permit),
            None => self.paid = Some(permit),
        }
        self.tail = BytesMut::with_capacity(if self.chunks.is_empty() { FIRST } else { CHUNK });
        true
    }

    fn give_up(&mut self, why: Overflow) {
        self.overflow = Some(why);
        self.chunks = Vec::new();
        self.tail = BytesMut::new();
        self.paid = None;
    }

    /// The chunks, and the permit to be kept as long as they are.
    pub(crate) fn finish(mut self) -> (Vec<Bytes>, Option<OwnedSemaphorePermit>) {
        if !self.tail.is_empty() {
            self.chunks.push(self.tail.freeze());
        }
        (self.chunks, self.paid)
    }
}

#[cfg(test)]
mod tests;
