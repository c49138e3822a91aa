//! Cuts the input into commands: lines, and the literals that lines announce (RFC 3501 section 4.3, RFC 7888).
//!
//! A command comes out as one run of octets in which each literal is written `{n}` CRLF and its n octets, whichever
//! form the client used, so that the parser needs no I/O. How the input was split into reads makes no difference.

use bytes::{Buf, BytesMut};
use zeroize::Zeroizing;

/// A literal that a line ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Literal {
    /// Its octets.
    pub size: u64,
    /// The client waits for a continuation before it sends them.
    pub sync: bool,
}

/// What the input holds next.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    /// Nothing whole yet.
    More,
    /// A literal is announced: [`Framer::accept`] it, or [`Framer::reset`] and deal with its octets.
    Literal(Literal),
    /// A command without its line end.
    Command(Zeroizing<Vec<u8>>),
    /// The command is longer than allowed, literals not counted.
    TooLong,
}

/// Collects one command at a time.
#[derive(Debug)]
pub struct Framer {
    max_line: usize,
    command: Zeroizing<Vec<u8>>,
    /// Octets of the command outside its literals.
    line_octets: usize,
    /// Where the last line begins in `command`.
    line_start: usize,
    literal_left: usize,
    /// How much of the input is known to hold no line end.
    scanned: usize,
    announced: Option<Literal>,
}

impl Framer {
    /// A framer that admits commands of that many octets outside literals.
    pub fn new(max_line: usize) -> Self {
        Self {
            max_line,
            command: Zeroizing::default(),
            line_octets: 0,
            line_start: 0,
            literal_left: 0,
            scanned: 0,
            announced: None,
        }
    }

    /// Takes what it can from `input`.
    pub fn next(&mut self, input: &mut BytesMut) -> Frame {
        if self.literal_left > 0 {
            let n = self.literal_left.min(input.len());
            self.command.extend_from_slice(&input[..n]);
            take(input, n);
            self.literal_left -= n;
            if self.literal_left > 0 {
                return Frame::More;
            }
            self.line_start = self.command.len();
        }
        let Some(at) = memchr::memchr(b'\n', &input[self.scanned..]) else {
            self.scanned = input.len();
            let long = self.line_octets + input.len() > self.max_line;
            return if long { Frame::TooLong } else { Frame::More };
        };
        let end = self.scanned + at;
        self.scanned = 0;
        self.line_octets += end + 1;
        if self.line_octets > self.max_line {
            return Frame::TooLong;
        }
        let line = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
        self.command.extend_from_slice(line);
        take(input, end + 1);
        match announced(&self.command[self.line_start..]) {
            Some((literal, plain)) => {
                let header = self.command.len() - plain;
                self.command.truncate(header);
                self.announced = Some(literal);
                Frame::Literal(literal)
            }
            None => self.finish(),
        }
    }

    /// The command so far, up to the announced literal.
    pub fn partial(&self) -> &[u8] {
        &self.command
    }

    /// Octets of literals in the command so far.
    pub fn literal_octets(&self) -> u64 {
        self.command.len().saturating_sub(self.line_octets) as u64
    }

    /// The announced literal belongs to the command and is collected.
    pub fn accept(&mut self) {
        if let Some(literal) = self.announced.take() {
            self.command.extend_from_slice(format!("{{{}}}\r\n", literal.size).as_bytes());
            self.literal_left = literal.size as usize;
            self.line_start = self.command.len();
        }
    }

    /// Forgets the command so far.
    pub fn reset(&mut self) {
        let _ = self.finish();
        self.announced = None;
        self.literal_left = 0;
    }

    fn finish(&mut self) -> Frame {
        self.line_octets = 0;
        self.line_start = 0;
        Frame::Command(std::mem::take(&mut self.command))
    }
}

/// Drops octets from the front and wipes them: they may be a password.
pub(crate) fn take(input: &mut BytesMut, n: usize) {
    input[..n].fill(0);
    input.advance(n);
}

/// The literal at the end of a line, and how many octets its announcement takes there. `~` is literal8 (RFC 3516).
pub(crate) fn announced(line: &[u8]) -> Option<(Literal, usize)> {
    let inner = line.strip_suffix(b"}")?;
    let open = memchr::memrchr(b'{', inner)?;
    let number = &inner[open + 1..];
    let digits = number.strip_suffix(b"+").unwrap_or(number);
    if digits.is_empty() || digits.len() > 18 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let size = digits.iter().fold(0_u64, |n, d| n * 10 + u64::from(d - b'0'));
    let open = if open > 0 && line[open - 1] == b'~' { open - 1 } else { open };
    Some((Literal { size, sync: digits.len() == number.len() }, line.len() - open))
}

#[cfg(test)]
mod tests;
