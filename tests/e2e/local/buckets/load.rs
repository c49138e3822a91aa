//! Mail that comes without pause, at a steady rate, and what was said of it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use sidecar::format::Sha256;

use super::address;
use crate::harness::smtp;

/// A message that was acknowledged, or may have been.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    pub hash: Sha256,
    pub begun: Timestamp,
    /// None where the connection ended before the answer.
    pub acknowledged: Option<Timestamp>,
}

/// What was sent to each mailbox, in the order in which it was sent.
pub struct Load {
    sent: Vec<Mutex<Vec<Sent>>>,
    count: AtomicUsize,
    over: AtomicBool,
    ended: (Mutex<bool>, Condvar),
}

impl Load {
    /// For so many mailboxes.
    pub fn new(mailboxes: usize) -> Self {
        Self {
            sent: (0..mailboxes).map(|_| Mutex::default()).collect(),
            count: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            ended: (Mutex::new(false), Condvar::new()),
        }
    }

    /// Sends from `senders` connections, `rate` messages a second in all, until it is over or the server is gone. Each
    /// mailbox gets its mail one by one.
    pub fn run(&self, mx: SocketAddr, senders: usize, rate: usize, message: impl Fn(usize) -> Vec<u8> + Sync) {
        let pause = Duration::from_secs(1) * u32::try_from(senders).unwrap() / u32::try_from(rate).unwrap();
        std::thread::scope(|threads| {
            for sender in 0..senders {
                let message = &message;
                threads.spawn(move || {
                    let mut smtp = smtp::Client::connect(mx);
                    let mut due = Instant::now();
                    let mine: Vec<usize> = (sender..self.sent.len()).step_by(senders).collect();
                    for &mailbox in mine.iter().cycle() {
                        if self.is_over_within(due.saturating_duration_since(Instant::now())) {
                            return;
                        }
                        // One that is late is not made up for by a burst.
                        due = (due + pause).max(Instant::now());
                        let number = self.count.fetch_add(1, Relaxed);
                        if !self.send(&mut smtp, mailbox, &message(number)) {
                            return;
                        }
                    }
                });
            }
        });
    }

    fn send(&self, smtp: &mut smtp::Client, mailbox: usize, message: &[u8]) -> bool {
        let begun = Timestamp::now();
        let reply = smtp.try_deliver("a@elsewhere.example", &[&address(mailbox)], message);
        let accepted = reply.as_ref().is_some_and(|reply| reply.starts_with("250"));
        assert!(accepted || reply.as_ref().is_none_or(|reply| reply.starts_with('4')), "{reply:?}");
        let acknowledged = accepted.then(Timestamp::now);
        self.sent[mailbox].lock().unwrap().push(Sent { hash: Sha256::of(message), begun, acknowledged });
        reply.is_some()
    }

    /// Messages so far.
    pub fn count(&self) -> usize {
        self.count.load(Relaxed)
    }

    /// It is enough.
    pub fn end(&self) {
        self.over.store(true, Relaxed);
        *self.ended.0.lock().unwrap() = true;
        self.ended.1.notify_all();
    }

    /// Waits; true where it was over before the time.
    fn is_over_within(&self, time: Duration) -> bool {
        let guard = self.ended.0.lock().unwrap();
        let (guard, _) = self.ended.1.wait_timeout_while(guard, time, |over| !*over).unwrap();
        *guard || self.over.load(Relaxed)
    }

    /// What was sent to a mailbox so far.
    pub fn sent(&self, mailbox: usize) -> Vec<Sent> {
        self.sent[mailbox].lock().unwrap().clone()
    }
}

/// Hashes of what came out, without the trace headers that we put before it.
pub fn hashes(bodies: &[Vec<u8>]) -> HashMap<Sha256, usize> {
    let mut hashes = HashMap::new();
    for body in bodies {
        *hashes.entry(Sha256::of(&crate::corpus::without_trace(body))).or_default() += 1;
    }
    hashes
}

/// A message of its own, some 2 KB.
pub fn numbered(round: usize, number: usize) -> Vec<u8> {
    let filler =
        format!("{number} of {round}, and every octet of it is kept elsewhere as well.\r\n").repeat(number % 50);
    format!("From: <a@elsewhere.example>\r\nMessage-ID: <{round}.{number}@load.example>\r\nX-Number: {number}\r\n\r\n{filler}")
        .into()
}
