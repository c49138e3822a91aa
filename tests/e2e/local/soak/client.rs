//! Connections that may break at any moment: every answer is one of [`Answer`], a silence is a violation.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::model::{Flags, Model};
use crate::harness::DEADLINE;
use crate::harness::imap::Line;

/// How long a read may block before the clock is looked at.
const SLICE: Duration = Duration::from_millis(100);

/// The connection is over.
#[derive(Debug)]
pub struct Broken;

/// A tagged answer, or none.
#[derive(Debug)]
pub enum Answer {
    /// OK, with the text after it.
    Ok(String),
    /// NO: it was not done.
    No(String),
    /// `NO [UNAVAILABLE]`: it may have been done.
    Doubt,
}

/// A connection that keeps what it has read.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub fn open(address: SocketAddr) -> Result<Self, Broken> {
        let stream = TcpStream::connect_timeout(&address, DEADLINE).map_err(|_| Broken)?;
        stream.set_nodelay(true).map_err(|_| Broken)?;
        stream.set_read_timeout(Some(SLICE)).map_err(|_| Broken)?;
        stream.set_write_timeout(Some(DEADLINE)).map_err(|_| Broken)?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        self.stream.write_all(bytes).map_err(|_| Broken)
    }

    /// The next thing that `parse` finds at the front; none if it does not come in that time.
    fn next<T>(
        &mut self,
        patience: Duration,
        parse: impl Fn(&[u8]) -> Option<(T, usize)>,
    ) -> Result<Option<T>, Broken> {
        let until = Instant::now() + patience;
        loop {
            if let Some((found, used)) = parse(&self.buffer) {
                self.buffer.drain(..used);
                return Ok(Some(found));
            }
            let mut piece = [0; 16 << 10];
            match self.stream.read(&mut piece) {
                Ok(0) => return Err(Broken),
                Ok(read) => self.buffer.extend_from_slice(&piece[..read]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    if Instant::now() >= until {
                        return Ok(None);
                    }
                }
                Err(_) => return Err(Broken),
            }
        }
    }

    /// One IMAP response with its literals; none if it does not come in that time.
    pub fn response(&mut self, patience: Duration) -> Result<Option<Line>, Broken> {
        self.next(patience, response)
    }

    /// The last line of one SMTP reply. A silence is a violation.
    pub fn reply(&mut self, model: &Model, after: &str) -> Result<String, Broken> {
        if let Some(reply) = self.next(DEADLINE, reply)? {
            return Ok(reply);
        }
        model.violate(format!("stuck: no SMTP reply to {after}"));
        Err(Broken)
    }

    /// Sends an SMTP line and returns the reply.
    pub fn ask(&mut self, model: &Model, line: &str) -> Result<String, Broken> {
        self.send(format!("{line}\r\n").as_bytes())?;
        self.reply(model, line)
    }
}

fn line_end(bytes: &[u8], from: usize) -> Option<usize> {
    bytes[from..].iter().position(|&b| b == b'\n').map(|at| from + at + 1)
}

fn response(bytes: &[u8]) -> Option<(Line, usize)> {
    let mut line = Line { text: String::new(), literals: Vec::new() };
    let mut at = 0;
    loop {
        let end = line_end(bytes, at)?;
        let text = String::from_utf8_lossy(&bytes[at..end]);
        let text = text.trim_end_matches(['\r', '\n']);
        line.text += text;
        at = end;
        let size = text.strip_suffix('}').and_then(|t| t.rsplit_once('{')).and_then(|(_, n)| n.parse().ok());
        let Some(size): Option<usize> = size else { return Some((line, at)) };
        line.literals.push(bytes.get(at..at + size)?.to_vec());
        at += size;
    }
}

fn reply(bytes: &[u8]) -> Option<(String, usize)> {
    let mut at = 0;
    loop {
        let end = line_end(bytes, at)?;
        if bytes.get(at + 3) != Some(&b'-') {
            return Some((String::from_utf8_lossy(&bytes[at..end]).trim_end().to_owned(), end));
        }
        at = end;
    }
}

/// What a FETCH response says.
#[derive(Debug, Default, Clone)]
pub struct Fetched {
    /// The sequence number.
    pub number: usize,
    /// `UID`.
    pub uid: Option<u32>,
    /// `FLAGS`, without `\Recent`.
    pub flags: Option<Flags>,
    /// `MODSEQ`.
    pub modseq: Option<u64>,
    /// `RFC822.SIZE`.
    pub size: Option<usize>,
    /// The only literal.
    pub literal: Option<Vec<u8>>,
}

impl Fetched {
    /// None where the line is no FETCH response.
    pub fn parse(line: &Line) -> Option<Self> {
        let (number, items) = line.text.strip_prefix("* ")?.split_once(" FETCH (")?;
        Some(Self {
            number: number.parse().ok()?,
            uid: number_after(items, "UID "),
            flags: between(items, "FLAGS (", ")").map(|flags| {
                flags.split(' ').filter(|f| !f.is_empty() && *f != "\\Recent").map(str::to_owned).collect()
            }),
            modseq: number_after(items, "MODSEQ ("),
            size: number_after(items, "RFC822.SIZE "),
            literal: line.literals.first().cloned(),
        })
    }

    /// The number of the message, from its `X-Soak` field.
    pub fn id(&self) -> Option<u64> {
        id_of(self.literal.as_deref()?)
    }
}

/// The number of a message, from its `X-Soak` field.
pub fn id_of(message: &[u8]) -> Option<u64> {
    let head = String::from_utf8_lossy(&message[..message.len().min(4096)]);
    head.lines().find_map(|line| line.strip_prefix("X-Soak: ")?.trim().parse().ok())
}

/// What stands between two texts.
pub fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    text.split_once(start)?.1.split_once(end).map(|(inner, _)| inner)
}

/// The number after a text.
pub fn number_after<N: std::str::FromStr>(text: &str, start: &str) -> Option<N> {
    let rest = text.split_once(start)?.1;
    rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())].parse().ok()
}
