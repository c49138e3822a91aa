//! SEARCH. Exact: a key matches if the decoded text contains it, compared by `mime::fold`.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::{Delta, View};
use crate::{ModSeq, UidSet};

/// SEARCH in the selected folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Search {
    /// The client's view of the folder.
    pub view: View,
    /// What to find.
    pub key: SearchKey,
    /// Messages `\Recent` to the session.
    pub recent: UidSet,
}

/// Answer to [`Search`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// What others did; of the same snapshot.
    pub delta: Delta,
    /// The hits.
    pub uids: UidSet,
    /// The highest modseq among the hits.
    pub modseq: ModSeq,
}

/// Search keys (RFC 9051 section 6.4.4), with sequence sets already turned into UIDs. Dates are calendar days.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum SearchKey {
    /// ALL
    All,
    /// Every one of these; empty = ALL.
    And(Vec<SearchKey>),
    /// OR
    Or(Box<SearchKey>, Box<SearchKey>),
    /// NOT
    Not(Box<SearchKey>),
    /// A UID set or a sequence set.
    Uids(UidSet),
    /// SEEN, DELETED, KEYWORD x, ...: the flag of that name is set.
    Flag(String),
    /// RECENT
    Recent,
    /// LARGER: more bytes than this.
    Larger(u64),
    /// SMALLER: fewer.
    Smaller(u64),
    /// BEFORE: INTERNALDATE's day in UTC is earlier.
    Before(Date),
    /// ON
    On(Date),
    /// SINCE: that day or later.
    Since(Date),
    /// SENTBEFORE: the Date header's day, its zone disregarded.
    SentBefore(Date),
    /// SENTON
    SentOn(Date),
    /// SENTSINCE
    SentSince(Date),
    /// OLDER (RFC 5032): INTERNALDATE at least so many seconds ago.
    Older(u64),
    /// YOUNGER
    Younger(u64),
    /// HEADER, FROM, TO, CC, BCC, SUBJECT: the field contains the text; empty text = the field is there.
    Header(String, String),
    /// BODY
    Body(String),
    /// TEXT
    Text(String),
    /// MODSEQ (RFC 7162): this or higher.
    ModSeq(ModSeq),
    /// EMAILID (RFC 8474)
    EmailId(String),
}
