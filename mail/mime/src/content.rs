//! The Content-* fields of a part (RFC 2045, 2183, 2231, 3282, 2557).

use crate::header::fields;
use crate::lex::Lexer;
use crate::skeleton::Kind;

/// A parameter: name and value as written, quotes removed, RFC 2231 pieces joined and still encoded.
pub(crate) type Param = (Vec<u8>, Vec<u8>);

/// More pieces of one RFC 2231 parameter than anybody sends; later ones stay as they are.
const MAX_PIECES: usize = 1000;

/// Content-Type, or Content-Disposition with an empty subtype.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct ContentType {
    pub main: Vec<u8>,
    pub sub: Vec<u8>,
    pub params: Vec<Param>,
}

impl ContentType {
    pub fn parse(value: &[u8]) -> Self {
        let mut lexer = Lexer::new(value);
        lexer.skip();
        let main = lexer.word(b"/;(\"").to_vec();
        lexer.skip();
        let mut sub = Vec::new();
        if lexer.eat(b'/') {
            lexer.skip();
            sub = lexer.word(b";(\"").to_vec();
        }
        Self { main, sub, params: params(&mut lexer) }
    }

    pub fn is(&self, main: &[u8], sub: &[u8]) -> bool {
        self.main.eq_ignore_ascii_case(main) && self.sub.eq_ignore_ascii_case(sub)
    }

    pub fn is_main(&self, main: &[u8]) -> bool {
        self.main.eq_ignore_ascii_case(main)
    }

    /// What the type promises, before any limit.
    pub fn kind(&self) -> Kind {
        if self.is_main(b"multipart") {
            Kind::Multipart
        } else if self.is(b"message", b"rfc822") || self.is(b"message", b"global") {
            Kind::Message
        } else {
            Kind::Leaf
        }
    }

    pub fn param(&self, name: &[u8]) -> Option<&[u8]> {
        self.params.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice())
    }

    /// The boundary, without the white space that may not end it.
    pub fn boundary(&self) -> Option<Vec<u8>> {
        self.param(b"boundary").map(|value| value.trim_ascii_end().to_vec())
    }
}

/// What one part's header says about its body; the first field of a name counts.
#[derive(Debug, Default)]
pub(crate) struct PartHeader<'a> {
    pub content_type: Option<ContentType>,
    pub id: Option<&'a [u8]>,
    pub description: Option<&'a [u8]>,
    /// The transfer encoding, if it is one word.
    pub encoding: Option<Vec<u8>>,
    pub md5: Option<&'a [u8]>,
    pub disposition: Option<ContentType>,
    pub language: Option<&'a [u8]>,
    pub location: Option<&'a [u8]>,
}

impl<'a> PartHeader<'a> {
    pub fn read(block: &'a [u8]) -> Self {
        let mut found = Self::default();
        for field in fields(block) {
            let name = &block[field.name];
            let Some((prefix, rest)) = name.split_at_checked(8) else { continue };
            if !prefix.eq_ignore_ascii_case(b"content-") {
                continue;
            }
            let value = &block[field.value];
            match rest.to_ascii_lowercase().as_slice() {
                b"type" if found.content_type.is_none() => found.content_type = Some(ContentType::parse(value)),
                b"disposition" if found.disposition.is_none() => found.disposition = Some(ContentType::parse(value)),
                b"transfer-encoding" if found.encoding.is_none() => found.encoding = encoding(value),
                b"id" => found.id = found.id.or(Some(value)),
                b"description" => found.description = found.description.or(Some(value)),
                b"md5" => found.md5 = found.md5.or(Some(value)),
                b"language" => found.language = found.language.or(Some(value)),
                b"location" => found.location = found.location.or(Some(value)),
                _ => {}
            }
        }
        found
    }
}

/// The languages of a Content-Language value.
pub(crate) fn languages(value: &[u8]) -> Vec<Vec<u8>> {
    let mut lexer = Lexer::new(value);
    let mut found = Vec::new();
    while lexer.peek().is_some() {
        lexer.skip();
        let word = lexer.word(b",(\"");
        if !word.is_empty() {
            found.push(word.to_vec());
        }
        lexer.skip_to(b",");
        lexer.bump();
    }
    found
}

fn encoding(value: &[u8]) -> Option<Vec<u8>> {
    let mut lexer = Lexer::new(value);
    lexer.skip();
    let word = lexer.word(b"(;\"").to_vec();
    lexer.skip();
    (!word.is_empty() && matches!(lexer.peek(), None | Some(b';'))).then_some(word)
}

fn params(lexer: &mut Lexer<'_>) -> Vec<Param> {
    let mut found = Vec::new();
    loop {
        lexer.skip_to(b";");
        if lexer.bump().is_none() {
            return join_pieces(found);
        }
        lexer.skip();
        let name = lexer.word(b"=;(\"");
        lexer.skip();
        if name.is_empty() || !lexer.eat(b'=') {
            continue;
        }
        lexer.skip();
        let value = match lexer.peek() {
            Some(b'"') => lexer.quoted(),
            _ => lexer.word(b";(\"").to_vec(),
        };
        found.push((name.to_vec(), value));
    }
}

/// Joins `name*0`, `name*1*`, ... to `name` (or `name*` if a piece is encoded), after all others and by name.
fn join_pieces(params: Vec<Param>) -> Vec<Param> {
    let (mut out, mut pieces) = (Vec::with_capacity(params.len()), Vec::new());
    for (name, value) in params {
        match piece(&name) {
            Some((length, number, extended)) => {
                pieces.push((name[..length].to_ascii_lowercase(), number, extended, name, value));
            }
            None => out.push((name, value)),
        }
    }
    pieces.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    let mut joined: Vec<Param> = Vec::new();
    for group in pieces.chunk_by(|a, b| a.0 == b.0) {
        let run = group.iter().enumerate().take_while(|(at, piece)| piece.1 == *at).count();
        if run > 0 {
            let mut name = group[0].3[..group[0].0.len()].to_vec();
            if group[..run].iter().any(|piece| piece.2) {
                name.push(b'*');
            }
            joined.push((name, group[..run].iter().flat_map(|piece| piece.4.iter().copied()).collect()));
        }
        out.extend(group[run..].iter().map(|piece| (piece.3.clone(), piece.4.clone())));
    }
    out.extend(joined);
    out
}

/// Length of the name proper, piece number, and whether the piece is percent-encoded.
fn piece(name: &[u8]) -> Option<(usize, usize, bool)> {
    let extended = name.ends_with(b"*");
    let body = name.strip_suffix(b"*").unwrap_or(name);
    let star = memchr::memrchr(b'*', body)?;
    let digits = &body[star + 1..];
    if digits.is_empty() || digits.len() > 3 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits.iter().fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'));
    (number < MAX_PIECES).then_some((star, number, extended))
}
