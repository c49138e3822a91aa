//! One pass over the bytes that finds every part.
//!
//! Boundaries are compared as Dovecot does (RFC 2046 section 5.1.1): a line that *begins* with a boundary is one; the
//! longest that fits wins, among equals the innermost. A boundary ends a header without an empty line. A multipart
//! whose boundary never comes, or that names none, has no parts.

use crate::content::ContentType;
use crate::header::{empty_line, line_end, strip_eol};
use crate::skeleton::{Kind, Part, Skeleton};
use memchr::memmem::Finder;
use std::ops::Range;

/// Parts nested deeper than this are leaves: nobody writes such mail, and every reader recurses.
pub const MAX_DEPTH: usize = 100;
/// A message has at most this many parts; everything after the last begins is its body.
pub const MAX_PARTS: usize = 10_000;
/// RFC 2046 allows 70 characters; longer ones are seen, but a line is never compared with a megabyte.
const MAX_BOUNDARY: usize = 1024;

/// Finds the parts of a message. Never fails: bytes that are no mail are a message with one part.
pub fn parse(raw: &[u8]) -> Skeleton {
    let mut parser =
        Parser { raw, dashes: Finder::new(b"\n--"), parts: Vec::new(), open: Vec::new(), boundaries: Vec::new() };
    parser.run();
    let mut parts = parser.parts;
    count_lines(raw, &mut parts);
    Skeleton::new(parts)
}

/// A boundary line that ends something.
struct Hit {
    /// Index into `boundaries`.
    boundary: usize,
    /// Where what it ends ends: before the line end that belongs to the boundary, unless that line end already closes a
    /// header or another boundary.
    end: usize,
    /// Where the next line begins.
    after: usize,
    /// `--boundary--`.
    closing: bool,
}

struct Boundary {
    /// Depth in `open` of the multipart it belongs to.
    depth: usize,
    text: Vec<u8>,
    /// Its parts are messages unless they say otherwise (RFC 2046 section 5.1.5).
    digest: bool,
}

struct Parser<'a> {
    raw: &'a [u8],
    dashes: Finder<'static>,
    parts: Vec<Part>,
    /// The parts around the current position, outermost first.
    open: Vec<usize>,
    boundaries: Vec<Boundary>,
}

