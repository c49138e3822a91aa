//! Modified UTF-7: how IMAP4rev1 and Maildir++ write folder names (RFC 3501 section 5.1.3).

use std::sync::LazyLock;

use data_encoding::{Encoding, Specification};

/// Base64 with `,` for `/`, unpadded; bits left over are zero in what we write and any in what we read.
static BASE64: LazyLock<Option<Encoding>> = LazyLock::new(|| {
    let mut spec = Specification::new();
    spec.symbols.push_str("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,");
    spec.check_trailing_bits = false;
    spec.encoding().ok()
});

/// Longest name in octets.
const MAX_NAME: usize = 1000;

/// Decodes modified UTF-7. Raw 8-bit names are refused: a client that sends them would not know the name LIST gives back.
pub fn decode(raw: &[u8]) -> Option<String> {
    let raw = std::str::from_utf8(raw).ok().filter(|raw| raw.is_ascii() && raw.len() <= MAX_NAME)?;
    let mut name = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('&') {
        name.push_str(&rest[..at]);
        let end = at + rest[at..].find('-')?;
        match &rest[at + 1..end] {
            "" => name.push('&'),
            shifted => {
                let bytes = BASE64.as_ref()?.decode(shifted.as_bytes()).ok()?;
                if bytes.len() % 2 != 0 {
                    return None;
                }
                let units = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
                for c in char::decode_utf16(units) {
                    name.push(c.ok()?);
                }
            }
        }
        rest = &rest[end + 1..];
    }
    name.push_str(rest);
    (!name.chars().any(char::is_control)).then_some(name)
}

/// Encodes as modified UTF-7.
pub fn encode(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut shifted: Vec<u8> = Vec::new();
    let flush = |shifted: &mut Vec<u8>, out: &mut String| {
        if let Some(base64) = BASE64.as_ref().filter(|_| !shifted.is_empty()) {
            out.push('&');
            out.push_str(&base64.encode(shifted));
            out.push('-');
        }
        shifted.clear();
    };
    for c in name.chars() {
        if c.is_ascii_graphic() || c == ' ' {
            flush(&mut shifted, &mut out);
            out.push(c);
            if c == '&' {
                out.push('-');
            }
        } else {
            shifted.extend(c.encode_utf16(&mut [0; 2]).iter().flat_map(|unit| unit.to_be_bytes()));
        }
    }
    flush(&mut shifted, &mut out);
    out
}
