//! Address lists (RFC 5322 section 3.4), as forgiving as readers must be.

use crate::lex::Lexer;

/// Stands for a local part that is not there, as Dovecot answers it.
pub const MISSING_MAILBOX: &[u8] = b"MISSING_MAILBOX";
/// Stands for a domain that is not there, as Dovecot answers it: NIL would mean a group.
pub const MISSING_DOMAIN: &[u8] = b"MISSING_DOMAIN";

/// One address, or the begin (`local` is the group's name, no `host`) or end (neither) of a group: the four strings of an
/// IMAP address structure.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mailbox {
    /// Display name, or the comment after the address; encoded words as they are.
    pub name: Option<Vec<u8>>,
    /// Source route, as `@a,@b`.
    pub route: Option<Vec<u8>>,
    /// Local part without quotes.
    pub local: Option<Vec<u8>>,
    /// Domain.
    pub host: Option<Vec<u8>>,
}

/// What ends a word outside quotes.
const SPECIALS: &[u8] = b"()<>@,;:\\\".[]";

/// The addresses of a header value. A broken address loses only itself.
pub fn addresses(value: &[u8]) -> Vec<Mailbox> {
    let mut list = List { lexer: Lexer::new(value), out: Vec::new(), group: false };
    while list.item() {}
    if list.group {
        list.out.push(Mailbox::default());
    }
    list.out
}

/// A word of a phrase or local part.
struct Word {
    text: Vec<u8>,
    quoted: bool,
    /// Joined to the word before by a dot, not by a space.
    dotted: bool,
}

struct List<'a> {
    lexer: Lexer<'a>,
    out: Vec<Mailbox>,
    group: bool,
}

