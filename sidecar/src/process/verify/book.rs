//! Which mailboxes were tried out when: `<data>/sidecar/verified.json`.
//!
//! ```text
//! {"format":1,"policies":{"daily":"2026-03-01T05:00:04Z"},
//!  "mailboxes":{"<id>":{"time":"2026-03-01T05:00:01Z"},"<id>":{"time":"...","failure":"<object>: is missing; ..."}}}
//! ```
//!
//! Without it everything is tried out from the beginning.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use files::{FilesError, durable};
use jiff::Timestamp;
use model::MailboxId;
use serde::{Deserialize, Serialize};

/// One mailbox in so many is tried out each time,
const SHARE: usize = 20;
/// but at least so many,
const LEAST: usize = 3;
/// and no more than so many.
const MOST: usize = 50;

/// The file's form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Book {
    format: u32,
    /// When a policy was through last.
    policies: BTreeMap<String, Timestamp>,
    mailboxes: BTreeMap<MailboxId, Tried>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Tried {
    time: Timestamp,
    /// Why it could not be restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

impl Default for Book {
    fn default() -> Self {
        Self { format: 1, policies: BTreeMap::new(), mailboxes: BTreeMap::new() }
    }
}

impl Book {
    /// As it was last written. Blocking.
    pub fn load(path: &Path) -> Self {
        let json = fs::read(path).ok();
        let book = json.and_then(|json| serde_json::from_slice::<Self>(&json).ok());
        book.filter(|book| book.format == 1).unwrap_or_default()
    }

    /// Writes it durably. Blocking.
    pub fn save(&self, path: &Path) -> Result<(), FilesError> {
        // Plain data with text keys: it always has a JSON form.
        durable::write(path, &serde_json::to_vec(self).unwrap_or_default())
    }

    /// When a policy was through last.
    pub fn last(&self, policy: &str) -> Option<Timestamp> {
        self.policies.get(policy).copied()
    }

    /// A policy is through.
    pub fn through(&mut self, policy: &str, now: Timestamp) {
        self.policies.insert(policy.to_owned(), now);
    }

    /// Those to be tried out next: what failed last, then what was tried the longest ago.
    pub fn choose(&self, candidates: impl Iterator<Item = MailboxId>) -> Vec<MailboxId> {
        let mut all: Vec<MailboxId> = candidates.collect();
        let order = |mailbox: &MailboxId| {
            let tried = self.mailboxes.get(mailbox);
            (tried.is_none_or(|tried| tried.failure.is_none()), tried.map(|tried| tried.time), *mailbox)
        };
        all.sort_by_cached_key(order);
        all.truncate((all.len() / SHARE).clamp(LEAST, MOST));
        all
    }

    /// A mailbox was tried out.
    pub fn note(&mut self, mailbox: MailboxId, time: Timestamp, failure: Option<String>) {
        self.mailboxes.insert(mailbox, Tried { time, failure });
    }

    /// There is nothing of it any more.
    pub fn forget(&mut self, mailbox: MailboxId) {
        self.mailboxes.remove(&mailbox);
    }

    /// What could not be restored when it was tried last.
    pub fn failures(&self) -> impl Iterator<Item = (MailboxId, &str)> {
        self.mailboxes.iter().filter_map(|(mailbox, tried)| Some((*mailbox, tried.failure.as_deref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> MailboxId {
        MailboxId::from_random([n; 17])
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn every_mailbox_comes_round_and_what_failed_comes_first() {
        let mut book = Book::default();
        let all = || (0..100).map(id);
        let mut seen = std::collections::BTreeSet::new();
        for round in 0..20 {
            let chosen = book.choose(all());
            assert_eq!(chosen.len(), 5);
            for mailbox in chosen {
                assert!(seen.insert(mailbox), "nobody twice before all had their turn");
                book.note(mailbox, at(round), None);
            }
        }
        assert_eq!(seen.len(), 100);
        book.note(id(42), at(1000), Some("t0001/...: is missing".to_owned()));
        assert_eq!(book.choose(all())[0], id(42));
        assert_eq!(book.failures().map(|(mailbox, _)| mailbox).collect::<Vec<_>>(), [id(42)]);
        assert_eq!(book.choose((0..2).map(id)).len(), 2);
        assert_eq!(book.choose((0..255).cycle().take(5000).map(id)).len(), MOST);
        book.forget(id(42));
        assert_eq!(book.failures().count(), 0);
    }

    #[test]
    fn it_is_remembered_and_what_cannot_be_read_is_as_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("verified.json");
        let mut book = Book::default();
        book.note(id(1), at(5), None);
        book.note(id(2), at(6), Some("no".to_owned()));
        book.through("daily", at(7));
        book.save(&path).unwrap();
        assert_eq!(Book::load(&path), book);
        assert_eq!((book.last("daily"), book.last("other")), (Some(at(7)), None));
        fs::write(&path, r#"{"format":2}"#).unwrap();
        assert_eq!(Book::load(&path), Book::default());
        assert_eq!(Book::load(&dir.path().join("none")), Book::default());
    }
}
