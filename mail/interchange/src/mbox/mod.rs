//! mboxrd: `<folder>.mbox`, messages one after another.
//!
//! ```text
//! From MAILER-DAEMON Wed May  1 10:00:00 2024      INTERNALDATE, UTC
//! X-IMAPbase: 1714 0000000007 $Forwarded Work      first message only: UIDVALIDITY, last UID, keywords of the mailbox
//! X-UID: 7                                         UID
//! Status: RO                                       R: \Seen; O: it did not wait (absent where neither holds)
//! X-Status: AFDT                                   \Answered, \Flagged, \Deleted, \Draft (absent without any)
//! X-Keywords: $Forwarded Work                      keywords (absent without any)
//! X-Sealpost-Size: 1234                            ends our block: so many octets of message follow
//! <the message; `>` before every line that is `From ` after any number of `>`>
//! <a line feed if it does not end in one>
//! <empty line>
//! ```
//!
//! Readers take `Status`, `Content-Length` and the like for theirs wherever in a header they stand. Where a message has such
//! a field of its own (it was in an mbox before), `X-Sealpost-Kept-` is put before the name, and before a name that begins
//! like that. Taking block, marks and `>` away gives every byte back.

mod read;
mod write;

pub(crate) use read::MboxSource;
pub(crate) use write::MboxWriter;

use model::SystemFlag;

/// `X-Status` letters.
const LETTERS: [(char, SystemFlag); 4] =
    [('A', SystemFlag::Answered), ('F', SystemFlag::Flagged), ('D', SystemFlag::Deleted), ('T', SystemFlag::Draft)];

/// Headers in our block before the one that ends it.
const HEADERS: usize = 5;
/// Ends our block.
const SIZE: &str = "X-Sealpost-Size: ";
/// How `From ` lines write a time (RFC 4155: as `asctime`, in UTC).
const TIME: &str = "%a %b %e %H:%M:%S %Y";

/// Before names of a message's own fields.
const KEPT: &str = "X-Sealpost-Kept-";
/// Fields that readers of an mbox take for theirs.
const THEIRS: [&str; 7] =
    ["Status:", "X-Status:", "X-Keywords:", "X-UID:", "X-IMAP:", "X-IMAPbase:", "Content-Length:"];

/// True for a header line that needs the mark.
fn is_theirs(line: &[u8]) -> bool {
    let begins = |name: &str| line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()));
    line.starts_with(KEPT.as_bytes()) || THEIRS.into_iter().any(begins)
}

/// True for the line that ends a header.
fn is_empty(line: &[u8]) -> bool {
    matches!(line, b"\n" | b"\r\n")
}

/// True for a line that needs, or has, a `>`: `From ` after any number of them.
fn is_from(line: &[u8]) -> bool {
    let start = line.iter().position(|byte| *byte != b'>').unwrap_or(line.len());
    line[start..].starts_with(b"From ")
}
