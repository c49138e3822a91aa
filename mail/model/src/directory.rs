//! The directory: which addresses there are, where their mail goes, and what is said when it cannot go there.
//!
//! Invariants:
//! * A name that is not in a *complete* directory is unknown (550); anything else that cannot be delivered is 450.
//! * A removed name answers 450 until its grace time is over: absence never means removal.
//! * No secrets: whoever reads a directory learns addresses, ids and states.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Address, Domain, Generation, MailboxId, ServerId, ShardId};

/// All routes of one MailServer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    /// Whose routes these are.
    pub server: ServerId,
    /// The name the server calls itself in greetings and trace headers.
    pub hostname: String,
    /// Version; the highest wins.
    pub generation: Generation,
    /// Domains served; an address elsewhere is not ours.
    pub domains: BTreeSet<Domain>,
    /// Largest message accepted, in bytes.
    pub max_message_size: u64,
    /// Every exact address and catch-all.
    #[serde(with = "pairs")]
    pub entries: BTreeMap<Address, Entry>,
    /// Every mailbox with a binding, retained ones included.
    #[serde(with = "pairs")]
    pub mailboxes: BTreeMap<MailboxId, MailboxEntry>,
    /// Removed addresses and the end of their grace time.
    #[serde(with = "pairs")]
    pub removed: BTreeMap<Address, Timestamp>,
}

/// What stands at an address. A mailbox and an alias together store and forward.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Entry {
    /// The mailbox of that address.
    pub mailbox: Option<MailboxId>,
    /// The alias of that address.
    pub alias: Option<AliasEntry>,
}

/// Where an alias sends mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AliasEntry {
    /// To all of these.
    Targets(Vec<Target>),
    /// Nowhere: the sender is told so.
    Reject(Reply),
}

/// One target of an alias.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// A mailbox of this server.
    Mailbox(MailboxId),
    /// An address elsewhere, or a webhook: not supported until there are couriers.
    Outward,
    /// A mailbox object that does not exist (yet).
    Dangling,
}

/// What the directory knows of a mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxEntry {
    /// Its own address.
    pub address: Address,
    /// Which primary owns it.
    pub shard: ShardId,
    /// What it accepts.
    pub state: MailboxState,
    /// Which protocols its owner may use.
    pub access: BTreeSet<Protocol>,
    /// Most bytes it may hold; none = no limit of its own.
    pub quota: Option<u64>,
    /// True once its shard holds a keyset, so that mail can be sealed to it.
    pub keyed: bool,
    /// Its files stay closed until this is false again: nobody reads or writes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fenced: bool,
}

/// `Mailbox.spec.state`, and what follows from a lost object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MailboxState {
    /// Reads and writes.
    Active,
    /// Accepts mail, refuses changes by clients.
    ReadOnly,
    /// Accepts nothing for now; nobody logs in.
    Suspended,
    /// The object is gone, the mail is kept.
    Retained,
}

/// A way in for the owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Protocol {
    /// IMAP.
    Imap,
    /// POP3.
    Pop3,
    /// SMTP submission.
    Submission,
}

/// An SMTP reply (RFC 5321 section 4.2) with its enhanced code (RFC 3463).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// 4yz or 5yz.
    pub code: u16,
    /// For example `5.1.1`.
    pub enhanced: String,
    /// One line, without codes.
    pub text: String,
}

impl Reply {
    /// A reply made of its parts.
    pub fn new(code: u16, enhanced: &str, text: impl Into<String>) -> Self {
        Self { code, enhanced: enhanced.to_owned(), text: text.into() }
    }
}

/// Why a recipient that exists cannot take mail now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unready {
    /// Recently removed; it may come back.
    Removed,
    /// Suspended by its administrator.
    Suspended,
    /// Its files are closed for repair.
    Fenced,
    /// No keyset yet: the owner has not chosen a password.
    AwaitingOwner,
    /// A target that this version cannot serve.
    NotSupported,
    /// A target whose object is missing.
    Dangling,
}

/// The answer to RCPT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// Deliver to each of these (no duplicates, never empty).
    Mailboxes(Vec<MailboxId>),
    /// Not now: 450. Nothing is stored for this recipient, also not for its ready targets.
    Unready(Unready),
    /// The alias says no.
    Reject(Reply),
    /// Not a domain of ours: 550 5.7.1, we are no relay.
    DomainNotServed,
    /// A served domain without such a name: 550 5.1.1.
    Unknown,
}

impl Directory {
    /// Where mail for `address` goes. `user+tag` goes to `user` unless the tagged name stands here itself; what is left
    /// goes to the catch-all.
    pub fn route(&self, address: &Address, now: Timestamp) -> Route {
        if !self.domains.contains(address.domain()) {
            return Route::DomainNotServed;
        }
        let candidates = [Some(address.clone()), address.without_tag(), Some(address.catch_all())];
        for name in candidates.iter().flatten() {
            if let Some(entry) = self.entries.get(name) {
                return self.entry(entry);
            }
            if self.removed.get(name).is_some_and(|until| now < *until) {
                return Route::Unready(Unready::Removed);
            }
        }
        Route::Unknown
    }

    /// The mailbox that logs in as `address`: exact, and never through an alias.
    pub fn mailbox_of(&self, address: &Address) -> Option<(MailboxId, &MailboxEntry)> {
        let id = self.entries.get(address)?.mailbox?;
        Some((id, self.mailboxes.get(&id)?))
    }

    fn entry(&self, entry: &Entry) -> Route {
        let mut found = Vec::new();
        let own = entry.mailbox.map(Target::Mailbox);
        let targets: &[Target] = match &entry.alias {
            Some(AliasEntry::Reject(reply)) => return Route::Reject(reply.clone()),
            Some(AliasEntry::Targets(targets)) => targets,
            None => &[],
        };
        for target in own.iter().chain(targets) {
            match self.target(target) {
                Ok(id) if found.contains(&id) => {}
                Ok(id) => found.push(id),
                Err(unready) => return Route::Unready(unready),
            }
        }
        if found.is_empty() { Route::Unready(Unready::Dangling) } else { Route::Mailboxes(found) }
    }

    fn target(&self, target: &Target) -> Result<MailboxId, Unready> {
        let id = match target {
            Target::Mailbox(id) => *id,
            Target::Outward => return Err(Unready::NotSupported),
            Target::Dangling => return Err(Unready::Dangling),
        };
        let mailbox = self.mailboxes.get(&id).ok_or(Unready::Dangling)?;
        match mailbox.state {
            MailboxState::Suspended => Err(Unready::Suspended),
            MailboxState::Retained => Err(Unready::Removed),
            MailboxState::Active | MailboxState::ReadOnly if mailbox.fenced => Err(Unready::Fenced),
            MailboxState::Active | MailboxState::ReadOnly if !mailbox.keyed => Err(Unready::AwaitingOwner),
            MailboxState::Active | MailboxState::ReadOnly => Ok(id),
        }
    }
}

/// Maps as lists of pairs: JSON has no maps with such keys in every form, MessagePack readers neither.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<K: Serialize, V: Serialize, S: Serializer>(map: &BTreeMap<K, V>, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(map)
    }

    pub fn deserialize<'de, K, V, D>(d: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: Deserialize<'de> + Ord,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Ok(Vec::<(K, V)>::deserialize(d)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests;
