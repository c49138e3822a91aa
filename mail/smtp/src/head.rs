//! The header section of an incoming message: what must not come in with it, and signs of a loop.
//!
//! * The section ends at the first empty line. Lines end at LF, with or without CR (BDAT may bring both), so that no
//!   reader with another idea of a line sees a field that was not looked at here.
//! * Taken out: `Authentication-Results` with our own id (RFC 8601 section 5 demands it). Every other octet stays as it
//!   is, an older `Return-Path` too: ours stands before it.

use bytes::{Bytes, BytesMut};
use model::{Address, Domain};

/// Largest header section in octets; what is larger is refused, because looking at it needs it in one piece.
const MAX_HEAD: usize = 8 << 20;

/// A message whose header section was looked at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The message without the fields taken out.
    pub body: Vec<Bytes>,
    /// How many `Received` fields.
    pub received: usize,
    /// Addresses in `Delivered-To` fields.
    pub delivered_to: Vec<Address>,
}

/// The header section is too large to be looked at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HeadTooLarge;

/// Looks at a message for the server that calls itself `hostname`.
pub(crate) fn examine(message: Vec<Bytes>, hostname: &str) -> Result<Head, HeadTooLarge> {
    let (section, rest) = split(message)?;
    let mut head = Head { body: Vec::with_capacity(rest.len() + 1), received: 0, delivered_to: Vec::new() };
    let mut kept = Kept { section: &section, from: 0, out: BytesMut::new(), cut: false };
    let mut at = 0;
    while at < section.len() {
        let end = field_end(&section, at);
        if !head.keep(&section[at..end], hostname) {
            kept.remove(at, end);
        }
        at = end;
    }
    head.body.extend(Some(kept.finish()).filter(|bytes| !bytes.is_empty()));
    head.body.extend(rest);
    Ok(head)
}

impl Head {
    /// Notes what a field says; false if it has to go.
    fn keep(&mut self, field: &[u8], hostname: &str) -> bool {
        let Some(colon) = memchr::memchr(b':', field) else { return true };
        let (name, value) = (field[..colon].trim_ascii(), &field[colon + 1..]);
        if name.eq_ignore_ascii_case(b"Received") {
            self.received += 1;
        } else if name.eq_ignore_ascii_case(b"Delivered-To") {
            let text = std::str::from_utf8(value.trim_ascii()).unwrap_or_default();
            self.delivered_to.extend(text.trim_matches(['<', '>']).parse::<Address>());
        } else if name.eq_ignore_ascii_case(b"Authentication-Results") {
            return !authserv_id(value).is_some_and(|id| is_same_host(&id, hostname));
        }
        true
    }
}

/// What is left of a section: itself as long as nothing was removed, so that ordinary mail is not copied.
struct Kept<'a> {
    section: &'a Bytes,
    from: usize,
    out: BytesMut,
    cut: bool,
}

impl Kept<'_> {
    fn remove(&mut self, start: usize, end: usize) {
        self.out.extend_from_slice(&self.section[self.from..start]);
        self.from = end;
        self.cut = true;
    }

    fn finish(mut self) -> Bytes {
        if !self.cut {
            return self.section.clone();
        }
        self.out.extend_from_slice(&self.section[self.from..]);
        self.out.freeze()
    }
}

/// The header section with its empty line, in one piece, and what follows.
fn split(message: Vec<Bytes>) -> Result<(Bytes, Vec<Bytes>), HeadTooLarge> {
    let mut chunks = message.into_iter();
    let mut first = chunks.next().unwrap_or_default();
    if let Some(end) = section_end(&first, 0) {
        let section = first.split_to(end);
        return Ok((section, Some(first).filter(|rest| !rest.is_empty()).into_iter().chain(chunks).collect()));
    }
    let mut section = BytesMut::from(first);
    while let Some(mut chunk) = chunks.next() {
        let before = section.len();
        section.extend_from_slice(&chunk);
        // The empty line may begin in the chunk before.
        let end = section_end(&section, before.saturating_sub(2));
        if end.unwrap_or(section.len()) > MAX_HEAD {
            return Err(HeadTooLarge);
        }
        if let Some(end) = end {
            section.truncate(end);
            drop(chunk.split_to(end - before));
            return Ok((section.freeze(), Some(chunk).filter(|c| !c.is_empty()).into_iter().chain(chunks).collect()));
        }
    }
    Ok((section.freeze(), Vec::new()))
}

/// Just behind the first empty line, looked for from `from` on.
fn section_end(bytes: &[u8], from: usize) -> Option<usize> {
    let empty = |at: usize| match &bytes[at..] {
        [b'\n', ..] => Some(at + 1),
        [b'\r', b'\n', ..] => Some(at + 2),
        _ => None,
    };
    let at_start = if from == 0 { empty(0) } else { None };
    at_start.or_else(|| memchr::memchr_iter(b'\n', &bytes[from..]).find_map(|at| empty(from + at + 1)))
}

/// Behind the field that begins at `at`: its line and those that continue it.
fn field_end(section: &[u8], at: usize) -> usize {
    let mut line_ends = memchr::memchr_iter(b'\n', &section[at..]).map(|end| at + end + 1);
    line_ends.find(|end| !matches!(section.get(*end), Some(b' ' | b'\t'))).unwrap_or(section.len())
}

/// The first token of an `Authentication-Results` value, behind blanks and comments.
fn authserv_id(value: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(value);
    let mut rest = text.as_ref().trim_ascii_start();
    while let Some(inner) = rest.strip_prefix('(') {
        rest = after_comment(inner)?.trim_ascii_start();
    }
    if let Some(quoted) = rest.strip_prefix('"') {
        return quoted.split('"').next().map(|id| id.replace('\\', ""));
    }
    let end = rest.find(|c: char| c.is_ascii_whitespace() || ";(".contains(c)).unwrap_or(rest.len());
    Some(rest[..end].to_owned())
}

fn after_comment(inner: &str) -> Option<&str> {
    let mut depth = 1;
    let mut chars = inner.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(&inner[at + 1..]);
        }
    }
    None
}

/// Names compare as domains do, so that another spelling of ours is still ours.
fn is_same_host(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other) || one.parse::<Domain>().is_ok_and(|one| other.parse() == Ok(one))
}

#[cfg(test)]
mod tests;
