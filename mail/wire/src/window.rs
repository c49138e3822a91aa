//! Credit: both ends of a stream's flow control.
//!
//! The sender holds a [`SendWindow`] and waits while it has no credit. The receiver holds an inbox that never makes the
//! socket's reader wait: what may be under way is bounded by the window, and a peer that sends more breaks the protocol.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use model::verbs::Failure;
use tokio::sync::{Notify, mpsc};

use crate::limits::{READER_STALL, WINDOW};

/// What a stream may still send.
#[derive(Debug)]
pub struct SendWindow {
    /// Bytes; none once the stream is over.
    credit: Mutex<Option<i64>>,
    granted: Notify,
}

impl SendWindow {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { credit: Mutex::new(Some(WINDOW as i64)), granted: Notify::new() })
    }

    /// The peer consumed so many bytes.
    pub fn grant(&self, bytes: u32) {
        if let Some(credit) = self.credit.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            // Never above the start: a peer cannot talk us into an endless buffer.
            *credit = (*credit + i64::from(bytes)).min(WINDOW as i64);
        }
        self.granted.notify_one();
    }

    /// The stream is over: who waits, fails.
    pub fn close(&self) {
        *self.credit.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.granted.notify_one();
    }

    /// Waits until there is any credit, and takes so many bytes of it.
    pub async fn take(&self, bytes: usize) -> Result<(), Failure> {
        loop {
            let granted = self.granted.notified();
            match self.credit.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
                None => return Err(Failure::unavailable("the stream was ended by the other side")),
                Some(credit) if *credit > 0 => {
                    *credit -= bytes as i64;
                    return Ok(());
                }
                Some(_) => {}
            }
            let waited = tokio::time::timeout(READER_STALL, granted).await;
            waited.map_err(|_| Failure::unavailable("the reader of a stream takes nothing"))?;
        }
    }
}

/// The reader's side of a socket puts pieces in here.
#[derive(Debug)]
pub struct InboxSender<T> {
    pieces: mpsc::UnboundedSender<(T, usize)>,
    under_way: Arc<AtomicI64>,
}

/// The consumer takes them out here.
#[derive(Debug)]
pub struct Inbox<T> {
    pieces: mpsc::UnboundedReceiver<(T, usize)>,
    under_way: Arc<AtomicI64>,
    /// Consumed and not yet granted again.
    consumed: usize,
}

/// An inbox bounded by [`WINDOW`] plus one piece.
pub fn inbox<T>() -> (InboxSender<T>, Inbox<T>) {
    let (sender, pieces) = mpsc::unbounded_channel();
    let under_way = Arc::new(AtomicI64::new(0));
    (InboxSender { pieces: sender, under_way: under_way.clone() }, Inbox { pieces, under_way, consumed: 0 })
}

impl<T> InboxSender<T> {
    /// False where the peer sent without credit. A piece for a consumer that is gone is dropped.
    #[must_use]
    pub fn push(&self, piece: T, size: usize) -> bool {
        if self.under_way.fetch_add(size as i64, Ordering::Relaxed) >= WINDOW as i64 {
            return false;
        }
        let _ = self.pieces.send((piece, size));
        true
    }

    /// The last piece, which has no size and needs no credit.
    pub fn end(&self, piece: T) {
        let _ = self.pieces.send((piece, 0));
    }
}

impl<T> Inbox<T> {
    /// The next piece, and what credit to grant the sender now, in bytes; none when no more can come.
    pub async fn next(&mut self) -> Option<(T, Option<u32>)> {
        let (piece, size) = self.pieces.recv().await?;
        self.consumed += size;
        // Granting in quarters keeps the sender going and costs a small message per 128 KiB.
        if self.consumed < WINDOW / 4 {
            return Some((piece, None));
        }
        let grant = std::mem::take(&mut self.consumed);
        self.under_way.fetch_sub(grant as i64, Ordering::Relaxed);
        Some((piece, Some(grant as u32)))
    }
}

#[cfg(test)]
mod tests {
    use super::{SendWindow, inbox};
    use crate::limits::{PIECE, WINDOW};

    #[tokio::test]
    async fn a_sender_stops_without_credit_and_goes_on_with_it() {
        let window = SendWindow::new();
        for _ in 0..WINDOW / PIECE {
            window.take(PIECE).await.unwrap();
        }
        let waiting = tokio::spawn({
            let window = window.clone();
            async move { window.take(PIECE).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        window.grant(1);
        waiting.await.unwrap().unwrap();
        window.close();
        assert!(window.take(1).await.is_err());
    }

    #[tokio::test]
    async fn a_peer_that_ignores_credit_is_noticed() {
        let (sender, mut receiver) = inbox();
        for n in 0..WINDOW / PIECE {
            assert!(sender.push(n, PIECE));
        }
        assert!(!sender.push(99, PIECE));
        let (first, grant) = receiver.next().await.unwrap();
        assert_eq!((first, grant), (0, Some(PIECE as u32)));
    }

    #[tokio::test]
    async fn an_end_fits_into_a_full_inbox() {
        let (sender, mut receiver) = inbox();
        assert!(sender.push("all", 2 * WINDOW));
        sender.end("end");
        drop(sender);
        assert_eq!(receiver.next().await.unwrap().0, "all");
        assert_eq!(receiver.next().await.unwrap().0, "end");
        assert!(receiver.next().await.is_none());
    }

    #[tokio::test]
    async fn every_grant_adds_up_to_what_was_consumed() {
        let (sender, mut receiver) = inbox();
        let window = SendWindow::new();
        let mut granted = 0;
        for _ in 0..1000 {
            window.take(30_000).await.unwrap();
            assert!(sender.push((), 30_000));
            if let Some(grant) = receiver.next().await.unwrap().1 {
                window.grant(grant);
                granted += u64::from(grant);
            }
        }
        assert!(granted <= 1000 * 30_000 && granted + WINDOW as u64 / 4 > 1000 * 30_000);
    }
}
