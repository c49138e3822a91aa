//! The storable shape of a message: offsets of every part, and how IMAP numbers them.
//!
//! Stored as MessagePack arrays: `[version, [[kind, parent, header, body, end, lines], ...]]`, parts in the order in which
//! they begin, the message itself first (its own parent). Version 1 is the only one.

use serde::{Deserialize, Serialize};
use std::ops::Range;

/// What a part is, as far as numbering goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "u8", from = "u8")]
pub enum Kind {
    /// A body without parts inside; also whatever lies beyond the limits.
    Leaf,
    /// multipart/*: its children are its parts (none if no boundary was ever seen).
    Multipart,
    /// message/rfc822 or message/global: its only child is the message inside.
    Message,
}

impl From<u8> for Kind {
    fn from(value: u8) -> Self {
        match value {
            1 => Self::Multipart,
            2 => Self::Message,
            _ => Self::Leaf,
        }
    }
}

impl From<Kind> for u8 {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Leaf => 0,
            Kind::Multipart => 1,
            Kind::Message => 2,
        }
    }
}

/// One part: offsets into the original message, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// What it is.
    pub kind: Kind,
    /// Index of the part around it; the message itself is its own parent.
    pub parent: u32,
    /// Where its header begins.
    pub header: u64,
    /// Where its header (with the empty line) ends and its body begins.
    pub body: u64,
    /// Where its body ends: before the line end that belongs to the next boundary.
    pub end: u64,
    /// Line feeds in the body.
    pub lines: u64,
}

impl Part {
    /// The range of the header with its empty line.
    pub fn header_range(&self) -> Range<usize> {
        self.header as usize..self.body as usize
    }

    /// The range of the body.
    pub fn body_range(&self) -> Range<usize> {
        self.body as usize..self.end as usize
    }
}

/// Which piece of a part is meant (RFC 3501 section 6.4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// `BODY[]` or `BODY[1.2]`.
    Body,
    /// `BODY[HEADER]` or `BODY[1.2.HEADER]`: the header of a message.
    Header,
    /// `BODY[TEXT]` or `BODY[1.2.TEXT]`: the body of a message.
    Text,
    /// `BODY[1.2.MIME]`: the header of a part.
    Mime,
}

/// All parts of a message; made by [`parse`](crate::parse).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skeleton {
    version: u8,
    parts: Vec<Part>,
}

/// The format written by this release.
const VERSION: u8 = 1;

impl Skeleton {
    pub(crate) fn new(parts: Vec<Part>) -> Self {
        Self { version: VERSION, parts }
    }

    /// The same message without parts: one text.
    #[must_use]
    pub fn as_text(&self) -> Self {
        Self::new(self.parts.first().map(|root| Part { kind: Kind::Leaf, ..root.clone() }).into_iter().collect())
    }

    /// The format version; one that is not 1 was written by a later release and must be parsed again.
    pub fn version(&self) -> u8 {
        self.version
    }

    /// All parts in the order in which they begin; the first is the message itself.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The range of the message's own header, with its empty line.
    pub fn header(&self) -> Range<usize> {
        self.parts.first().map_or(0..0, Part::header_range)
    }

    /// The part with these numbers; `None` for the empty path, which is the message, and for one that is not there.
    pub fn part(&self, path: &[u32]) -> Option<&Part> {
        self.index(path).and_then(|index| self.parts.get(index))
    }

    /// Where a section lies in the original bytes; `None` if the message has no such part, or the part no such section
    /// (HEADER and TEXT of a part that is not a message, MIME of the message as a whole).
    pub fn locate(&self, path: &[u32], what: Section) -> Option<Range<usize>> {
        let root = self.parts.first()?;
        if path.is_empty() {
            return match what {
                Section::Body => Some(root.header as usize..root.end as usize),
                Section::Header => Some(root.header_range()),
                Section::Text => Some(root.body_range()),
                Section::Mime => None,
            };
        }
        let Some(index) = self.index(path) else {
            return self.placeholder(path, what);
        };
        let part = self.parts.get(index)?;
        match what {
            Section::Body => Some(part.body_range()),
            Section::Mime => Some(part.header_range()),
            Section::Header | Section::Text => {
                let inner = self.parts.get(self.inner(index)?)?;
                Some(if what == Section::Header { inner.header_range() } else { inner.body_range() })
            }
        }
    }

    /// BODYSTRUCTURE shows one empty text part in a multipart without parts, so it can be fetched too.
    fn placeholder(&self, path: &[u32], what: Section) -> Option<Range<usize>> {
        let (&last, parents) = path.split_last()?;
        let index = if parents.is_empty() { Some(0) } else { self.index(parents) }?;
        let index = if parents.is_empty() { index } else { self.inner(index).unwrap_or(index) };
        let part = self.parts.get(index)?;
        let empty = part.kind == Kind::Multipart && self.is_childless(index);
        let end = part.end as usize;
        (last == 1 && empty && matches!(what, Section::Body | Section::Mime)).then_some(end..end)
    }

    /// Whether nothing is inside a part, so that its body is its own.
    pub(crate) fn is_childless(&self, index: usize) -> bool {
        self.parts.get(index + 1).is_none_or(|next| next.parent as usize != index)
    }

    /// Indices of the children of a part, in order.
    fn children(&self, index: usize) -> impl Iterator<Item = usize> {
        let inside = self.parts.iter().enumerate().skip(index + 1);
        inside.filter(move |(_, part)| part.parent as usize == index).map(|(child, _)| child)
    }

    /// The message inside a message/rfc822 part.
    fn inner(&self, index: usize) -> Option<usize> {
        (self.parts.get(index)?.kind == Kind::Message).then(|| self.children(index).next()).flatten()
    }

    /// Numbers count the parts of a multipart; a message that is not a multipart has exactly its body, number 1.
    fn index(&self, path: &[u32]) -> Option<usize> {
        // What the numbers count in: `Some` is a message's content, `None` a part without numbers inside.
        let mut content = Some(0);
        let mut found = None;
        for &number in path {
            let within = content?;
            let index = match (self.parts.get(within)?.kind, number) {
                (_, 0) => None,
                (Kind::Multipart, _) => self.children(within).nth(number as usize - 1),
                (_, 1) => Some(within),
                _ => None,
            }?;
            content = match self.parts.get(index)?.kind {
                Kind::Multipart => Some(index),
                Kind::Message => self.inner(index),
                Kind::Leaf => None,
            };
            found = Some(index);
        }
        found
    }
}

#[cfg(test)]
mod tests;
