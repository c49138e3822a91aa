//! Header fields as ranges of the original bytes (RFC 5322 section 2.2).
//!
//! A header block ends at the first empty line or at the end of the bytes. A line without a colon is a field with that
//! name and no value: it ends nothing.

use std::collections::HashSet;
use std::ops::Range;

/// One header field, as ranges of the block it was found in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The name, without the spaces before the colon.
    pub name: Range<usize>,
    /// The value after the colon: folded, with its leading space, without the last line end.
    pub value: Range<usize>,
    /// Everything, including the last line end.
    pub whole: Range<usize>,
}

/// Iterator over the fields of a header block; see [`fields`].
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    block: &'a [u8],
    pos: usize,
}

/// The fields of a header block, in order.
pub fn fields(block: &[u8]) -> Fields<'_> {
    Fields { block, pos: 0 }
}

impl Iterator for Fields<'_> {
    type Item = Field;

    fn next(&mut self) -> Option<Field> {
        let start = self.pos;
        if start >= self.block.len() || empty_line(self.block, start).is_some() {
            return None;
        }
        let mut end = line_end(self.block, start);
        let first = end;
        while matches!(self.block.get(end), Some(b' ' | b'\t')) {
            end = line_end(self.block, end);
        }
        self.pos = end;
        let last = strip_eol(self.block, start, end);
        let first = strip_eol(self.block, start, first);
        let colon = memchr::memchr(b':', &self.block[start..first]).map(|at| start + at);
        let name_end = trim_end(self.block, start, colon.unwrap_or(first));
        let value = colon.map_or(last..last, |at| at + 1..last);
        Some(Field { name: start..name_end, value, whole: start..end })
    }
}

/// The value of the first field with this name (any case), unfolded and trimmed.
pub fn header_value(block: &[u8], name: impl AsRef<[u8]>) -> Option<Vec<u8>> {
    let name = name.as_ref();
    let field = fields(block).find(|field| block[field.name.clone()].eq_ignore_ascii_case(name))?;
    Some(unfold(&block[field.value]))
}

/// The answer to `HEADER.FIELDS` (or with `not`, `HEADER.FIELDS.NOT`): the chosen fields byte for byte, in their order,
/// and the empty line that ends them.
pub fn header_fields(block: &[u8], names: &[impl AsRef<[u8]>], not: bool) -> Vec<u8> {
    let is_wanted = chooser(names);
    let mut out = Vec::new();
    let mut rest = 0;
    for field in fields(block) {
        rest = field.whole.end;
        if is_wanted(&block[field.name]) != not {
            out.extend_from_slice(&block[field.whole]);
        }
    }
    if out.last().is_some_and(|&byte| byte != b'\n') {
        out.extend_from_slice(b"\r\n");
    }
    match empty_line(block, rest) {
        Some(end) => out.extend_from_slice(&block[rest..end]),
        None => out.extend_from_slice(b"\r\n"),
    }
    out
}

/// Names up to this many are compared one by one, which is faster than hashing each field's.
const FEW: usize = 32;

fn chooser(names: &[impl AsRef<[u8]>]) -> impl Fn(&[u8]) -> bool {
    let many: Option<HashSet<Vec<u8>>> =
        (names.len() > FEW).then(|| names.iter().map(|name| name.as_ref().to_ascii_lowercase()).collect());
    move |found| match &many {
        Some(many) => many.contains(&found.to_ascii_lowercase()),
        None => names.iter().any(|name| name.as_ref().eq_ignore_ascii_case(found)),
    }
}

/// A folded value as one line: line ends removed (the white space after them stays), trimmed.
pub fn unfold(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = memchr::memchr(b'\n', rest) {
        let line = &rest[..at];
        out.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.trim_ascii().to_vec()
}

/// The start of the line after the one that holds `pos`, or the end.
pub(crate) fn line_end(raw: &[u8], pos: usize) -> usize {
    memchr::memchr(b'\n', &raw[pos..]).map_or(raw.len(), |at| pos + at + 1)
}

/// Where an empty line at `pos` ends, if there is one.
pub(crate) fn empty_line(raw: &[u8], pos: usize) -> Option<usize> {
    match raw.get(pos..)? {
        [b'\n', ..] => Some(pos + 1),
        [b'\r', b'\n', ..] => Some(pos + 2),
        _ => None,
    }
}

/// `end` without one line end before it, never below `start`.
pub(crate) fn strip_eol(raw: &[u8], start: usize, end: usize) -> usize {
    match raw.get(start..end) {
        Some([.., b'\r', b'\n']) => end - 2,
        Some([.., b'\n']) => end - 1,
        _ => end,
    }
}

fn trim_end(raw: &[u8], start: usize, mut end: usize) -> usize {
    while end > start && matches!(raw[end - 1], b' ' | b'\t') {
        end -= 1;
    }
    end
}

#[cfg(test)]
mod tests;
