//! A search key made ready: names resolved, texts folded, cheap tests first.

use jiff::civil::Date;
use model::verbs::SearchKey;
use model::{Keywords, SystemFlag, UidSet};

use crate::append::days;
use crate::bodies::email_id;

/// What a test needs to be decided, cheapest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Need {
    /// The narrow row.
    Row,
    /// The header.
    Header,
    /// The whole message.
    Message,
}

/// A search key without names and case.
#[derive(Debug, Clone)]
pub(super) enum Test {
    /// Decided already.
    Always(bool),
    /// All of them.
    And(Vec<Test>),
    /// Any of them.
    Or(Vec<Test>),
    /// The opposite.
    Not(Box<Test>),
    /// UID in the set.
    Uids(UidSet),
    /// One of these bits is set.
    Flags(u64),
    /// More octets than this.
    Larger(u64),
    /// Fewer.
    Smaller(u64),
    /// INTERNALDATE from the first second to before the last.
    Internal(i64, i64),
    /// Day of the Date header, likewise in days.
    Sent(i64, i64),
    /// This modseq or higher.
    ModSeq(u64),
    /// This content.
    Content(i64),
    /// The field contains the folded text.
    Header(String, String),
    /// The decoded body contains the folded text.
    Body(String),
    /// The decoded header or body does.
    Text(String),
}

/// Seconds of a day.
const DAY: i64 = 86_400;

/// Prepares a key. `now` is in seconds since 1970.
pub(super) fn plan(key: &SearchKey, keywords: &Keywords, recent: &UidSet, now: i64) -> Test {
    let sub = |key: &SearchKey| plan(key, keywords, recent, now);
    let day = |date: &Date| days(*date);
    match key {
        SearchKey::All => Test::Always(true),
        SearchKey::And(keys) => Test::And(keys.iter().map(sub).collect()),
        SearchKey::Or(a, b) => Test::Or(vec![sub(a), sub(b)]),
        SearchKey::Not(key) => Test::Not(Box::new(sub(key))),
        SearchKey::Uids(uids) => Test::Uids(uids.clone()),
        SearchKey::Recent => Test::Uids(recent.clone()),
        SearchKey::Flag(name) => {
            let bit = SystemFlag::from_name(name).map(SystemFlag::bit).or_else(|| keywords.bit(name));
            bit.map_or(Test::Always(false), Test::Flags)
        }
        SearchKey::Larger(octets) => Test::Larger(*octets),
        SearchKey::Smaller(octets) => Test::Smaller(*octets),
        SearchKey::Before(date) => Test::Internal(i64::MIN, day(date) * DAY),
        SearchKey::On(date) => Test::Internal(day(date) * DAY, (day(date) + 1) * DAY),
        SearchKey::Since(date) => Test::Internal(day(date) * DAY, i64::MAX),
        SearchKey::SentBefore(date) => Test::Sent(i64::MIN, day(date)),
        SearchKey::SentOn(date) => Test::Sent(day(date), day(date) + 1),
        SearchKey::SentSince(date) => Test::Sent(day(date), i64::MAX),
        SearchKey::Older(seconds) => Test::Internal(i64::MIN, now.saturating_sub_unsigned(*seconds).saturating_add(1)),
        SearchKey::Younger(seconds) => Test::Internal(now.saturating_sub_unsigned(*seconds), i64::MAX),
        SearchKey::Header(name, text) => Test::Header(name.clone(), mime::fold(text)),
        SearchKey::Body(text) => Test::Body(mime::fold(text)),
        SearchKey::Text(text) => Test::Text(mime::fold(text)),
        SearchKey::ModSeq(modseq) => Test::ModSeq(modseq.0),
        SearchKey::EmailId(id) => content(id),
    }
}

fn content(id: &str) -> Test {
    let number = id.strip_prefix('M').and_then(|digits| digits.parse().ok());
    number.filter(|number| email_id(*number) == id).map_or(Test::Always(false), Test::Content)
}

impl Test {
    /// What it needs at most.
    pub fn need(&self) -> Need {
        match self {
            Self::And(tests) | Self::Or(tests) => tests.iter().map(Self::need).max().unwrap_or(Need::Row),
            Self::Not(test) => test.need(),
            Self::Header(..) => Need::Header,
            Self::Body(_) | Self::Text(_) => Need::Message,
            _ => Need::Row,
        }
    }

    /// Whether it asks for a field of the header.
    pub fn asks_field(&self) -> bool {
        match self {
            Self::And(tests) | Self::Or(tests) => tests.iter().any(Self::asks_field),
            Self::Not(test) => test.asks_field(),
            Self::Header(..) => true,
            _ => false,
        }
    }

    /// Puts cheap tests first.
    pub fn sort(&mut self) {
        match self {
            Self::And(tests) | Self::Or(tests) => {
                tests.iter_mut().for_each(Self::sort);
                tests.sort_by_key(Self::need);
            }
            Self::Not(test) => test.sort(),
            _ => {}
        }
    }

    /// UIDs outside this set never match.
    pub fn uids(&self) -> Option<UidSet> {
        match self {
            Self::Uids(uids) => Some(uids.clone()),
            Self::Always(false) => Some(UidSet::new()),
            Self::And(tests) => tests.iter().filter_map(Self::uids).reduce(|a, b| a.and(&b)),
            _ => None,
        }
    }
}
