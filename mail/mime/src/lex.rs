//! The words of structured header values (RFC 5322 section 3.2, RFC 2045 section 5.1), taken leniently.
//!
//! Every method moves forward or stays at the end, so a loop over them is linear.

/// A position in a header value.
pub(crate) struct Lexer<'a> {
    raw: &'a [u8],
    pos: usize,
}

impl<'a> Lexer<'a> {
    pub fn new(raw: &'a [u8]) -> Self {
        Self { raw, pos: 0 }
    }

    pub fn peek(&self) -> Option<u8> {
        self.raw.get(self.pos).copied()
    }

    pub fn bump(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.pos += 1;
        Some(byte)
    }

    /// Takes the byte if it is next.
    pub fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.pos += usize::from(found);
        found
    }

    /// Skips white space and comments; returns the text of the last comment.
    pub fn skip(&mut self) -> Option<Vec<u8>> {
        let mut last = None;
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\r' | b'\n') => self.pos += 1,
                Some(b'(') => last = Some(self.comment()),
                _ => return last,
            }
        }
    }

    /// A comment, without its outer parentheses; one that never closes reaches to the end.
    fn comment(&mut self) -> Vec<u8> {
        let (mut out, mut depth) = (Vec::new(), 0_usize);
        while let Some(byte) = self.bump() {
            match byte {
                b'(' => {
                    depth += 1;
                    if depth == 1 {
                        continue;
                    }
                }
                b')' => {
                    depth -= 1;
                    if depth == 0 {
                        break;
                    }
                }
                b'\\' => {
                    out.extend(self.bump());
                    continue;
                }
                b'\r' | b'\n' => continue,
                _ => {}
            }
            out.push(byte);
        }
        out
    }

    /// The text of a quoted string whose opening quote is next; one that never closes reaches to the end.
    pub fn quoted(&mut self) -> Vec<u8> {
        self.delimited(b'"')
    }

    fn delimited(&mut self, close: u8) -> Vec<u8> {
        let mut out = Vec::new();
        self.pos += 1;
        while let Some(byte) = self.bump() {
            match byte {
                b'\\' => out.extend(self.bump()),
                b'\r' | b'\n' => {}
                _ if byte == close => break,
                _ => out.push(byte),
            }
        }
        out
    }

    /// A domain literal with its brackets, white space removed.
    pub fn domain_literal(&mut self) -> Vec<u8> {
        let mut out = vec![b'['];
        out.extend(self.delimited(b']').into_iter().filter(|byte| !byte.is_ascii_whitespace()));
        out.push(b']');
        out
    }

    /// Bytes up to white space or one of `stop`.
    pub fn word(&mut self, stop: &[u8]) -> &'a [u8] {
        let start = self.pos;
        while self.peek().is_some_and(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') && !stop.contains(&byte)) {
            self.pos += 1;
        }
        &self.raw[start..self.pos]
    }

    /// Skips to one of `stop`, passing over quoted strings and comments.
    pub fn skip_to(&mut self, stop: &[u8]) {
        while let Some(byte) = self.peek() {
            match byte {
                _ if stop.contains(&byte) => return,
                b'"' => drop(self.quoted()),
                b'(' => drop(self.comment()),
                _ => self.pos += 1,
            }
        }
    }
}
