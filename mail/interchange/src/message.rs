//! What all formats have in common.

use jiff::Timestamp;
use model::FlagSet;

/// How mail lies on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Maildir++, as Dovecot and Courier read it: a file per message, flags in its name.
    Maildir,
    /// mboxrd: a file per folder.
    Mbox,
    /// A `.eml` file per message, everything else in `manifest.json`.
    Eml,
}

impl Format {
    /// Its name on the command line and in the manifest.
    pub fn name(self) -> &'static str {
        match self {
            Self::Maildir => "maildir",
            Self::Mbox => "mbox",
            Self::Eml => "eml",
        }
    }
}

/// A folder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Folder {
    /// Full name, `/` between levels.
    pub name: String,
    /// UIDVALIDITY, where it is known.
    pub uidvalidity: Option<u32>,
    /// The next UID, where it is known.
    pub uidnext: Option<u32>,
    /// Special use, as IMAP writes it.
    pub special: Option<String>,
    /// Keywords that its messages may have; for formats that list them at the head.
    pub keywords: Vec<String>,
}

/// A message with all that IMAP keeps about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its UID in its folder; none where the format does not tell.
    pub uid: Option<u32>,
    /// System flags.
    pub flags: FlagSet,
    /// Keywords.
    pub keywords: Vec<String>,
    /// INTERNALDATE in seconds; none where the format does not tell.
    pub received: Option<Timestamp>,
    /// It waited for its owner when the mailbox was exported.
    pub waiting: bool,
    /// Every byte.
    pub bytes: Vec<u8>,
}
