//! The socket with its buffers. Output is collected and leaves when it is large or when input has to be waited for, so
//! that answers to pipelined commands travel together.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::ImapError;
use crate::frame::{Frame, Framer, take};

/// Output beyond this leaves at once: large enough for few system calls, small enough to keep thousands of them.
const OUTPUT: usize = 64 << 10;
/// Room made for input.
const INPUT: usize = 16 << 10;
/// The same while a large literal comes in.
const BODY_INPUT: usize = 128 << 10;
/// Room made while nothing is known of what comes: a command.
const IDLE_INPUT: usize = 1 << 10;
/// A buffer that grew beyond this is given back when it is empty.
const KEEP: usize = 128 << 10;

/// How long a client that is sent away may go on sending, and how much.
const LINGER: Duration = Duration::from_secs(1);
const MAX_UNREAD: usize = 1 << 20;

/// A buffered connection.
pub(crate) struct Io<S> {
    stream: S,
    input: BytesMut,
    framer: Framer,
    /// What goes out next.
    pub out: Vec<u8>,
    stalled: Duration,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Io<S> {
    pub fn new(stream: S, max_line: usize, stalled: Duration) -> Self {
        Self { stream, input: BytesMut::new(), framer: Framer::new(max_line), out: Vec::new(), stalled }
    }

    /// The stream, for TLS. What the client sent in clear after STARTTLS is dropped: it may be an attacker's.
    pub fn into_stream(self) -> S {
        self.stream
    }

    /// The next piece of input that has already arrived.
    pub fn frame(&mut self) -> Frame {
        self.framer.next(&mut self.input)
    }

    pub fn framer(&mut self) -> &mut Framer {
        &mut self.framer
    }

    /// Waits for input; false at its end. Loses nothing when dropped.
    pub async fn fill(&mut self) -> Result<bool, ImapError> {
        if self.input.is_empty() {
            // Most connections are idle most of the time: they hold no more than a command needs.
            self.input = BytesMut::with_capacity(IDLE_INPUT);
        } else {
            self.input.reserve(INPUT);
        }
        Ok(self.stream.read_buf(&mut self.input).await? > 0)
    }

    /// Sends all output.
    pub async fn flush(&mut self) -> Result<(), ImapError> {
        if self.out.is_empty() {
            return Ok(());
        }
        self.drain().await?;
        match timeout(self.stalled, self.stream.flush()).await {
            Ok(done) => Ok(done?),
            Err(_) => Err(ImapError::Stalled),
        }
    }

    /// Sends all output and closes our side, then takes a little of what still comes: closing with input unread would
    /// reset the connection, and the client might never see why it ended.
    pub async fn close(&mut self) -> Result<(), ImapError> {
        self.flush().await?;
        let goodbye = async {
            self.stream.shutdown().await?;
            let mut left = MAX_UNREAD;
            while left > 0 {
                self.input.clear();
                self.input.reserve(INPUT);
                let read = self.stream.read_buf(&mut self.input).await?;
                left = if read == 0 { 0 } else { left.saturating_sub(read) };
            }
            io::Result::Ok(())
        };
        // The client may be gone already: nothing is lost by that.
        let _ = timeout(LINGER, goodbye).await;
        Ok(())
    }

    /// Sends output if there is much.
    pub async fn spill(&mut self) -> Result<(), ImapError> {
        if self.out.len() >= OUTPUT { self.drain().await } else { Ok(()) }
    }

    /// Sends a piece of a large literal.
    pub async fn send(&mut self, data: &Bytes) -> Result<(), ImapError> {
        self.out.extend_from_slice(data);
        self.spill().await
    }

    async fn drain(&mut self) -> Result<(), ImapError> {
        let mut sent = 0;
        while sent < self.out.len() {
            // The timeout is for each step: a slow client that goes on reading is welcome.
            match timeout(self.stalled, self.stream.write(&self.out[sent..])).await {
                Ok(Ok(0)) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Ok(written) => sent += written?,
                Err(_) => return Err(ImapError::Stalled),
            }
        }
        self.out.clear();
        if self.out.capacity() > KEEP {
            self.out = Vec::new();
        }
        Ok(())
    }

    /// A line as it comes, literals or not, without its end. `None` at the end of input or if it is too long.
    pub async fn line(&mut self, max: usize) -> Result<Option<Vec<u8>>, ImapError> {
        let mut scanned = 0;
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.input[scanned..]) {
                let end = scanned + at;
                let line = self.input[..end].strip_suffix(b"\r").unwrap_or(&self.input[..end]).to_vec();
                take(&mut self.input, end + 1);
                return Ok(Some(line));
            }
            scanned = self.input.len();
            if scanned > max || !self.fill_or_stall().await? {
                return Ok(None);
            }
        }
    }

    /// Up to `most` octets of a literal; `None` at the end of input.
    pub async fn literal(&mut self, most: u64) -> Result<Option<Bytes>, ImapError> {
        if self.input.is_empty() {
            self.input.reserve(usize::try_from(most).unwrap_or(BODY_INPUT).clamp(1, BODY_INPUT));
            if !self.fill_or_stall().await? {
                return Ok(None);
            }
        }
        let n = usize::try_from(most).unwrap_or(usize::MAX).min(self.input.len());
        Ok(Some(self.input.split_to(n).freeze()))
    }

    async fn fill_or_stall(&mut self) -> Result<bool, ImapError> {
        self.flush().await?;
        self.input.reserve(INPUT);
        match timeout(self.stalled, self.stream.read_buf(&mut self.input)).await {
            Ok(read) => Ok(read? > 0),
            Err(_) => Err(ImapError::Stalled),
        }
    }
}