impl List<'_> {
    /// Takes one address or group mark; false at the end.
    fn item(&mut self) -> bool {
        let mut comment = self.lexer.skip();
        let words = self.words(&mut comment);
        match self.lexer.bump() {
            None => {
                self.bare(&words, comment);
                return false;
            }
            Some(b'<') => self.angle(&words, comment),
            Some(b'@') => self.at(words, comment),
            Some(b':') if !words.is_empty() && !self.group => {
                let local = Some(phrase(&words));
                self.out.push(Mailbox { local, ..Mailbox::default() });
                self.group = true;
            }
            Some(b';') => {
                self.bare(&words, comment);
                if std::mem::take(&mut self.group) {
                    self.out.push(Mailbox::default());
                }
            }
            // A comma, or a byte that cannot be here: what came before stands for itself.
            Some(_) => self.bare(&words, comment),
        }
        true
    }

    fn words(&mut self, comment: &mut Option<Vec<u8>>) -> Vec<Word> {
        let mut words: Vec<Word> = Vec::new();
        let mut dotted = false;
        loop {
            let (text, quoted) = match self.lexer.peek() {
                Some(b'"') => (self.lexer.quoted(), true),
                Some(b'.') => {
                    self.lexer.bump();
                    // A dot stays with the word before it: `J. Smith`, `a.b`.
                    match words.last_mut() {
                        Some(word) => word.text.push(b'.'),
                        None => words.push(Word { text: vec![b'.'], quoted: false, dotted: false }),
                    }
                    // With a space after it, a dot joins only what an `@` follows: decided by `at`.
                    dotted = !matches!(self.lexer.peek(), Some(b' ' | b'\t' | b'\r' | b'\n'));
                    *comment = self.lexer.skip().or(comment.take());
                    continue;
                }
                Some(b'\\' | b']' | b')') => {
                    self.lexer.bump();
                    continue;
                }
                Some(b'[') => (self.lexer.domain_literal(), false),
                _ => (self.lexer.word(SPECIALS).to_vec(), false),
            };
            if text.is_empty() && !quoted {
                return words;
            }
            words.push(Word { text, quoted, dotted });
            dotted = false;
            *comment = self.lexer.skip().or(comment.take());
        }
    }

    /// Words without an address: one atom is a local part, more are a name.
    fn bare(&mut self, words: &[Word], comment: Option<Vec<u8>>) {
        let Some(first) = words.first() else { return };
        let missing = Some(MISSING_MAILBOX.to_vec());
        let atom = words.iter().skip(1).all(|word| word.dotted) && !first.quoted;
        let (name, local) = if atom { (comment, Some(phrase(words))) } else { (Some(phrase(words)), missing) };
        self.out.push(Mailbox { name, route: None, local, host: Some(MISSING_DOMAIN.to_vec()) });
    }

    /// After `<`: a route, an address, `>`.
    fn angle(&mut self, words: &[Word], mut comment: Option<Vec<u8>>) {
        let mut inner = None;
        self.lexer.skip();
        let route = self.route();
        let local = self.words(&mut inner);
        let mut host = None;
        if self.lexer.eat(b'@') {
            host = Some(self.domain(&mut inner));
        }
        self.lexer.skip_to(b">,;");
        if self.lexer.eat(b'>') {
            comment = self.lexer.skip().or(comment);
            self.lexer.skip_to(b",;");
        }
        let name = if words.is_empty() { comment } else { Some(phrase(words)) };
        self.push(name, route, (!local.is_empty()).then(|| joined(&local)), host);
    }

    /// After `@`: a domain. Only the words joined by dots before it are the local part.
    fn at(&mut self, mut words: Vec<Word>, mut comment: Option<Vec<u8>>) {
        let mut first = words.len().saturating_sub(1);
        while first > 0 && (words[first].dotted || words[first - 1].text.ends_with(b".")) {
            first -= 1;
        }
        let local = words.split_off(first);
        let host = self.domain(&mut comment);
        let name = if words.is_empty() { comment } else { Some(phrase(&words)) };
        self.push(name, None, (!local.is_empty()).then(|| joined(&local)), Some(host));
        self.lexer.skip_to(b",;");
    }

    fn push(&mut self, name: Option<Vec<u8>>, route: Option<Vec<u8>>, local: Option<Vec<u8>>, host: Option<Vec<u8>>) {
        let local = local.unwrap_or_else(|| MISSING_MAILBOX.to_vec());
        let name = name.filter(|name| !name.trim_ascii().is_empty());
        let host = host.filter(|host| !host.is_empty()).unwrap_or_else(|| MISSING_DOMAIN.to_vec());
        self.out.push(Mailbox { name, route, local: Some(local), host: Some(host) });
    }

    /// `@a,@b:` before an address; if no colon follows, there was an address without local part.
    fn route(&mut self) -> Option<Vec<u8>> {
        let mut route = Vec::new();
        while self.lexer.eat(b'@') {
            if !route.is_empty() {
                route.push(b',');
            }
            route.push(b'@');
            route.extend(self.domain(&mut None));
            while self.lexer.eat(b',') {
                self.lexer.skip();
            }
        }
        self.lexer.eat(b':');
        self.lexer.skip();
        (!route.is_empty()).then_some(route)
    }

    fn domain(&mut self, comment: &mut Option<Vec<u8>>) -> Vec<u8> {
        let mut host = Vec::new();
        loop {
            *comment = self.lexer.skip().or(comment.take());
            match self.lexer.peek() {
                Some(b'.') => {
                    self.lexer.bump();
                    host.push(b'.');
                }
                Some(b'[') => host.extend(self.lexer.domain_literal()),
                _ if host.is_empty() || host.ends_with(b".") => {
                    let word = self.lexer.word(SPECIALS);
                    if word.is_empty() {
                        return host;
                    }
                    host.extend_from_slice(word);
                }
                _ => return host,
            }
        }
    }
}

/// Words as a name: with spaces, except around dots that had none.
fn phrase(words: &[Word]) -> Vec<u8> {
    let mut out = Vec::new();
    for word in words {
        if !out.is_empty() && !word.dotted {
            out.push(b' ');
        }
        out.extend_from_slice(&word.text);
    }
    out
}

/// Words as a local part.
fn joined(words: &[Word]) -> Vec<u8> {
    words.iter().flat_map(|word| word.text.iter().copied()).collect()
}

#[cfg(test)]
mod tests;
