//! Mailbox names: modified UTF-7 outside, UTF-8 inside (RFC 3501 section 5.1.3).

pub use model::mutf7::{decode, encode};

/// A folder name as it came, with `INBOX` (also as the first level) in capitals. `None` where it cannot be a name.
pub fn folder(raw: &[u8]) -> Option<String> {
    let name = decode(raw)?;
    let fits = !name.is_empty() && !name.split('/').any(str::is_empty);
    fits.then(|| capital_inbox(name))
}

/// A LIST pattern or reference as it came.
pub fn pattern(raw: &[u8]) -> Option<String> {
    decode(raw).map(capital_inbox)
}

fn capital_inbox(name: String) -> String {
    match name.get(..5) {
        Some(top) if top.eq_ignore_ascii_case("INBOX") && matches!(name.as_bytes().get(5), None | Some(b'/')) => {
            format!("INBOX{}", &name[5..])
        }
        _ => name,
    }
}
