//! Base64 bodies that are a function of what they encode, so that only the decoded bytes need be stored.
//!
//! A layout exists only if lines have one length (the last may be shorter), one kind of line end, and canonical base64:
//! then encoding the decoded bytes by the layout gives every original byte back, and any range of it by arithmetic.

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// How a base64 body is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// Characters per line without the line end; a multiple of 4.
    pub line_len: u32,
    /// Line ends are CRLF, else LF.
    pub crlf: bool,
    /// Line ends after the last line.
    pub tail: u32,
    /// Bytes after decoding.
    pub decoded_len: u64,
}

/// Proves that a body can be rebuilt from its decoded form; `None` if it cannot.
pub fn base64_layout(body: &[u8]) -> Option<Layout> {
    decode_with_layout(body).map(|(layout, _)| layout)
}

fn decode_with_layout(body: &[u8]) -> Option<(Layout, Vec<u8>)> {
    let (line, crlf) = match memchr::memchr(b'\n', body) {
        Some(at) if body[..at].ends_with(b"\r") => (at - 1, true),
        Some(at) => (at, false),
        None => (body.len(), true),
    };
    if line == 0 || line % 4 != 0 {
        return None;
    }
    let eol: &[u8] = if crlf { b"\r\n" } else { b"\n" };
    let (mut text, mut tail) = (body, 0);
    while let Some(shorter) = text.strip_suffix(eol) {
        text = shorter;
        tail += 1;
    }
    let mut packed = Vec::with_capacity(text.len());
    let mut rest = text;
    while rest.len() > line {
        let (full, after) = rest.split_at(line);
        packed.extend_from_slice(full);
        rest = after.strip_prefix(eol)?;
        // The line ends at the end are the tail, so a line follows here.
        if rest.is_empty() {
            return None;
        }
    }
    packed.extend_from_slice(rest);
    // Padding anywhere but at the end would decode, but not come back.
    let padding = memchr::memchr(b'=', &packed).map_or(0, |at| packed.len() - at);
    if packed.is_empty() || padding > 2 {
        return None;
    }
    let decoded = BASE64.decode(&packed).ok()?;
    let layout = Layout { line_len: u32::try_from(line).ok()?, crlf, tail, decoded_len: decoded.len() as u64 };
    (layout.encoded_len() == body.len() as u64).then_some((layout, decoded))
}

impl Layout {
    /// The decoded bytes of a body and the layout that brings it back; `None` if there is none.
    pub fn decode(body: &[u8]) -> Option<(Self, Vec<u8>)> {
        decode_with_layout(body)
    }

    /// Length of the original body.
    pub fn encoded_len(&self) -> u64 {
        let characters = self.characters();
        let breaks = characters.saturating_sub(1) / self.line();
        characters + (breaks + u64::from(self.tail)) * self.eol().len() as u64
    }

    /// Which decoded bytes [`Self::encode_range`] needs for a range of the original body.
    pub fn decoded_range_for(&self, encoded: Range<u64>) -> Range<u64> {
        let first = self.character_at(encoded.start) / 4;
        let last = self.character_at(encoded.end).div_ceil(4);
        (first * 3).min(self.decoded_len)..(last * 3).min(self.decoded_len)
    }

    /// The original bytes of a range, from the decoded bytes that [`Self::decoded_range_for`] names for it. A range beyond
    /// the end is cut; decoded bytes that are missing leave the answer short.
    pub fn encode_range(&self, decoded: &[u8], encoded: Range<u64>) -> Vec<u8> {
        let encoded = encoded.start..encoded.end.min(self.encoded_len());
        let text = BASE64.encode(decoded);
        // The first character of `text` is this one of the body.
        let base = self.character_at(encoded.start) / 4 * 4;
        let eol = self.eol();
        let width = self.line() + eol.len() as u64;
        let total = self.characters();
        let mut out = Vec::with_capacity(encoded.end.saturating_sub(encoded.start) as usize);
        let mut pos = encoded.start;
        while pos < encoded.end {
            let row = pos / width;
            let row_start = (row * self.line()).min(total);
            let in_row = (total - row_start).min(self.line());
            let column = pos - row * width;
            let at = row_start + column;
            let (piece, available) = if row_start < total && column < in_row {
                let from = (at - base) as usize;
                let take = (in_row - column).min(encoded.end - pos) as usize;
                (text.as_bytes().get(from..from + take), take)
            } else {
                // Behind the characters of a row, or in the tail: only line ends.
                let from = self.eol_phase(pos);
                let take = (eol.len() - from).min((encoded.end - pos) as usize);
                (eol.get(from..from + take), take)
            };
            let Some(piece) = piece else { return out };
            out.extend_from_slice(piece);
            pos += available as u64;
        }
        out
    }

    /// Which byte of a line end is at a position that holds one.
    fn eol_phase(&self, pos: u64) -> usize {
        let (width, eol) = (self.line() + self.eol().len() as u64, self.eol().len() as u64);
        let body = self.encoded_len() - u64::from(self.tail) * eol;
        let phase = if pos >= body { (pos - body) % eol } else { pos % width - self.line() };
        phase as usize
    }

    /// How many base64 characters come before a position of the body.
    fn character_at(&self, pos: u64) -> u64 {
        let width = self.line() + self.eol().len() as u64;
        (pos / width * self.line() + (pos % width).min(self.line())).min(self.characters())
    }

    fn characters(&self) -> u64 {
        self.decoded_len.div_ceil(3) * 4
    }

    fn line(&self) -> u64 {
        u64::from(self.line_len).max(1)
    }

    fn eol(&self) -> &'static [u8] {
        if self.crlf { b"\r\n" } else { b"\n" }
    }
}

#[cfg(test)]
mod tests;
