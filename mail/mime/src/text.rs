//! What SEARCH looks at: decoded headers, and the text of every part.

use memchr::memmem;

use crate::content::{ContentType, PartHeader};
use crate::header::fields;
use crate::skeleton::{Kind, Part, Skeleton};
use crate::words::decode_words;
use crate::{charset, transfer};

/// Folds case for comparison: full Unicode lower case, character by character, and final sigma as sigma.
///
/// Without the context that `str::to_lowercase` uses for sigma, so that the fold of a substring is a substring of the
/// fold: the search index depends on it. Accents stay.
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.chars().flat_map(char::to_lowercase).map(|found| if found == 'ς' { 'σ' } else { found }).collect()
}

/// True if a header value, decoded by [`decode_words`] and folded, contains the folded text.
pub fn value_contains(value: &[u8], text: &str) -> bool {
    let is_plain = value.is_ascii() && memchr::memchr(b'\n', value).is_none() && memmem::find(value, b"=?").is_none();
    if is_plain {
        plain_contains(value.trim_ascii(), text.as_bytes())
    } else {
        fold(&decode_words(value)).contains(text)
    }
}

/// The same for a value that is its own decoded form but for case.
fn plain_contains(value: &[u8], text: &[u8]) -> bool {
    let Some((first, rest)) = text.split_first() else { return true };
    memchr::memchr2_iter(*first, first.to_ascii_uppercase(), value)
        .any(|at| value.get(at + 1..at + 1 + rest.len()).is_some_and(|found| found.eq_ignore_ascii_case(rest)))
}

/// The message's own header, decoded: one `Name: value` line per field.
pub fn header_text(raw: &[u8], skeleton: &Skeleton) -> String {
    decoded_header(raw.get(skeleton.header()).unwrap_or_default())
}

/// The decoded body, piece by piece: the headers of parts and nested messages, and the text of text/* and message/* parts
/// after transfer and charset decoding, HTML with its markup. With [`header_text`] it is all that SEARCH TEXT sees.
pub fn search_text<'a>(raw: &'a [u8], skeleton: &'a Skeleton) -> impl Iterator<Item = String> + 'a {
    let parts = skeleton.parts();
    parts.iter().enumerate().flat_map(move |(index, part)| {
        let block = raw.get(part.header_range()).unwrap_or_default();
        let header = (index > 0).then(|| decoded_header(block)).filter(|text| !text.is_empty());
        let childless = skeleton.is_childless(index);
        header
            .into_iter()
            .chain(childless.then(|| body_text(raw, part, &PartHeader::read(block), usize::MAX)).flatten())
    })
}

/// The decoded text of a part without parts inside, if it is text; reads at most `limit` encoded bytes.
pub(crate) fn body_text(raw: &[u8], part: &Part, header: &PartHeader<'_>, limit: usize) -> Option<String> {
    let content_type = header.content_type.as_ref();
    let textual = |found: &ContentType| found.main.is_empty() || found.is_main(b"text") || found.is_main(b"message");
    // A multipart whose boundary never came is shown to people as the text it holds.
    if part.kind != Kind::Multipart && !content_type.is_none_or(textual) {
        return None;
    }
    let body = raw.get(part.body_range())?;
    let body = &body[..body.len().min(limit)];
    if body.is_empty() {
        return None;
    }
    let label = content_type.and_then(|found| found.param(b"charset")).unwrap_or_default();
    Some(charset::decode(&transfer::decode(body, header.encoding.as_deref()), label))
}

fn decoded_header(block: &[u8]) -> String {
    let mut out = String::with_capacity(block.len());
    for field in fields(block) {
        out.push_str(&charset::guess(&block[field.name]));
        out.push_str(": ");
        out.push_str(&decode_words(&block[field.value]));
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests;
