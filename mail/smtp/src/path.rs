//! Paths and ESMTP parameters of MAIL and RCPT (RFC 5321 sections 4.1.2 and 4.1.1.11, RFC 6531, RFC 3461).

use model::Domain;

/// Longest path in octets, brackets and source route included (RFC 5321 section 4.5.3.1.3 plus room for UTF-8).
const MAX_PATH: usize = 512;

/// What stands between the angle brackets. Holds no controls, so it can go into a header as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Path {
    /// `<>`
    Null,
    /// `<postmaster>`, in any case.
    Postmaster(String),
    /// `<local@domain>`, as given but for a source route, which RFC 5321 appendix C wants ignored.
    Mailbox(String),
}

impl Path {
    /// The text between the brackets.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Null => "",
            Self::Postmaster(text) | Self::Mailbox(text) => text,
        }
    }

    /// The domain after the last `@`, if it is a name.
    pub(crate) fn domain(&self) -> Option<Domain> {
        self.text().rsplit_once('@').and_then(|(_, domain)| domain.parse().ok())
    }
}

/// Reads a bracketed path; also returns what follows it: parameters, without the blank before them.
pub(crate) fn path(text: &str) -> Option<(Path, &str)> {
    let inner = text.strip_prefix('<')?;
    let start = after_source_route(inner)?;
    let end = start + mailbox_end(&inner[start..])?;
    let rest = inner[end..].strip_prefix('>')?;
    let rest = if rest.is_empty() { rest } else { rest.strip_prefix(' ')? };
    let mailbox = &inner[start..end];
    let path = match mailbox {
        _ if end > MAX_PATH => return None,
        "" if start == 0 => Path::Null,
        _ if mailbox.eq_ignore_ascii_case("postmaster") => Path::Postmaster(mailbox.to_owned()),
        _ if mailbox.contains('@') => Path::Mailbox(mailbox.to_owned()),
        _ => return None,
    };
    Some((path, rest))
}

/// Where the mailbox begins behind `@one,@two:`.
fn after_source_route(inner: &str) -> Option<usize> {
    if !inner.starts_with('@') {
        return Some(0);
    }
    let colon = inner.find([':', '>', '"', ' ']).filter(|at| inner[*at..].starts_with(':'))?;
    let hosts = inner[..colon].split(',').all(|host| host.strip_prefix('@').is_some_and(is_domain));
    hosts.then_some(colon + 1)
}

/// Octets of `local@domain`, `local` alone, or nothing, at the start of `text`.
fn mailbox_end(text: &str) -> Option<usize> {
    let local = if text.starts_with('"') { quoted_end(text)? } else { text.find(|c| !is_dot_atom(c))? };
    let Some(domain) = text[local..].strip_prefix('@') else { return Some(local) };
    let end = domain.find('>')?;
    (local > 0 && (is_domain(&domain[..end]) || is_literal(&domain[..end]))).then_some(local + 1 + end)
}

/// Octets of the quoted string at the start of `text`, quotes included.
fn quoted_end(text: &str) -> Option<usize> {
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (at > 1).then_some(at + 1),
            '\\' => drop(chars.next().filter(|(_, c)| matches!(c, ' '..='~'))?),
            c if c.is_control() => return None,
            _ => {}
        }
    }
    None
}

/// Dots may stand anywhere: senders with such addresses exist, and nobody gains from refusing them.
fn is_dot_atom(c: char) -> bool {
    c.is_ascii_alphanumeric() || ".!#$%&'*+-/=?^_`{|}~".contains(c) || is_utf8(c)
}

fn is_utf8(c: char) -> bool {
    !c.is_ascii() && !c.is_control() && !c.is_whitespace()
}

fn is_domain(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c) || is_utf8(c))
}

fn is_literal(text: &str) -> bool {
    let inner = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    inner.is_some_and(|t| !t.is_empty() && t.bytes().all(|b| b.is_ascii_alphanumeric() || b":.-".contains(&b)))
}

/// Splits `KEY=value KEY` and checks the form of each; keys in upper case.
pub(crate) fn params(text: &str) -> Option<Vec<(String, Option<&str>)>> {
    let words = text.split(' ').filter(|word| !word.is_empty());
    words
        .map(|word| {
            let (key, value) = word.split_once('=').map_or((word, None), |(key, value)| (key, Some(value)));
            let named = key.starts_with(|c: char| c.is_ascii_alphanumeric())
                && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            let valued = value.is_none_or(|v| !v.is_empty() && !v.contains(|c: char| c == '=' || c.is_control()));
            (named && valued).then(|| (key.to_ascii_uppercase(), value))
        })
        .collect()
}

/// True for xtext (RFC 3461 section 4) of at most that many octets.
pub(crate) fn is_xtext(text: &str, max: usize) -> bool {
    let bytes = text.as_bytes();
    let hex = |at: usize| bytes.get(at).is_some_and(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(b));
    bytes.len() <= max
        && bytes.iter().enumerate().all(|(at, b)| match b {
            b'+' => hex(at + 1) && hex(at + 2),
            b => b.is_ascii_graphic() && *b != b'=',
        })
}

#[cfg(test)]
mod tests;
