//! Maildir++: INBOX in the root, every other folder in `.Level.Level`, a file per message.
//!
//! A message's file is `<seconds>.U<uid>.sealpost,S=<octets>`; in `cur/` followed by `:2,` and its flags, in `new/` (where
//! it is if it waited for its owner) without. Its time is INTERNALDATE. Keywords are the letters `a` to `z` of
//! `dovecot-keywords`, the first 26 of a folder; the manifest has all. `dovecot-uidlist` keeps UIDVALIDITY and UIDs,
//! `subscriptions` the subscribed names.

mod read;
mod write;

pub(crate) use read::MaildirSource;
pub(crate) use write::MaildirWriter;

use model::SystemFlag;

/// Flags by their letters, in the order in which a name has them.
pub(crate) const LETTERS: [(char, SystemFlag); 5] = [
    ('D', SystemFlag::Draft),
    ('F', SystemFlag::Flagged),
    ('R', SystemFlag::Answered),
    ('S', SystemFlag::Seen),
    ('T', SystemFlag::Deleted),
];

/// Keywords that have a letter.
pub(crate) const KEYWORDS: usize = 26;
