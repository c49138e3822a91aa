//! BODY and BODYSTRUCTURE (RFC 3501 section 7.4.2), rendered for IMAP4rev1.

use crate::content::{ContentType, Param, PartHeader, languages};
use crate::header::unfold;
use crate::skeleton::{Kind, Part, Skeleton};
use crate::{envelope, imap};

/// Deeper than any skeleton that `parse` makes; a damaged one from a database must not exhaust the stack.
const MAX_RECURSION: usize = crate::MAX_DEPTH + 2;

/// A multipart without parts shows one empty text part: the grammar wants at least one, clients crash on none.
const PLACEHOLDER: &[u8] = br#"("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0"#;

/// The structure of a message, with its parentheses: BODY, or with `extended` BODYSTRUCTURE.
pub fn body_structure(raw: &[u8], skeleton: &Skeleton, extended: bool) -> Vec<u8> {
    let mut writer = Writer { raw, parts: skeleton.parts(), extended, out: Vec::with_capacity(1024), depth: 0 };
    if writer.parts.is_empty() {
        writer.placeholder();
    } else {
        writer.part(0);
    }
    writer.out
}

struct Writer<'a> {
    raw: &'a [u8],
    parts: &'a [Part],
    extended: bool,
    out: Vec<u8>,
    depth: usize,
}

impl Writer<'_> {
    /// Writes a part and returns the index after all that is inside it.
    fn part(&mut self, index: usize) -> usize {
        let part = &self.parts[index];
        let block = self.raw.get(part.header_range()).unwrap_or_default();
        let header = PartHeader::read(block);
        self.depth += 1;
        let next = match part.kind {
            Kind::Multipart => self.multipart(index, &header),
            Kind::Leaf | Kind::Message => self.single(index, &header),
        };
        self.depth -= 1;
        next
    }

    fn multipart(&mut self, index: usize, header: &PartHeader<'_>) -> usize {
        self.out.push(b'(');
        let mut next = index + 1;
        while self.is_child(next, index) {
            next = self.part(next);
        }
        if next == index + 1 {
            self.placeholder();
        }
        let content_type = header.content_type.as_ref();
        self.out.push(b' ');
        imap::string(&mut self.out, content_type.map_or(b"mixed", |found| &found.sub));
        if self.extended {
            self.out.push(b' ');
            self.params(content_type.map_or(&[], |found| &found.params), false);
            self.disposition(header);
        }
        self.out.push(b')');
        next
    }

    fn single(&mut self, index: usize, header: &PartHeader<'_>) -> usize {
        let part = &self.parts[index];
        let is_message = part.kind == Kind::Message;
        self.out.push(b'(');
        let is_text = self.media(is_message, header.content_type.as_ref());
        self.out.push(b' ');
        imap::nstring(&mut self.out, header.id.map(unfold).as_deref());
        self.out.push(b' ');
        imap::nstring(&mut self.out, header.description.map(imap::text).as_deref());
        self.out.push(b' ');
        imap::string(&mut self.out, header.encoding.as_deref().unwrap_or(b"7bit"));
        self.out.push(b' ');
        imap::number(&mut self.out, part.end.saturating_sub(part.body));
        let mut next = index + 1;
        if is_message {
            next = self.message(next, index);
        }
        if is_text || is_message {
            self.out.push(b' ');
            imap::number(&mut self.out, part.lines);
        }
        if self.extended {
            self.out.push(b' ');
            imap::nstring(&mut self.out, header.md5.map(unfold).as_deref());
            self.disposition(header);
        }
        self.out.push(b')');
        next
    }

    /// The envelope and structure of the message inside.
    fn message(&mut self, child: usize, parent: usize) -> usize {
        self.out.push(b' ');
        if self.is_child(child, parent) {
            let block = self.raw.get(self.parts[child].header_range()).unwrap_or_default();
            envelope::write(&mut self.out, block);
            self.out.push(b' ');
            return self.part(child);
        }
        envelope::write(&mut self.out, b"");
        self.out.push(b' ');
        self.placeholder();
        child
    }

    /// Type, subtype and parameters; returns whether it is text.
    fn media(&mut self, is_message: bool, content_type: Option<&ContentType>) -> bool {
        let fallback = match content_type {
            Some(found) if !found.main.is_empty() => {
                // A part beyond the limits may not claim to have parts: the grammar would demand them.
                if is_message || found.kind() == Kind::Leaf { None } else { Some(("application", "octet-stream")) }
            }
            _ if is_message => Some(("message", "rfc822")),
            _ => Some(("text", "plain")),
        };
        let none = ContentType::default();
        let found = content_type.unwrap_or(&none);
        let (main, sub) = fallback.map_or((&*found.main, &*found.sub), |(main, sub)| (main.as_bytes(), sub.as_bytes()));
        let is_text = main.eq_ignore_ascii_case(b"text");
        imap::string(&mut self.out, main);
        self.out.push(b' ');
        imap::string(&mut self.out, sub);
        self.out.push(b' ');
        self.params(&found.params, is_text);
        is_text
    }

    fn params(&mut self, params: &[Param], is_text: bool) {
        let charset = is_text && !params.iter().any(|(name, _)| name.eq_ignore_ascii_case(b"charset"));
        if params.is_empty() && !charset {
            self.out.extend_from_slice(b"NIL");
            return;
        }
        self.out.push(b'(');
        let default = (b"charset".to_vec(), b"us-ascii".to_vec());
        for (at, (name, value)) in params.iter().chain(charset.then_some(&default)).enumerate() {
            if at > 0 {
                self.out.push(b' ');
            }
            imap::string(&mut self.out, name);
            self.out.push(b' ');
            imap::string(&mut self.out, value);
        }
        self.out.push(b')');
    }

    /// Disposition, language and location.
    fn disposition(&mut self, header: &PartHeader<'_>) {
        self.out.push(b' ');
        match &header.disposition {
            Some(found) => {
                self.out.push(b'(');
                imap::string(&mut self.out, &found.main);
                self.out.push(b' ');
                self.params(&found.params, false);
                self.out.push(b')');
            }
            None => self.out.extend_from_slice(b"NIL"),
        }
        self.out.push(b' ');
        let languages = header.language.map(languages).unwrap_or_default();
        if languages.is_empty() {
            self.out.extend_from_slice(b"NIL");
        } else {
            self.out.push(b'(');
            for (at, language) in languages.iter().enumerate() {
                if at > 0 {
                    self.out.push(b' ');
                }
                imap::string(&mut self.out, language);
            }
            self.out.push(b')');
        }
        self.out.push(b' ');
        imap::nstring(&mut self.out, header.location.map(unfold).as_deref());
    }

    fn placeholder(&mut self) {
        self.out.extend_from_slice(PLACEHOLDER);
        self.out.extend_from_slice(if self.extended { b" NIL NIL NIL NIL)" } else { b")" });
    }

    fn is_child(&self, index: usize, parent: usize) -> bool {
        self.depth < MAX_RECURSION && self.parts.get(index).is_some_and(|part| part.parent as usize == parent)
    }
}

#[cfg(test)]
mod tests;
