//! PREVIEW (RFC 8970): the first readable words.

use crate::content::{ContentType, PartHeader};
use crate::skeleton::{Kind, Part, Skeleton};
use crate::text::body_text;

/// RFC 8970 section 3.2: at most this many characters.
const MAX_CHARS: usize = 200;
/// Encoded bytes read from a part: style sheets before the first word of HTML are rarely longer.
const MAX_BYTES: usize = 64 * 1024;

/// The first 200 characters of readable text: of the first text/plain part that has any, else of the first text/html.
pub fn preview(raw: &[u8], skeleton: &Skeleton) -> String {
    let mut html = None;
    for (index, part) in skeleton.parts().iter().enumerate() {
        if !skeleton.is_childless(index) {
            continue;
        }
        let header = PartHeader::read(raw.get(part.header_range()).unwrap_or_default());
        if header.disposition.as_ref().is_some_and(|found| found.is_main(b"attachment")) {
            continue;
        }
        let content_type = header.content_type.as_ref();
        let plain_text = |found: &ContentType| found.main.is_empty() || found.is(b"text", b"plain");
        if part.kind == Kind::Multipart || content_type.is_none_or(plain_text) {
            let text = plain(raw, part, &header);
            if !text.is_empty() {
                return text;
            }
        } else if html.is_none() && content_type.is_some_and(|found| found.is(b"text", b"html")) {
            let text = body_text(raw, part, &header, MAX_BYTES).unwrap_or_default();
            html = Some(squeeze(strip_markup(&text).chars())).filter(|text| !text.is_empty());
        }
    }
    html.unwrap_or_default()
}

fn plain(raw: &[u8], part: &Part, header: &PartHeader<'_>) -> String {
    squeeze(body_text(raw, part, header, MAX_BYTES).unwrap_or_default().chars())
}

/// White space and control characters collapsed to single spaces, cut to the limit.
fn squeeze(chars: impl Iterator<Item = char>) -> String {
    let mut out = String::new();
    let (mut count, mut gap) = (0, false);
    for found in chars {
        if found.is_whitespace()
            || found.is_control()
            || matches!(found, '\u{200b}'..='\u{200f}' | '\u{feff}' | '\u{ad}')
        {
            gap = count > 0;
            continue;
        }
        let wanted = 1 + usize::from(gap);
        if count + wanted > MAX_CHARS {
            break;
        }
        if std::mem::take(&mut gap) {
            out.push(' ');
        }
        out.push(found);
        count += wanted;
    }
    out
}

/// The text between tags, without comments, styles and scripts, common entities replaced.
fn strip_markup(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        entities(&mut out, &rest[..at]);
        rest = skip_tag(&rest[at..]);
        out.push(' ');
    }
    entities(&mut out, rest);
    out
}

/// What follows the tag, comment or hidden element that `rest` begins with.
fn skip_tag(rest: &str) -> &str {
    if let Some(comment) = rest.strip_prefix("<!--") {
        return comment.find("-->").map_or("", |end| &comment[end + 3..]);
    }
    let after = rest.find('>').map_or("", |end| &rest[end + 1..]);
    for name in ["style", "script", "title"] {
        if starts_with_tag(&rest[1..], name) {
            return skip_element(after, name);
        }
    }
    after
}

fn skip_element<'a>(rest: &'a str, name: &str) -> &'a str {
    let mut rest = rest;
    while let Some(at) = rest.find("</") {
        rest = &rest[at + 2..];
        if starts_with_tag(rest, name) {
            return rest.find('>').map_or("", |end| &rest[end + 1..]);
        }
    }
    ""
}

fn starts_with_tag(text: &str, name: &str) -> bool {
    let head = text.as_bytes().get(..name.len());
    head.is_some_and(|head| head.eq_ignore_ascii_case(name.as_bytes()))
        && !text.as_bytes().get(name.len()).is_some_and(u8::is_ascii_alphanumeric)
}

fn entities(out: &mut String, text: &str) {
    /// Longest entity that is replaced, without `&` and `;`.
    const LONGEST: usize = 8;
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let end = rest.bytes().take(LONGEST + 1).position(|byte| byte == b';');
        match end.and_then(|end| entity(&rest[..end]).map(|found| (found, end))) {
            Some((found, end)) => {
                out.push(found);
                rest = &rest[end + 1..];
            }
            None => out.push('&'),
        }
    }
    out.push_str(rest);
}

fn entity(name: &str) -> Option<char> {
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" | "rsquo" => '\'',
        "nbsp" | "zwnj" | "zwj" | "shy" => ' ',
        "ndash" | "mdash" => '-',
        "hellip" => '…',
        "auml" => 'ä',
        "ouml" => 'ö',
        "uuml" => 'ü',
        "szlig" => 'ß',
        "eacute" => 'é',
        "copy" => '©',
        "euro" => '€',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)?
        }
    })
}

#[cfg(test)]
mod tests;
