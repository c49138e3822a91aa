//! What a client can say. Mailbox names and texts are as they came, see `crate::parse::name`.

use jiff::Timestamp;
use model::verbs::{Part, Section, StoreMode};
use zeroize::Zeroizing;

use super::{SearchTerm, Sequence};

/// A tagged command.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// The client's tag.
    pub tag: String,
    /// What it wants.
    pub verb: Verb,
}

/// The commands; by the sections of RFC 3501 chapter 6 and their extensions.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each field is the argument of that name in the RFC")]
pub enum Verb {
    Capability,
    Noop,
    Logout,
    Id,
    StartTls,
    Authenticate { mechanism: String, initial: Option<Zeroizing<Vec<u8>>> },
    Login { user: Vec<u8>, password: Zeroizing<Vec<u8>> },
    Enable(Vec<String>),
    Select { name: Vec<u8>, read_only: bool, condstore: bool },
    Create { name: Vec<u8>, uses: Vec<String> },
    Delete { name: Vec<u8> },
    Rename { from: Vec<u8>, to: Vec<u8> },
    Subscribe { name: Vec<u8>, on: bool },
    List(List),
    Lsub { reference: Vec<u8>, pattern: Vec<u8> },
    Namespace,
    Status { name: Vec<u8>, items: Vec<StatusItem> },
    Idle,
    Check,
    Close,
    Unselect,
    Expunge { only: Option<Sequence> },
    Search(Search),
    Fetch(Fetch),
    Store(Store),
    Copy { uid: bool, set: Sequence, target: Vec<u8>, remove: bool },
}

/// APPEND up to its literal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppendHead {
    /// The client's tag.
    pub tag: String,
    /// The target folder.
    pub name: Vec<u8>,
    /// Names of system flags and keywords.
    pub flags: Vec<String>,
    /// INTERNALDATE.
    pub date: Option<Timestamp>,
}

/// LIST, with the options of RFC 5258 and RFC 6154.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct List {
    /// Put before each pattern.
    pub reference: Vec<u8>,
    /// At least one.
    pub patterns: Vec<Vec<u8>>,
    /// Selection option SUBSCRIBED.
    pub only_subscribed: bool,
    /// Selection option SPECIAL-USE.
    pub only_special: bool,
    /// Return option SUBSCRIBED.
    pub return_subscribed: bool,
    /// Return option STATUS (RFC 5819).
    pub return_status: Vec<StatusItem>,
}

/// STATUS items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in the RFC")]
pub enum StatusItem {
    Messages,
    Recent,
    UidNext,
    UidValidity,
    Unseen,
    HighestModSeq,
    Size,
    Deleted,
    AppendLimit,
}

/// SEARCH and UID SEARCH.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// UID SEARCH.
    pub uid: bool,
    /// In capitals.
    pub charset: Option<String>,
    /// All of these.
    pub terms: Vec<SearchTerm>,
}

/// FETCH and UID FETCH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// UID FETCH.
    pub uid: bool,
    /// Which messages.
    pub set: Sequence,
    /// What of each, in the order of the answer.
    pub items: Vec<FetchItem>,
    /// RFC 7162.
    pub changed_since: Option<u64>,
}

/// One data item of FETCH.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in the RFC")]
pub enum FetchItem {
    Uid,
    Flags,
    InternalDate,
    Size,
    Envelope,
    Body,
    BodyStructure,
    ModSeq,
    /// `BODY[...]`, `BODY.PEEK[...]`, `RFC822`, `RFC822.HEADER`, `RFC822.TEXT`.
    Section {
        section: Section,
        /// How the answer names it.
        label: String,
        peek: bool,
    },
}

impl FetchItem {
    pub(crate) fn whole(label: &str, part: Part, peek: bool) -> Self {
        let section = Section { path: Vec::new(), part, partial: None };
        Self::Section { section, label: label.to_owned(), peek }
    }
}

/// STORE and UID STORE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// UID STORE.
    pub uid: bool,
    /// Which messages.
    pub set: Sequence,
    /// UNCHANGEDSINCE.
    pub unchanged_since: Option<u64>,
    /// Set, add or remove.
    pub mode: StoreMode,
    /// `.SILENT`
    pub silent: bool,
    /// Names of system flags and keywords.
    pub flags: Vec<String>,
}
