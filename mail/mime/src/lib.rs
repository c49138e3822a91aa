//! Byte-exact MIME: where everything in a message is, and what IMAP says about it.
//!
//! Start here: [`parse`] makes a [`Skeleton`] (offsets only, storable); [`Skeleton::locate`] answers `BODY[...]`;
//! [`envelope`] and [`body_structure`] render the IMAP answers; [`search_text`] and [`header_text`] feed SEARCH.
//!
//! Invariants
//! * Nothing here fails, panics or allocates more than a small multiple of its input, whatever the bytes are.
//!   Work is linear in the input: nesting stops at [`MAX_DEPTH`], parts at [`MAX_PARTS`], the rest is a leaf.
//! * Nothing is rewritten: CRLF and bare LF, 8-bit, NUL and bare CR stay as they are, and every range is of the original.
//! * Header values in ENVELOPE and BODYSTRUCTURE are unfolded, encoded words are left as they are.
//!
//! Where a message is broken, the answers follow Dovecot 2.3, except that
//! * a broken address loses only itself and not the rest of the list, and words before an address are its name;
//! * an empty Reply-To or Sender defaults to From (RFC 3501 section 7.4.2);
//! * white space around Message-ID, In-Reply-To and Content-ID is dropped;
//! * type, subtype and charset keep the case they were written in; a string is a literal only where it must be;
//! * a parameter whose quote never closes is kept, and RFC 2231 pieces are joined without regard to case;
//! * message/global recurses like message/rfc822 (RFC 9051);
//! * the headers of parts and nested messages count as body text for SEARCH, and so does a multipart whose boundary
//!   never comes.

mod address;
mod charset;
mod content;
mod date;
mod envelope;
mod header;
mod imap;
mod layout;
mod lex;
mod parse;
mod preview;
mod skeleton;
mod structure;
mod text;
mod transfer;
mod words;

pub use address::{MISSING_DOMAIN, MISSING_MAILBOX, Mailbox, addresses};
pub use date::{SentDate, parse_date, sent_date};
pub use envelope::envelope;
pub use header::{Field, Fields, fields, header_fields, header_value, unfold};
pub use layout::{Layout, base64_layout};
pub use parse::{MAX_DEPTH, MAX_PARTS, parse};
pub use preview::preview;
pub use skeleton::{Kind, Part, Section, Skeleton};
pub use structure::body_structure;
pub use text::{fold, header_text, search_text, value_contains};
pub use words::decode_words;
