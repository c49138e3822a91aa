//! Matching one message with as much of it as is at hand.

use mime::Skeleton;

use super::plan::Test;
use crate::bodies::Brief;
use crate::rows::Placement;

/// The outcome of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It matches.
    Yes,
    /// It does not.
    No,
    /// More of the message is needed.
    Open,
}

impl From<bool> for Verdict {
    fn from(is: bool) -> Self {
        if is { Self::Yes } else { Self::No }
    }
}

/// What was loaded of a message.
pub(super) enum Loaded {
    /// What was read along the way decides.
    Decided(bool),
    /// Its header.
    Header(Vec<u8>),
    /// All of it.
    Message(Vec<u8>, Skeleton),
}

impl Loaded {
    /// Octets in memory.
    pub fn octets(&self) -> u64 {
        match self {
            Self::Decided(_) => 0,
            Self::Header(header) => header.len() as u64,
            Self::Message(raw, _) => raw.len() as u64,
        }
    }
}

/// What is known of a message.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
    row: &'a Placement,
    brief: Option<&'a Brief>,
    header: Option<&'a [u8]>,
    message: Option<(&'a [u8], &'a Skeleton)>,
}

impl<'a> Facts<'a> {
    /// Only the row.
    pub fn new(row: &'a Placement) -> Self {
        Self { row, brief: None, header: None, message: None }
    }

    /// And the row of `brief`.
    pub fn with_brief(self, brief: &'a Brief) -> Self {
        Self { brief: Some(brief), ..self }
    }

    /// What to look for a field of that name in.
    fn fields(&self, name: &str) -> Option<&'a [u8]> {
        self.header.or_else(|| self.brief?.searched(name))
    }

    /// And the header.
    pub fn with_header(self, header: &'a [u8]) -> Self {
        Self { header: Some(header), ..self }
    }

    /// And everything.
    pub fn with_message(self, raw: &'a [u8], skeleton: &'a Skeleton) -> Self {
        Self { header: raw.get(skeleton.header()), message: Some((raw, skeleton)), ..self }
    }
}

impl Test {
    /// Decides, as far as the facts allow.
    pub fn check(&self, facts: &Facts<'_>) -> Verdict {
        let row = facts.row;
        let is = match self {
            Self::Always(is) => *is,
            Self::And(tests) => return all(tests.iter().map(|test| test.check(facts)), Verdict::Yes, Verdict::No),
            Self::Or(tests) => return all(tests.iter().map(|test| test.check(facts)), Verdict::No, Verdict::Yes),
            Self::Not(test) => {
                return match test.check(facts) {
                    Verdict::Yes => Verdict::No,
                    Verdict::No => Verdict::Yes,
                    Verdict::Open => Verdict::Open,
                };
            }
            Self::Uids(uids) => uids.contains(model::Uid(row.uid)),
            Self::Flags(bits) => row.flags & bits != 0,
            Self::Larger(octets) => row.size > *octets,
            Self::Smaller(octets) => row.size < *octets,
            Self::Internal(from, to) => (*from..*to).contains(&row.idate),
            Self::Sent(from, to) => row.sent.is_some_and(|day| (*from..*to).contains(&day)),
            Self::ModSeq(modseq) => row.modseq >= *modseq,
            Self::Content(id) => row.mail == *id,
            Self::Header(name, text) => {
                return facts.fields(name).map_or(Verdict::Open, |fields| has_field(fields, name, text).into());
            }
            Self::Body(text) => return facts.message.map_or(Verdict::Open, |(raw, s)| in_body(raw, s, text).into()),
            Self::Text(text) => {
                return facts.message.map_or(Verdict::Open, |(raw, s)| {
                    (mime::fold(&mime::header_text(raw, s)).contains(text.as_str()) || in_body(raw, s, text)).into()
                });
            }
        };
        is.into()
    }
}

/// `neutral` if all are, `decisive` if any is; cheap tests come first, so the first decisive one ends it.
fn all(verdicts: impl Iterator<Item = Verdict>, neutral: Verdict, decisive: Verdict) -> Verdict {
    let mut result = neutral;
    for verdict in verdicts {
        if verdict == decisive {
            return decisive;
        }
        if verdict == Verdict::Open {
            result = Verdict::Open;
        }
    }
    result
}

/// A field of that name contains the text; an empty text asks for the field alone.
fn has_field(header: &[u8], name: &str, text: &str) -> bool {
    mime::fields(header)
        .filter(|field| header[field.name.clone()].eq_ignore_ascii_case(name.as_bytes()))
        .any(|field| text.is_empty() || mime::value_contains(&header[field.value], text))
}

fn in_body(raw: &[u8], skeleton: &Skeleton, text: &str) -> bool {
    text.is_empty() || mime::search_text(raw, skeleton).any(|piece| mime::fold(&piece).contains(text))
}
