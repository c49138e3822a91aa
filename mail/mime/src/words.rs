//! Encoded words (RFC 2047) to text.

use crate::header::unfold;
use crate::{charset, transfer};
use memchr::{memchr, memmem};

/// Decodes a header value: unfolded, encoded words decoded, white space between two of them dropped, raw 8-bit bytes read
/// as UTF-8 or else windows-1252. What is not quite an encoded word stays as it is.
pub fn decode_words(value: &[u8]) -> String {
    let value = unfold(value);
    let mut out = Output::default();
    let mut rest: &[u8] = &value;
    // Where the text not yet written begins; `search` runs ahead of it over what only looks like a word.
    let mut search = 0;
    while let Some(at) = memmem::find(&rest[search..], b"=?").map(|at| search + at) {
        let Some((word, length)) = Word::parse(&rest[at..]) else {
            search = at + 2;
            continue;
        };
        out.plain(&rest[..at]);
        out.word(word);
        rest = &rest[at + length..];
        search = 0;
    }
    out.plain(rest);
    out.finish()
}

struct Word {
    charset: Vec<u8>,
    bytes: Vec<u8>,
}

impl Word {
    /// `=?charset*language?encoding?text?=`, and its length.
    fn parse(raw: &[u8]) -> Option<(Self, usize)> {
        let rest = &raw[2..];
        let charset = &rest[..memchr(b'?', rest)?];
        if charset.is_empty() || charset.iter().any(u8::is_ascii_whitespace) {
            return None;
        }
        let rest = &rest[charset.len() + 1..];
        let (&encoding, rest) = rest.split_first()?;
        let rest = rest.strip_prefix(b"?")?;
        let text = &rest[..memchr(b'?', rest)?];
        rest[text.len() + 1..].strip_prefix(b"=")?;
        let bytes = match encoding {
            b'q' | b'Q' => transfer::q_word(text),
            b'b' | b'B' => transfer::base64(text),
            _ => return None,
        };
        let language = memchr(b'*', charset).unwrap_or(charset.len());
        let length = 2 + charset.len() + 1 + 2 + text.len() + 2;
        Some((Self { charset: charset[..language].to_ascii_lowercase(), bytes }, length))
    }
}

#[derive(Default)]
struct Output {
    text: String,
    /// Neighbouring words of one charset are decoded together: some mailers split characters between them.
    pending: Option<Word>,
}

impl Output {
    fn plain(&mut self, bytes: &[u8]) {
        if self.pending.is_some() && bytes.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        self.flush();
        self.text.push_str(&charset::guess(bytes));
    }

    fn word(&mut self, word: Word) {
        match &mut self.pending {
            Some(pending) if pending.charset == word.charset => pending.bytes.extend_from_slice(&word.bytes),
            _ => {
                self.flush();
                self.pending = Some(word);
            }
        }
    }

    fn flush(&mut self) {
        if let Some(word) = self.pending.take() {
            self.text.push_str(&charset::decode(&word.bytes, &word.charset));
        }
    }

    fn finish(mut self) -> String {
        self.flush();
        self.text
    }
}

#[cfg(test)]
mod tests;
