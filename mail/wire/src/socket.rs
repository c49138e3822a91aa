//! WebSockets (RFC 6455) as we speak them: one binary frame for each message, in both directions, inside TLS.
//!
//! The frames are cut and written here, and not by a library, because of what is left behind: buffers of a link live as
//! long as the link, and mail passes through them. Invariants:
//! * Between two messages neither buffer of a socket holds an octet of a message; the messages themselves are freed, and
//!   what is freed is wiped by the allocator.
//! * A message that arrives has an allocation of its own, no larger than what came of it (up to [`AHEAD`] more).
//! * Frames of a client are masked with zeros: masks keep scripts from talking to proxies, and nobody is inside our TLS.
//!
//! What TLS itself keeps of the last record is beyond our reach; [`MessageWriter::scrub`] overwrites it at the other end.
//! Pings are not answered, since no peer of ours sends any; pongs are passed over.

use std::time::Duration;

use bytes::{BufMut, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;

use crate::WireError;
use crate::limits::NOTSENT_LOWAT;

/// Octets read at a time where it is not known what comes: one TLS record.
const READ: usize = 16 << 10;
/// Octets collected before they are written; larger messages are written from where they are.
const WRITE: usize = 32 << 10;
/// A message's size is its sender's word: memory runs ahead of what has come by no more than this.
const AHEAD: usize = 1 << 20;
/// Octets of one record that overwrite what rustls keeps of the records before it: it reads 4 KiB at a time, and keeps no
/// more while nothing comes.
const SCRUB: usize = 5 << 10;
/// Largest payload of a control frame.
const CONTROL: usize = 125;

const FINAL_BINARY: u8 = 0x82;
const FINAL_PONG: u8 = 0x8a;
const MASKED: u8 = 0x80;
/// In place of a length: it follows in two, or in eight octets.
const SHORT: u8 = 0x7e;
const LONG: u8 = 0x7f;
/// Longest head of a frame.
const HEAD: usize = 14;

/// Small answers leave at once, and large ones do not pile up in the kernel before them.
pub fn tune(stream: &TcpStream) {
    // Both only make things faster; a system that refuses them works all the same.
    let _ = stream.set_nodelay(true);
    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(NOTSENT_LOWAT);
}

/// Which end of the socket we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The one that listened.
    Server,
    /// The one that dialled.
    Client,
}

/// Both directions of a socket on which the handshake is over; messages to us may have up to `limit` octets.
pub fn messages<S: AsyncRead + AsyncWrite>(
    stream: S,
    end: End,
    limit: usize,
) -> (MessageWriter<WriteHalf<S>>, MessageReader<ReadHalf<S>>) {
    let (read, write) = tokio::io::split(stream);
    (MessageWriter::new(write, end), MessageReader::new(read, limit))
}

/// Takes messages off a socket.
#[derive(Debug)]
pub struct MessageReader<R> {
    io: R,
    limit: usize,
    /// What was read ahead is at `start..end`; everything else in it is zero.
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

/// The head of a frame.
#[derive(Debug, Clone, Copy)]
struct Head {
    first: u8,
    size: usize,
    mask: [u8; 4],
}

impl<R: AsyncRead + Unpin> MessageReader<R> {
    pub(crate) fn new(io: R, limit: usize) -> Self {
        Self { io, limit, buffer: vec![0; READ].into_boxed_slice(), start: 0, end: 0 }
    }

    /// The next message, which must come in time. Dropped before its end, it leaves the socket unusable.
    pub async fn next(&mut self, within: Duration) -> Result<Bytes, WireError> {
        tokio::time::timeout(within, self.message()).await.map_err(|_| WireError::Silent)?
    }

    /// The next message.
    pub(crate) async fn message(&mut self) -> Result<Bytes, WireError> {
        loop {
            let head = self.head().await?;
            match head.first {
                FINAL_BINARY if head.size > self.limit => {
                    return Err(WireError::TooBig { size: head.size, limit: self.limit });
                }
                FINAL_BINARY => return Ok(Bytes::from(self.payload(head).await?)),
                0x88 => return Err(WireError::Closed),
                0x89 | FINAL_PONG if head.size <= CONTROL => drop(self.payload(head).await?),
                _ => return Err(WireError::Protocol("a frame that is not a whole binary message")),
            }
        }
    }

    async fn head(&mut self) -> Result<Head, WireError> {
        let [first, second] = self.take().await?;
        let size = match second & !MASKED {
            SHORT => u64::from(u16::from_be_bytes(self.take().await?)),
            LONG => u64::from_be_bytes(self.take().await?),
            small => u64::from(small),
        };
        let mask = if second & MASKED == 0 { [0; 4] } else { self.take().await? };
        Ok(Head { first, size: usize::try_from(size).unwrap_or(usize::MAX), mask })
    }