impl Parser<'_> {
    fn run(&mut self) {
        let mut next = self.begin(0, false);
        while let Some(hit) = next {
            let depth = self.boundaries[hit.boundary].depth;
            self.close(depth + 1, hit.end);
            if hit.closing {
                self.boundaries.truncate(hit.boundary);
                next = self.scan(hit.after);
            } else {
                self.boundaries.truncate(hit.boundary + 1);
                let digest = self.boundaries[hit.boundary].digest;
                next = self.begin(hit.after, digest);
            }
        }
        self.close(0, self.raw.len());
    }

    /// Opens a part (and the messages directly inside it) whose header begins here, and finds the boundary after it.
    fn begin(&mut self, mut start: usize, mut digest: bool) -> Option<Hit> {
        loop {
            let (body, content_type, hit) = self.header(start);
            let kind = self.enter(start, body, content_type, digest);
            if hit.is_some() && kind == Kind::Message {
                self.enter(body, body, None, false);
            }
            // The last part keeps all the rest, boundaries or not.
            if self.parts.len() >= MAX_PARTS {
                return None;
            }
            if hit.is_some() {
                return hit;
            }
            if kind != Kind::Message {
                return self.scan(body);
            }
            start = body;
            digest = false;
        }
    }

    fn enter(&mut self, header: usize, body: usize, content_type: Option<Range<usize>>, digest: bool) -> Kind {
        let index = self.parts.len();
        let content_type = content_type.map(|value| ContentType::parse(&self.raw[value]));
        let mut kind = match &content_type {
            None if digest => Kind::Message,
            None => Kind::Leaf,
            Some(found) => found.kind(),
        };
        // The last part that may have a part inside is one short of each limit.
        if self.open.len() + 1 >= MAX_DEPTH || index + 1 >= MAX_PARTS {
            kind = Kind::Leaf;
        }
        let parent = self.open.last().copied().unwrap_or(0) as u32;
        let (header, body) = (header as u64, body as u64);
        self.parts.push(Part { kind, parent, header, body, end: body, lines: 0 });
        self.open.push(index);
        if kind == Kind::Multipart {
            let found = content_type.unwrap_or_default();
            if let Some(text) = found.boundary().filter(|text| !text.is_empty() && text.len() <= MAX_BOUNDARY) {
                let digest = found.is(b"multipart", b"digest");
                self.boundaries.push(Boundary { depth: self.open.len() - 1, text, digest });
            }
        }
        kind
    }

    /// Reads a header: where its body begins, its first Content-Type, and a boundary that cut it short.
    fn header(&self, start: usize) -> (usize, Option<Range<usize>>, Option<Hit>) {
        let raw = self.raw;
        let (mut pos, mut content_type) = (start, None);
        while pos < raw.len() {
            if let Some(body) = empty_line(raw, pos) {
                return (body, content_type, None);
            }
            if let Some(hit) = self.boundary_at(pos, pos) {
                return (pos, content_type, Some(hit));
            }
            let value = if content_type.is_none() { content_type_value(&raw[pos..]) } else { None };
            let line = pos;
            pos = line_end(raw, pos);
            while matches!(raw.get(pos), Some(b' ' | b'\t')) {
                pos = line_end(raw, pos);
            }
            if let Some(at) = value {
                content_type = Some((line + at).min(pos)..pos);
            }
        }
        (raw.len(), content_type, None)
    }

    /// The first boundary line at or after a line start.
    fn scan(&self, from: usize) -> Option<Hit> {
        if self.boundaries.is_empty() {
            return None;
        }
        if let Some(hit) = self.boundary_at(from, from) {
            return Some(hit);
        }
        self.dashes.find_iter(self.raw.get(from..)?).find_map(|at| self.boundary_at(from, from + at + 1))
    }

    /// Compares the line with all boundaries; bytes before `from` are already spoken for.
    fn boundary_at(&self, from: usize, line: usize) -> Option<Hit> {
        let rest = self.raw.get(line..)?.strip_prefix(b"--")?;
        let mut best: Option<(usize, usize)> = None;
        for (index, boundary) in self.boundaries.iter().enumerate() {
            let length = boundary.text.len();
            if best.is_none_or(|(_, other)| length >= other) && rest.starts_with(&boundary.text) {
                best = Some((index, length));
            }
        }
        let (boundary, length) = best?;
        let closing = rest[length..].starts_with(b"--");
        let end = strip_eol(self.raw, from, line);
        Some(Hit { boundary, end, after: line_end(self.raw, line), closing })
    }

    /// Closes all open parts from this depth on; boundaries of closed parts go with them.
    fn close(&mut self, depth: usize, end: usize) {
        for index in self.open.drain(depth..) {
            let part = &mut self.parts[index];
            part.end = part.body.max(end as u64);
        }
        while self.boundaries.last().is_some_and(|boundary| boundary.depth >= depth) {
            self.boundaries.pop();
        }
    }
}

/// Where the value begins, if this line is a Content-Type field.
fn content_type_value(line: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-type";
    if !line.get(..NAME.len())?.eq_ignore_ascii_case(NAME) {
        return None;
    }
    let spaces = line[NAME.len()..].iter().take_while(|&&byte| matches!(byte, b' ' | b'\t')).count();
    let colon = NAME.len() + spaces;
    (line.get(colon) == Some(&b':')).then_some(colon + 1)
}

/// Counts the lines of all bodies in one pass, however deep they are nested.
fn count_lines(raw: &[u8], parts: &mut [Part]) {
    let mut marks: Vec<(u64, usize, bool)> = Vec::with_capacity(parts.len() * 2);
    for (index, part) in parts.iter().enumerate() {
        marks.push((part.body, index, false));
        marks.push((part.end, index, true));
    }
    marks.sort_unstable();
    let (mut pos, mut lines) = (0, 0);
    for (at, index, is_end) in marks {
        lines += memchr::memchr_iter(b'\n', &raw[pos..at as usize]).count() as u64;
        pos = at as usize;
        let part = &mut parts[index];
        part.lines = if is_end { lines - part.lines } else { lines };
    }
}

#[cfg(test)]
mod tests;
