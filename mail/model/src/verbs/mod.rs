//! What can be asked of an attached mailbox, and the answers.
//!
//! Invariants:
//! * One round trip per command: a [`Request`] that speaks of a folder carries the client's [`View`] of it, the answer
//!   carries the [`Delta`] since, and both are of one snapshot.
//! * Sequence numbers never appear here: sessions turn them into UIDs against the UIDs they announced.
//! * Non-repeatable requests carry a `seq` (one counter per session); asking again with the same `seq` gives the first
//!   answer again. Numbers of one session never repeat; the last 32 answers are kept.
//! * Folder names are UTF-8 with `/` between levels and `INBOX` in upper case; encodings are the front end's business.

mod append;
mod delivery;
mod failure;
mod fetch;
mod folders;
mod login;
mod search;
mod view;

pub use append::{Append, Appended};
pub use delivery::{Accepted, Deliver, Envelope, Recipient, Settle};
pub use failure::{Code, Failure};
pub use fetch::{Fetch, FetchEvent, FetchItems, FetchRows, Part, Resume, Section, SectionData};
pub use folders::{FolderChange, FolderQuery, FolderRow, Pattern, SpecialUse, Status};
pub use login::{Attach, Attached, KeysetReply, Scope};
pub use search::{Found, Search, SearchKey};
pub use view::{Delta, FlagRows, Selected, View};

use serde::{Deserialize, Serialize};

use crate::{FolderId, ModSeq, UidSet, UidValidity};

/// One command with a small answer. FETCH and APPEND stream, see [`Fetch`] and [`Append`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Folders that match, with what was asked of them. Answer: [`Answer::Folders`].
    Folders(FolderQuery),
    /// Creates, renames, deletes, subscribes. Answer: [`Answer::Done`].
    FolderChange {
        /// See the module's invariants.
        seq: u64,
        /// What to do.
        change: FolderChange,
    },
    /// Opens a folder. Waits, up to 5 s, until waiting mail has been drained if it is INBOX. Answer: [`Answer::Selected`].
    Select {
        /// The folder's name.
        name: String,
        /// EXAMINE: takes no `\Recent`.
        read_only: bool,
    },
    /// What happened since the view. Answer: [`Answer::Synced`].
    Sync(View),
    /// Changes flags. Answer: [`Answer::Stored`].
    Store(Store),
    /// COPY and MOVE. Answer: [`Answer::Copied`].
    Copy(Copy),
    /// Removes placements with `\Deleted`. Answer: [`Answer::Expunged`].
    Expunge {
        /// See the module's invariants.
        seq: u64,
        /// The client's view of the folder.
        view: View,
        /// Only these (UID EXPUNGE); none = all with `\Deleted`.
        only: Option<UidSet>,
        /// CLOSE and the like: no delta is wanted.
        silent: bool,
    },
    /// Finds messages. Answer: [`Answer::Found`].
    Search(Search),
    /// Use and limit. Answer: [`Answer::Quota`].
    Quota,
}

/// Answers, by their request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// To [`Request::Folders`], in name order.
    Folders(Vec<FolderRow>),
    /// To [`Request::FolderChange`].
    Done,
    /// To [`Request::Select`].
    Selected(Selected),
    /// To [`Request::Sync`].
    Synced(Delta),
    /// To [`Request::Store`].
    Stored(Stored),
    /// To [`Request::Copy`].
    Copied(Copied),
    /// To [`Request::Expunge`].
    Expunged(Expunged),
    /// To [`Request::Search`].
    Found(Found),
    /// To [`Request::Quota`].
    Quota(QuotaUse),
}

/// STORE (RFC 9051 section 6.4.6, RFC 7162 section 3.1.3).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Store {
    /// Needed for a conditional store only, but always given.
    pub seq: u64,
    /// The client's view of the folder.
    pub view: View,
    /// Which messages.
    pub uids: UidSet,
    /// Set, add or remove.
    pub mode: StoreMode,
    /// Names of system flags and keywords.
    pub flags: Vec<String>,
    /// UNCHANGEDSINCE.
    pub unchanged_since: Option<ModSeq>,
}

/// How the named flags are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoreMode {
    /// `FLAGS`
    Replace,
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
}

/// Answer to [`Store`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stored {
    /// What others did before this change.
    pub delta: Delta,
    /// The messages asked for that exist and were not refused, as they are after the change (also where nothing changed).
    pub rows: FlagRows,
    /// Not changed because of UNCHANGEDSINCE.
    pub modified: UidSet,
    /// The mailbox's modseq after the change; the view's next `since`.
    pub modseq: ModSeq,
}

/// COPY (RFC 9051 section 6.4.7) and MOVE (RFC 6851).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Copy {
    /// See the module's invariants.
    pub seq: u64,
    /// The client's view of the source folder.
    pub view: View,
    /// Which messages.
    pub uids: UidSet,
    /// Name of the target folder.
    pub target: String,
    /// True for MOVE.
    pub remove: bool,
}

/// Answer to [`Copy`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Copied {
    /// What others did before.
    pub delta: Delta,
    /// The target's UIDVALIDITY.
    pub uidvalidity: UidValidity,
    /// Source UIDs, ascending.
    #[serde(with = "crate::columns::u32s")]
    pub from: Vec<u32>,
    /// Target UIDs, pairwise with `from`.
    #[serde(with = "crate::columns::u32s")]
    pub to: Vec<u32>,
    /// The mailbox's modseq after the change.
    pub modseq: ModSeq,
    /// Set where the target is the source: what it now holds beyond `delta`.
    pub appeared: UidSet,
}

/// Answer to [`Request::Expunge`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Expunged {
    /// What others did before.
    pub delta: Delta,
    /// What this request removed.
    pub uids: UidSet,
    /// The mailbox's modseq after the change.
    pub modseq: ModSeq,
}

/// Use of a mailbox in logical bytes and messages, every copy counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct QuotaUse {
    /// Bytes in use.
    pub bytes: u64,
    /// Messages.
    pub messages: u64,
    /// Most bytes; none = no limit.
    pub limit: Option<u64>,
}

/// "Something happened here": pushed to sessions, which then [`Request::Sync`]. Hints coalesce and may be lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hint {
    /// The mailbox's modseq.
    pub modseq: ModSeq,
    /// Folders that changed; empty = any.
    pub folders: Vec<FolderId>,
}
