//! Bytes to text by charset label. Unknown labels mean windows-1252, as browsers read them.

use encoding_rs::{Encoding, REPLACEMENT, WINDOWS_1252};

/// Decodes bytes that carry a label. Plain ASCII labels say nothing about 8-bit bytes, so those are guessed.
pub(crate) fn decode(bytes: &[u8], label: &[u8]) -> String {
    let label = label.trim_ascii();
    if label.eq_ignore_ascii_case(b"us-ascii") || label.eq_ignore_ascii_case(b"ascii") || label.is_empty() {
        return guess(bytes);
    }
    let encoding = Encoding::for_label(label).filter(|&found| found != REPLACEMENT).unwrap_or(WINDOWS_1252);
    encoding.decode(bytes).0.into_owned()
}

/// Decodes bytes without a label: UTF-8 if it is valid, else windows-1252.
pub(crate) fn guess(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => WINDOWS_1252.decode_without_bom_handling(bytes).0.into_owned(),
    }
}
