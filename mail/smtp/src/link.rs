//! The connection: lines and blocks in, replies out.
//!
//! * Replies are collected and sent before the next wait for the client (RFC 2920 section 3.2), or when they fill a
//!   block: a pipeline of any length costs a few KiB.
//! * A line ends at CRLF. One with a bare LF is told apart, so that it can be refused instead of waited for.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::reply::Reply;
use crate::{SmtpError, Timeouts};

/// Longest command line with CRLF, in octets: RFC 5321 section 4.5.3.1.4 and all that extensions add, with room.
const MAX_LINE: usize = 4 << 10;
/// Overlong lines are skipped so far; a client that goes on is not talking SMTP.
const MAX_SKIP: usize = 1 << 20;
/// Octets asked for at a time: commands, and content.
const COMMAND_READ: usize = 2 << 10;
const CONTENT_READ: usize = 32 << 10;
/// How long to wait for the client to close after our last reply.
const LINGER: Duration = Duration::from_secs(2);
/// Replies are sent at the latest when there are so many octets of them.
const FULL: usize = 8 << 10;

/// A byte stream.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A byte stream of any kind: clear text, TLS, a pipe in a test.
pub type BoxStream = Box<dyn Stream>;

/// Takes the clear-text stream after `220 Ready to start TLS` and returns the one inside TLS.
pub type TlsUpgrade =
    Arc<dyn Fn(BoxStream) -> Pin<Box<dyn Future<Output = io::Result<BoxStream>> + Send>> + Send + Sync>;

/// One line, or why there is none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Without its CRLF; it has no other CR or LF.
    Text(Bytes),
    /// Longer than allowed; skipped.
    TooLong,
    /// A CR in the middle; skipped.
    BareCr,
    /// An LF without CR. The rest of the input is of no use any more.
    BareLf,
    /// The client closed.
    End,
    /// We are to stop, and the client is not in the middle of sending something.
    Shutdown,
}

/// What is known of a line that has not ended yet.
#[derive(Default)]
struct Overlong {
    /// Octets of the input known to hold no LF.
    seen: usize,
    /// Octets dropped from its front.
    dropped: usize,
}

impl Overlong {
    /// Forgets the front of a line that is too long anyway; false if it is longer than can be meant.
    fn make_room(&mut self, input: &mut BytesMut) -> bool {
        if input.len() > MAX_LINE {
            // The last octet stays: it may be the CR of the line's end.
            self.dropped += input.len() - 1;
            input.advance(input.len() - 1);
        }
        self.seen = input.len();
        self.dropped <= MAX_SKIP
    }

    fn line(&self, line: &[u8]) -> Line {
        let Some(text) = line.strip_suffix(b"\r\n") else { return Line::BareLf };
        match text {
            _ if self.dropped + line.len() > MAX_LINE => Line::TooLong,
            _ if memchr::memchr(b'\r', text).is_some() => Line::BareCr,
            _ => Line::Text(Bytes::copy_from_slice(text)),
        }
    }
}

pub(crate) struct Link {
    stream: BoxStream,
    input: BytesMut,
    output: String,
    timeouts: Timeouts,
}

impl Link {
    pub(crate) fn new(stream: BoxStream, timeouts: Timeouts) -> Self {
        Self { stream, input: BytesMut::new(), output: String::new(), timeouts }
    }

    /// Queues a reply.
    pub(crate) async fn reply(&mut self, reply: &Reply) -> Result<(), SmtpError> {
        reply.write(&mut self.output);
        if self.output.len() >= FULL || reply.close { self.flush().await } else { Ok(()) }
    }

    /// Sends what is queued.
    pub(crate) async fn flush(&mut self) -> Result<(), SmtpError> {
        if self.output.is_empty() {
            return Ok(());
        }
        let send = async {
            self.stream.write_all(self.output.as_bytes()).await?;
            self.stream.flush().await
        };
        timeout(self.timeouts.write, send).await.map_err(|_| SmtpError::TimedOut)??;
        self.output = String::new();
        Ok(())
    }

    /// The next command line, or [`Line::Shutdown`] once there is none at hand and we are to stop.
    pub(crate) async fn line(&mut self, shutdown: &CancellationToken) -> Result<Line, SmtpError> {
        let mut long = Overlong::default();
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.input[long.seen..]).map(|at| long.seen + at) {
                return Ok(long.line(&self.input.split_to(end + 1)));
            }
            if !long.make_room(&mut self.input) {
                return Err(io::Error::from(io::ErrorKind::InvalidData).into());
            }
            // Sent before anything here can be dropped half done.
            self.flush().await?;
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(Line::Shutdown),
                more = self.more(COMMAND_READ, self.timeouts.command) => if !more? { return Ok(Line::End) },
            }
        }
    }

    /// Waits for content; at least one octet, or an error if the client closes.
    pub(crate) async fn content(&mut self) -> Result<&mut BytesMut, SmtpError> {
        if self.input.is_empty() {
            self.flush().await?;
            if !self.more(CONTENT_READ, self.timeouts.block).await? {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
        Ok(&mut self.input)
    }

    /// Waits for more input; false at its end.
    async fn more(&mut self, size: usize, limit: Duration) -> Result<bool, SmtpError> {
        if self.input.is_empty() {
            // Idle connections hold no buffer that content has made large.
            self.input = BytesMut::with_capacity(size);
        }
        let read = self.stream.read_buf(&mut self.input);
        Ok(timeout(limit, read).await.map_err(|_| SmtpError::TimedOut)?? > 0)
    }

    /// True if the client sent something before it could see the replies still queued.
    pub(crate) async fn is_pipelined(&mut self) -> bool {
        if self.input.is_empty() {
            tokio::select! {
                biased;
                _ = self.stream.read_buf(&mut self.input) => {}
                () = std::future::ready(()) => {}
            }
        }
        !self.input.is_empty()
    }

    /// Drops everything received so far and puts the stream inside TLS.
    pub(crate) async fn secure(&mut self, upgrade: &TlsUpgrade) -> Result<(), SmtpError> {
        self.flush().await?;
        self.input.clear();
        let clear = std::mem::replace(&mut self.stream, Box::new(tokio::io::empty()));
        let handshake = timeout(self.timeouts.handshake, upgrade(clear)).await;
        self.stream = handshake.map_err(|_| SmtpError::TimedOut)?.map_err(SmtpError::Tls)?;
        Ok(())
    }

    /// Skips so many octets of content, in bounded memory.
    pub(crate) async fn skip(&mut self, mut octets: u64) -> Result<(), SmtpError> {
        while octets > 0 {
            let input = self.content().await?;
            let now = octets.min(input.len() as u64);
            input.advance(now as usize);
            octets -= now;
        }
        Ok(())
    }

    /// Closes the sending side, and takes a little of what still comes: closing with input unread would reset the
    /// connection, and the client might never see our last reply.
    pub(crate) async fn close(&mut self) {
        let goodbye = async {
            self.stream.shutdown().await?;
            let mut left = MAX_SKIP;
            self.input = BytesMut::with_capacity(COMMAND_READ);
            while left > 0 {
                self.input.clear();
                let read = self.stream.read_buf(&mut self.input).await?;
                left = if read == 0 { 0 } else { left.saturating_sub(read) };
            }
            io::Result::Ok(())
        };
        // The client may be gone already: nothing is lost by that.
        let _ = timeout(LINGER, goodbye).await;
    }
}
