//! Content transfer encodings (RFC 2045 section 6), decoded as far as they make sense.

/// Decodes a body by the name of its encoding; unknown names are taken as they are.
pub(crate) fn decode(body: &[u8], encoding: Option<&[u8]>) -> Vec<u8> {
    match encoding {
        Some(name) if name.eq_ignore_ascii_case(b"base64") => base64(body),
        Some(name) if name.eq_ignore_ascii_case(b"quoted-printable") => quoted_printable(body),
        _ => body.to_vec(),
    }
}

/// Base64 with everything else skipped; padding ends a group, and another may follow.
pub(crate) fn base64(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() / 4 * 3 + 3);
    let (mut bits, mut count) = (0_u32, 0_u32);
    for &byte in body {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                (bits, count) = (0, 0);
                continue;
            }
            _ => continue,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    out
}

/// Quoted-printable: soft breaks joined, white space before a line end dropped, a broken escape kept.
pub(crate) fn quoted_printable(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    for line in body.split_inclusive(|&byte| byte == b'\n') {
        let text = line.trim_ascii_end();
        let (text, soft) = match text.strip_suffix(b"=") {
            Some(text) => (text, true),
            None => (text, false),
        };
        escapes(&mut out, text, false);
        if !soft && line.ends_with(b"\n") {
            out.extend_from_slice(if line.ends_with(b"\r\n") { b"\r\n" } else { b"\n" });
        }
    }
    out
}

/// The text of a Q encoded word (RFC 2047 section 4.2).
pub(crate) fn q_word(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    escapes(&mut out, text, true);
    out
}

fn escapes(out: &mut Vec<u8>, text: &[u8], underscore: bool) {
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'=', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    out.push(high << 4 | low);
                    rest = after;
                }
                _ => out.push(byte),
            },
            (b'_', _) if underscore => out.push(b' '),
            _ => out.push(byte),
        }
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests;
