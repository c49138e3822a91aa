//! Writing IMAP strings (RFC 3501 section 4.3).

/// Longer strings are literals, so that no line of an answer grows without bound.
const MAX_QUOTED: usize = 4096;

/// A quoted string, or a literal where a quoted string cannot hold the bytes. NUL, which neither can, becomes 0x80.
pub(crate) fn string(out: &mut Vec<u8>, value: &[u8]) {
    let plain = value.iter().all(|&byte| byte != 0 && byte < 0x80 && byte != b'\r' && byte != b'\n');
    if plain && value.len() <= MAX_QUOTED {
        out.push(b'"');
        for &byte in value {
            if matches!(byte, b'"' | b'\\') {
                out.push(b'\\');
            }
            out.push(byte);
        }
        out.push(b'"');
    } else {
        out.extend_from_slice(format!("{{{}}}\r\n", value.len()).as_bytes());
        out.extend(value.iter().map(|&byte| if byte == 0 { 0x80 } else { byte }));
    }
}

/// A string, or NIL.
pub(crate) fn nstring(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        Some(value) => string(out, value),
        None => out.extend_from_slice(b"NIL"),
    }
}

/// A string that people read: runs of white space become one space.
pub(crate) fn text(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    for word in value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
        if !out.is_empty() {
            out.push(b' ');
        }
        out.extend_from_slice(word);
    }
    out
}

/// A number in decimal.
pub(crate) fn number(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(value.to_string().as_bytes());
}
