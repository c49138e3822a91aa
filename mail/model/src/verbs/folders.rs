//! LIST, LSUB, STATUS, and the commands that change folders.

use serde::{Deserialize, Serialize};

use crate::{FolderId, ModSeq, Uid, UidValidity};

/// A LIST pattern (RFC 9051 section 6.3.9): `*` matches anything, `%` anything but `/`. `INBOX` matches in any case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pattern(pub String);

impl Pattern {
    /// True where the whole name matches. At most linear in `name` for each character of the pattern.
    pub fn matches(&self, name: &str) -> bool {
        let inbox = name.split('/').next().is_some_and(|top| top.eq_ignore_ascii_case("INBOX"));
        let name: Vec<char> = name.chars().collect();
        // reach[i]: the pattern so far can match the first i characters of the name, and no fewer than `first`.
        let (mut reach, mut next) = (vec![false; name.len() + 1], vec![false; name.len() + 1]);
        let mut first = 0;
        reach[0] = true;
        for (at, p) in self.0.chars().enumerate() {
            for i in first..=name.len() {
                next[i] = match p {
                    '*' => reach[i] || (i > first && next[i - 1]),
                    '%' => reach[i] || (i > first && next[i - 1] && name[i - 1] != '/'),
                    _ if i == first => false,
                    _ if inbox && at < 5 && i <= 5 => reach[i - 1] && p.eq_ignore_ascii_case(&name[i - 1]),
                    _ => reach[i - 1] && p == name[i - 1],
                };
            }
            std::mem::swap(&mut reach, &mut next);
            match reach[first..].iter().position(|reached| *reached) {
                Some(more) => first += more,
                None => return false,
            }
        }
        reach[name.len()]
    }
}

/// Which folders, and what to tell of them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FolderQuery {
    /// A folder is listed if any of these matches.
    pub patterns: Vec<Pattern>,
    /// Only subscribed names, also those without a folder.
    pub subscribed: bool,
    /// Only folders with a special use.
    pub special_use: bool,
    /// With [`FolderRow::status`].
    pub status: bool,
}

/// A folder, or a subscribed name without one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderRow {
    /// Full name.
    pub name: String,
    /// None where nothing can be selected: a subscribed name without a folder, or a mere parent (`\NonExistent`).
    pub id: Option<FolderId>,
    /// RFC 6154.
    pub special: Option<SpecialUse>,
    /// LSUB.
    pub subscribed: bool,
    /// Some folder lies below.
    pub has_children: bool,
    /// Where asked for and `id` is there.
    pub status: Option<Status>,
}

/// STATUS items (RFC 9051 section 6.3.11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// MESSAGES
    pub messages: u64,
    /// UNSEEN
    pub unseen: u64,
    /// DELETED
    pub deleted: u64,
    /// RECENT
    pub recent: u64,
    /// SIZE, in bytes
    pub bytes: u64,
    /// UIDNEXT
    pub uidnext: Uid,
    /// UIDVALIDITY
    pub uidvalidity: UidValidity,
    /// HIGHESTMODSEQ
    pub modseq: ModSeq,
}

/// Special-use attributes (RFC 6154).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SpecialUse {
    /// `\Archive`
    Archive,
    /// `\Drafts`
    Drafts,
    /// `\Flagged`
    Flagged,
    /// `\Junk`
    Junk,
    /// `\Sent`
    Sent,
    /// `\Trash`
    Trash,
    /// `\All`
    All,
}

impl SpecialUse {
    /// All of them.
    pub const EVERY: [SpecialUse; 7] =
        [Self::Archive, Self::Drafts, Self::Flagged, Self::Junk, Self::Sent, Self::Trash, Self::All];

    /// As IMAP writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Archive => "\\Archive",
            Self::Drafts => "\\Drafts",
            Self::Flagged => "\\Flagged",
            Self::Junk => "\\Junk",
            Self::Sent => "\\Sent",
            Self::Trash => "\\Trash",
            Self::All => "\\All",
        }
    }

    /// The use of that name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::EVERY.into_iter().find(|use_| use_.name().eq_ignore_ascii_case(name))
    }
}

/// Changes of the folder tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FolderChange {
    /// CREATE; missing parents are created too.
    Create {
        /// Full name.
        name: String,
        /// CREATE ... (USE ...), RFC 6154.
        special: Option<SpecialUse>,
    },
    /// DELETE; children stay.
    Delete {
        /// Full name.
        name: String,
    },
    /// RENAME with all children; of INBOX: moves its messages into a new folder.
    Rename {
        /// Full name.
        from: String,
        /// Full name.
        to: String,
    },
    /// SUBSCRIBE and UNSUBSCRIBE; the name need not exist.
    Subscribe {
        /// Full name.
        name: String,
        /// False to unsubscribe.
        on: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn wildcards_match_as_the_rfc_says() {
        let matches = |pattern: &str, name: &str| Pattern(pattern.into()).matches(name);
        assert!(matches("*", "a/b/c") && matches("a/*", "a/b/c") && matches("%/b", "a/b") && matches("*c", "a/b/c"));
        assert!(!matches("%", "a/b") && !matches("a", "a/b") && !matches("a/%", "a/b/c") && !matches("", "a"));
        assert!(matches("inbox", "INBOX") && matches("iNb*", "INBOX/x") && !matches("Work", "work"));
    }

    #[test]
    fn a_pattern_of_many_stars_takes_no_exponential_time() {
        assert!(!Pattern("*a".repeat(200)).matches(&"b".repeat(400)));
    }
}
