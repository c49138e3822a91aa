//! The terminals of the grammar (RFC 3501 section 9), over one whole command.

/// A piece of grammar, or what was wrong, for the client to read.
pub(crate) type Parsed<T> = Result<T, &'static str>;

/// A position in a command. Literals are inline, see `frame`.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    pub fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Moves past `byte` if it is next.
    pub fn eat(&mut self, byte: u8) -> bool {
        let here = self.peek() == Some(byte);
        self.at += usize::from(here);
        here
    }

    /// Moves past a word in any case, if it is next.
    pub fn eat_word(&mut self, word: &str) -> bool {
        let here = self.rest().get(..word.len()).is_some_and(|w| w.eq_ignore_ascii_case(word.as_bytes()));
        if here {
            self.at += word.len();
        }
        here
    }

    pub fn expect(&mut self, byte: u8, wrong: &'static str) -> Parsed<()> {
        if self.eat(byte) { Ok(()) } else { Err(wrong) }
    }

    /// One space between arguments; more are forgiven.
    pub fn space(&mut self) -> Parsed<()> {
        self.expect(b' ', "Missing argument")?;
        while self.eat(b' ') {}
        Ok(())
    }

    /// The end of the command; spaces before it are forgiven.
    pub fn end(&mut self) -> Parsed<()> {
        while self.eat(b' ') {}
        if self.at == self.bytes.len() { Ok(()) } else { Err("Unexpected argument") }
    }

    pub fn take_while(&mut self, test: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let n = rest.iter().position(|&b| !test(b)).unwrap_or(rest.len());
        self.at += n;
        &rest[..n]
    }

    /// A non-empty run of atom characters.
    pub fn atom(&mut self) -> Parsed<&'a str> {
        self.word(is_atom, "Expected an atom")
    }

    /// A non-empty run of ASCII characters of that kind.
    pub fn word(&mut self, test: impl Fn(u8) -> bool, wrong: &'static str) -> Parsed<&'a str> {
        match std::str::from_utf8(self.take_while(|b| b.is_ascii() && test(b))) {
            Ok(word) if !word.is_empty() => Ok(word),
            _ => Err(wrong),
        }
    }

    pub fn number(&mut self) -> Parsed<u64> {
        let digits = self.take_while(|b| b.is_ascii_digit());
        if digits.is_empty() || digits.len() > 19 {
            return Err("Expected a number");
        }
        Ok(digits.iter().fold(0_u64, |n, d| n.saturating_mul(10).saturating_add(u64::from(d - b'0'))))
    }

    pub fn astring(&mut self) -> Parsed<Vec<u8>> {
        self.text_or(|b| is_atom(b) || b == b']')
    }

    /// A mailbox name with LIST's wildcards (`list-mailbox`).
    pub fn list_mailbox(&mut self) -> Parsed<Vec<u8>> {
        self.text_or(|b| is_atom(b) || matches!(b, b']' | b'%' | b'*'))
    }

    fn text_or(&mut self, bare: impl Fn(u8) -> bool) -> Parsed<Vec<u8>> {
        match self.peek() {
            Some(b'"' | b'{') => self.string(),
            _ => match self.take_while(bare) {
                [] => Err("Expected a string"),
                atom => Ok(atom.to_vec()),
            },
        }
    }

    /// A quoted string or a literal.
    pub fn string(&mut self) -> Parsed<Vec<u8>> {
        if self.eat(b'{') {
            return self.literal();
        }
        self.expect(b'"', "Expected a string")?;
        let mut text = Vec::new();
        loop {
            match self.bytes.get(self.at) {
                None | Some(b'\r' | b'\n') => return Err("Missing closing quote"),
                Some(b'"') => break self.at += 1,
                Some(b'\\') => {
                    let Some(&escaped) = self.bytes.get(self.at + 1) else { return Err("Missing closing quote") };
                    text.push(escaped);
                    self.at += 2;
                }
                Some(&byte) => {
                    text.push(byte);
                    self.at += 1;
                }
            }
        }
        Ok(text)
    }

    fn literal(&mut self) -> Parsed<Vec<u8>> {
        let size = self.number()? as usize;
        if !self.eat_word("}\r\n") {
            return Err("Invalid literal");
        }
        let text = self.rest().get(..size).ok_or("Literal is too short")?;
        self.at += size;
        Ok(text.to_vec())
    }

    pub fn nstring(&mut self) -> Parsed<Option<Vec<u8>>> {
        match self.peek() {
            Some(b'"' | b'{') => self.string().map(Some),
            _ if self.eat_word("NIL") => Ok(None),
            _ => Err("Expected a string or NIL"),
        }
    }

    /// `(` items separated by spaces `)`, possibly none.
    pub fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        self.expect(b'(', "Expected a list")?;
        let mut items = Vec::new();
        while self.eat(b' ') {}
        while !self.eat(b')') {
            items.push(item(self)?);
            if self.peek() != Some(b')') {
                self.space().map_err(|_| "Missing )")?;
            }
        }
        Ok(items)
    }
}

/// ATOM-CHAR.
pub(crate) fn is_atom(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b']')
}