    async fn take<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        while self.end - self.start < N {
            self.fill().await?;
        }
        let mut taken = [0; N];
        taken.copy_from_slice(&self.buffer[self.start..self.start + N]);
        self.forget(N);
        Ok(taken)
    }

    async fn payload(&mut self, head: Head) -> Result<Vec<u8>, WireError> {
        let mut payload = Vec::with_capacity(head.size.min(AHEAD));
        let here = head.size.min(self.end - self.start);
        payload.extend_from_slice(&self.buffer[self.start..self.start + here]);
        self.forget(here);
        while payload.len() < head.size {
            let missing = head.size - payload.len();
            if payload.len() == payload.capacity() {
                payload.reserve(missing.min(AHEAD));
            }
            // Never into the buffer what is known to belong to the message.
            let read = self.io.read_buf(&mut (&mut payload).limit(missing)).await?;
            if read == 0 {
                return Err(WireError::Closed);
            }
        }
        if head.mask != [0; 4] {
            payload.iter_mut().zip(head.mask.iter().cycle()).for_each(|(octet, mask)| *octet ^= mask);
        }
        Ok(payload)
    }

    async fn fill(&mut self) -> Result<(), WireError> {
        if self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            let kept = self.end - self.start;
            self.buffer[kept..].fill(0);
            (self.start, self.end) = (0, kept);
        }
        match self.io.read(&mut self.buffer[self.end..]).await? {
            0 => Err(WireError::Closed),
            read => {
                self.end += read;
                Ok(())
            }
        }
    }

    /// Wipes what was taken from the front.
    fn forget(&mut self, octets: usize) {
        self.buffer[self.start..self.start + octets].fill(0);
        self.start += octets;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }
}

/// Puts messages onto a socket.
#[derive(Debug)]
pub struct MessageWriter<W> {
    io: W,
    end: End,
    /// What is to be written is at its front; everything behind that is zero.
    buffer: Box<[u8]>,
    filled: usize,
    /// False from the first octet of a writing to its last: whoever drops it in between has cut a message.
    whole: bool,
}

impl<W: AsyncWrite + Unpin> MessageWriter<W> {
    fn new(io: W, end: End) -> Self {
        Self { io, end, buffer: vec![0; WRITE].into_boxed_slice(), filled: 0, whole: true }
    }

    /// Writes one message, and does not wait for others.
    pub async fn send(&mut self, message: Bytes) -> Result<(), WireError> {
        self.feed(message).await?;
        self.flush().await
    }

    /// Writes a message, at the latest with the next flush.
    pub async fn feed(&mut self, message: Bytes) -> Result<(), WireError> {
        let (head, len) = head(self.end, FINAL_BINARY, message.len());
        if self.buffer.len() - self.filled < len + message.len() {
            self.write().await?;
        }
        self.put(&head[..len]);
        if self.buffer.len() - self.filled < message.len() {
            self.write().await?;
            self.whole = false;
            self.io.write_all(&message).await?;
            self.whole = true;
            return Ok(());
        }
        self.put(&message);
        Ok(())
    }

    /// Hands everything to the network.
    pub async fn flush(&mut self) -> Result<(), WireError> {
        self.write().await?;
        Ok(self.io.flush().await?)
    }

    /// Overwrites what the peer's TLS keeps of earlier messages, with frames that mean nothing.
    pub async fn scrub(&mut self) -> Result<(), WireError> {
        self.flush().await?;
        let (head, len) = head(self.end, FINAL_PONG, CONTROL);
        for _ in 0..SCRUB.div_ceil(CONTROL) {
            self.put(&head[..len]);
            self.put(&[0; CONTROL]);
        }
        self.flush().await
    }

    /// The caller has made sure that there is room.
    fn put(&mut self, octets: &[u8]) {
        self.buffer[self.filled..self.filled + octets.len()].copy_from_slice(octets);
        self.filled += octets.len();
    }

    /// False where a message was cut: nothing that is written behind it will be understood, and worse, it might be.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    async fn write(&mut self) -> Result<(), WireError> {
        self.whole = false;
        self.io.write_all(&self.buffer[..self.filled]).await?;
        self.whole = true;
        self.buffer[..self.filled].fill(0);
        self.filled = 0;
        Ok(())
    }
}

/// The head of a frame, and how long it is.
fn head(end: End, first: u8, size: usize) -> ([u8; HEAD], usize) {
    let masked = if end == End::Client { MASKED } else { 0 };
    let mut head = [0; HEAD];
    head[0] = first;
    let len = match size {
        0..=125 => {
            head[1] = masked | size as u8;
            2
        }
        126..=0xffff => {
            head[1] = masked | SHORT;
            head[2..4].copy_from_slice(&(size as u16).to_be_bytes());
            4
        }
        _ => {
            head[1] = masked | LONG;
            head[2..10].copy_from_slice(&(size as u64).to_be_bytes());
            10
        }
    };
    // The mask itself is zero.
    (head, if end == End::Client { len + 4 } else { len })
}

#[cfg(test)]
mod tests;
