//! Names of people and places out of a text: the same name has the same pseudonym everywhere in one report.
//!
//! * What objects declare is known: addresses, their parts, domains, names of Mailboxes and Secrets, hosts, buckets. Each is
//!   replaced where it stands as a word, in any case, also between `-`, `.`, `/`, `:` and `@`.
//! * What has the form of an address (`x@y`) or of an IP address is replaced wherever it comes from.
//! * What a person wrote (`remember`) is replaced as a whole.

use std::collections::HashMap;
use std::net::IpAddr;

/// Shorter texts of people would be found everywhere.
const WORTHWHILE: usize = 4;

/// Pseudonyms, and what they stand for.
#[derive(Debug, Default)]
pub struct Redactor {
    /// By what is replaced, in lower case.
    words: HashMap<String, String>,
    /// Texts with blanks inside, the longest first.
    texts: Vec<(String, String)>,
    counts: HashMap<&'static str, usize>,
}

impl Redactor {
    /// Replaces a word: `kind-1`, `kind-2`, ...
    pub fn word(&mut self, kind: &'static str, word: &str) {
        let word = word.trim_matches('.').to_lowercase();
        // What is no name may stay: a catch-all, a blank.
        if word.chars().any(char::is_alphanumeric) && !self.words.contains_key(&word) {
            let pseudonym = self.next(kind);
            self.words.insert(word, pseudonym);
        }
    }

    /// Replaces an address, its parts, and the domain.
    pub fn address(&mut self, address: &str) {
        self.word("address", address);
        if let Some((local, domain)) = address.rsplit_once('@') {
            self.word("name", local);
            self.word("domain", domain);
        }
    }

    /// Replaces the host of a URL.
    pub fn url(&mut self, url: &str) {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let host = rest.split(['/', '?']).next().unwrap_or_default();
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        let host = host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(host, |(host, _)| host);
        self.word("host", host);
        self.text("url", url);
    }

    /// Replaces what a person wrote.
    pub fn text(&mut self, kind: &'static str, text: &str) {
        if text.len() < WORTHWHILE || self.texts.iter().any(|(known, _)| known == text) {
            return;
        }
        let pseudonym = self.next(kind);
        self.texts.push((text.to_owned(), pseudonym));
        self.texts.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
    }

    /// The text without any of them.
    pub fn redact(&mut self, text: &str) -> String {
        let mut text = text.to_owned();
        for (known, pseudonym) in &self.texts {
            if text.contains(known.as_str()) {
                text = text.replace(known.as_str(), pseudonym);
            }
        }
        let mut out = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(start) = rest.find(is_part) {
            out.push_str(&rest[..start]);
            rest = &rest[start..];
            let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            self.token(&rest[..end], &mut out);
            rest = &rest[end..];
        }
        out + rest
    }

    /// A run of letters, digits and what stands inside names.
    fn token(&mut self, token: &str, out: &mut String) {
        // A sentence ends behind it.
        let name = token.trim_end_matches(['.', ':', '-']);
        let tail = &token[name.len()..];
        if name.contains('@')
            && let Some((first, rest)) = name.split_once(':')
        {
            self.token(first, out);
            out.push(':');
            self.token(rest, out);
        } else if let Some(pseudonym) = self.whole(name) {
            out.push_str(&pseudonym);
        } else {
            self.parts(name, out);
        }
        out.push_str(tail);
    }

    /// The pseudonym of a token that is replaced as a whole.
    fn whole(&mut self, token: &str) -> Option<String> {
        if let Some(known) = self.words.get(&token.to_lowercase()) {
            return Some(known.clone());
        }
        if let Some((local, domain)) = token.rsplit_once('@')
            && !local.is_empty()
            && domain.contains(char::is_alphanumeric)
        {
            self.address(token);
            return self.words.get(&token.to_lowercase()).cloned();
        }
        let (host, port) = match token.parse::<std::net::SocketAddr>() {
            Ok(socket) => (socket.ip(), format!(":{}", socket.port())),
            Err(_) => (token.parse::<IpAddr>().ok()?, String::new()),
        };
        if host.is_loopback() || host.is_unspecified() {
            return None;
        }
        self.word("ip", &host.to_string());
        self.words.get(&host.to_string()).map(|known| known.clone() + &port)
    }

    /// The longest known names inside, from the left.
    fn parts(&self, token: &str, out: &mut String) {
        let lower = token.to_lowercase();
        // Where lower case is of another length, positions would not fit; nothing that is declared is like that.
        if lower.len() != token.len() {
            out.push_str(token);
            return;
        }
        let bounds: Vec<usize> = bounds(token);
        let mut at = 0;
        while at + 1 < bounds.len() {
            let start = bounds[at];
            let found = (at + 1..bounds.len())
                .rev()
                .find_map(|end| self.words.get(&lower[start..bounds[end]]).map(|known| (end, known)));
            if let Some((end, known)) = found {
                out.push_str(known);
                at = end;
            } else {
                out.push_str(&token[start..bounds[at + 1]]);
                at += 1;
            }
        }
    }

    fn next(&mut self, kind: &'static str) -> String {
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        format!("{kind}-{count}")
    }
}

/// Where words inside a token begin and end.
fn bounds(token: &str) -> Vec<usize> {
    let mut bounds = vec![0];
    let mut before = None;
    for (at, c) in token.char_indices() {
        let is_word = c.is_alphanumeric() || c == '_';
        if at > 0 && (before != Some(is_word) || !is_word) {
            bounds.push(at);
        }
        before = Some(is_word);
    }
    bounds.push(token.len());
    bounds.dedup();
    bounds
}

fn is_part(c: char) -> bool {
    c.is_alphanumeric() || "_.-+@%:*".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redactor() -> Redactor {
        let mut redactor = Redactor::default();
        redactor.address("ann.lee@example.org");
        redactor.word("name", "ann");
        redactor.word("name", "ann-old");
        redactor.url("https://s3.storage.example:9000/x");
        redactor.text("words", "the disk of Ann");
        redactor
    }

    #[test]
    fn what_is_known_is_replaced_wherever_it_stands_as_a_word() {
        let mut redactor = redactor();
        let mut is = |text: &str, wanted: &str| assert_eq!(redactor.redact(text), wanted);
        is("mail for Ann.Lee@Example.org.", "mail for address-1.");
        is("mx.example.org:2525 and <example.org>", "mx.domain-1:2525 and <domain-1>");
        is("secret/ann-password, mailbox/ann-old: ANN", "secret/name-2-password, mailbox/name-3: name-2");
        is("annual banner xann", "annual banner xann");
        is("https://s3.storage.example:9000/bucket", "https://host-1:9000/bucket");
        is("fenced (the disk of Ann)", "fenced (words-1)");
        is("path=/data/ann/x", "path=/data/name-2/x");
        is("rcpt=ann, to:ann.lee@example.org", "rcpt=name-2, to:address-1");
    }

    #[test]
    fn what_has_the_form_of_an_address_is_replaced_and_keeps_its_pseudonym() {
        let mut redactor = Redactor::default();
        let first = redactor.redact("from eve@elsewhere.example (192.0.2.7), [2001:db8::1]:25, 192.0.2.7:25");
        assert_eq!(first, "from address-1 (ip-1), [ip-2]:25, ip-1:25");
        assert_eq!(redactor.redact("again EVE@elsewhere.example at elsewhere.example"), "again address-1 at domain-1");
        let harmless = "127.0.0.1:80 0.0.0.0 03:04:05 1.34.4 a@ @b sealpost:0.1.0 src/x.rs";
        assert_eq!(redactor.redact(harmless), harmless);
    }
}
