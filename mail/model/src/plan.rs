//! What people declared, what outlives it, and what follows: the values around `compile()`.
//!
//! * [`World`] is the present: objects of one MailServer reduced to what routing needs, and what shards report.
//! * [`Bindings`] is the memory: which mailbox lives where, which alias holds which address, what was removed when.
//! * [`Plan`] is the decision: a directory, the next memory, and what people must be told.
//!
//! Addresses and ids only, no secrets. A `World` must be complete: an object that is not in it counts as deleted, so
//! nobody makes one before every source has answered, and an object that cannot be read keeps its last value.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Address, Directory, Domain, MailboxId, MailboxState, Protocol, Reply, ServerId, ShardId};

/// Names an object for people: `Mailbox/ann`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectRef {
    /// For example `Mailbox`.
    pub kind: String,
    /// `metadata.name`.
    pub name: String,
}

impl ObjectRef {
    /// A reference made of its parts.
    pub fn new(kind: &str, name: &str) -> Self {
        Self { kind: kind.to_owned(), name: name.to_owned() }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// Everything that is declared for one MailServer, and what its shards report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct World {
    /// The MailServer's id.
    pub server: ServerId,
    /// The MailServer object's name.
    pub name: String,
    /// Its host name.
    pub hostname: String,
    /// Domains it is the authority for.
    pub domains: BTreeSet<Domain>,
    /// Largest message accepted, in bytes.
    pub max_message_size: u64,
    /// Quota in bytes of a mailbox that names none; none = unlimited.
    pub mailbox_quota: Option<u64>,
    /// How long a removed address answers 450 before it answers 550, in seconds.
    pub removal_grace_seconds: u32,
    /// Shards whose mailboxes are all fenced.
    pub fenced_shards: BTreeSet<ShardId>,
    /// Mailbox objects that name this server.
    pub mailboxes: Vec<DeclaredMailbox>,
    /// Alias objects that name this server.
    pub aliases: Vec<DeclaredAlias>,
    /// Mailboxes whose shard reports a keyset.
    pub keyed: BTreeSet<MailboxId>,
    /// Shards that answered at the present epoch: nothing new is placed elsewhere.
    pub placeable: BTreeSet<ShardId>,
    /// Ids minted for mailboxes that have no binding yet, one each, taken in order (see [`Plan::wanting`]).
    pub minted: Vec<MailboxId>,
}

/// What every declared object has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// `metadata.name`.
    pub name: String,
    /// The object's identity: another object of the same name has another.
    pub uid: String,
    /// `metadata.creationTimestamp`; the older of two objects keeps an address.
    pub created: Timestamp,
}

/// A Mailbox object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredMailbox {
    /// Name, identity, age.
    pub object: Declared,
    /// Its address.
    pub address: Address,
    /// What it should accept; never `Retained`.
    pub state: MailboxState,
    /// Its own quota in bytes.
    pub quota: Option<u64>,
    /// The protocols its owner may use.
    pub access: BTreeSet<Protocol>,
    /// A retained mailbox it takes over.
    pub adopt: Option<MailboxId>,
    /// Its files stay closed.
    pub fenced: bool,
}

/// An Alias object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredAlias {
    /// Name, identity, age.
    pub object: Declared,
    /// An exact address or a catch-all.
    pub address: Address,
    /// Where its mail goes.
    pub action: AliasAction,
}

/// What an Alias does with mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AliasAction {
    /// Sends it to all of these.
    Targets(Vec<DeclaredTarget>),
    /// Refuses it.
    Reject(Reply),
}

/// One declared target of an Alias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeclaredTarget {
    /// The Mailbox object of that name.
    Mailbox(String),
    /// An address elsewhere, or a webhook; the text is for people.
    Outward(String),
}

/// What outlives objects. Kept by every shard and by `sealpost up`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Bindings {
    /// Every mailbox that ever got an id and was not purged.
    pub mailboxes: BTreeMap<MailboxId, Binding>,
    /// Which Alias object (by uid) holds an address.
    pub aliases: BTreeMap<Address, String>,
    /// Tombstones: removed addresses and the end of their grace time.
    pub removed: BTreeMap<Address, Timestamp>,
    /// Mailboxes that were given up for good: such an id never means a mailbox again. Kept for ever, without the address.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub purged: BTreeMap<MailboxId, Purge>,
}

/// Ties a mailbox to its address, its shard and the object that owns it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Binding {
    /// Its address: the present one, or the last one if retained.
    pub address: Address,
    /// The primary that holds its files.
    pub shard: ShardId,
    /// The uid of its Mailbox object; none while retained.
    pub owner: Option<String>,
    /// Since when it has had no object.
    pub retained_at: Option<Timestamp>,
    /// The quota in bytes last in force: retained mail still fills its shard.
    pub quota: Option<u64>,
}

/// A mailbox that is purged, or was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Purge {
    /// The primary that had its files.
    pub shard: ShardId,
    /// When it was given up.
    pub asked: Timestamp,
    /// When nothing was left of it; until then its policy stays in force, so that its bucket can be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<Timestamp>,
}

impl Bindings {
    /// Gives a retained mailbox up: from now on nothing can own it. False where it is owned, or not here.
    pub fn purge(&mut self, mailbox: MailboxId, now: Timestamp) -> bool {
        let Some(binding) = self.mailboxes.get(&mailbox).filter(|binding| binding.owner.is_none()) else {
            return false;
        };
        let purge = Purge { shard: binding.shard, asked: now, done: None };
        self.mailboxes.remove(&mailbox);
        self.purged.insert(mailbox, purge);
        true
    }

    /// Nothing is left of it; true where that is news.
    pub fn purged(&mut self, mailbox: MailboxId, now: Timestamp) -> bool {
        let Some(purge) = self.purged.get_mut(&mailbox).filter(|purge| purge.done.is_none()) else { return false };
        purge.done = Some(now);
        true
    }

    /// The mailbox that the Mailbox object `uid` owns.
    pub fn owned_by(&self, uid: &str) -> Option<(MailboxId, &Binding)> {
        self.mailboxes.iter().find(|(_, b)| b.owner.as_deref() == Some(uid)).map(|(id, b)| (*id, b))
    }

    /// Bytes promised to the mailboxes of a shard; those without a quota count nothing.
    pub fn committed(&self, shard: ShardId) -> u64 {
        self.mailboxes.values().filter(|b| b.shard == shard).filter_map(|b| b.quota).fold(0, u64::saturating_add)
    }
}

/// What follows from a world and its bindings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Its generation is the lowest; whoever pushes sets it, and only if the rest differs from the last push.
    pub directory: Directory,
    /// The bindings to keep. They are written down before the directory is pushed.
    pub bindings: Bindings,
    /// What is wrong or worth telling, by object.
    pub findings: Vec<Finding>,
    /// How many mailboxes could be placed if [`World::minted`] held that many more ids: mint them and compile again.
    pub wanting: usize,
    /// Addresses this plan removes that the given bindings had.
    pub removals: BTreeSet<Address>,
}

/// A push may remove this many addresses without being asked about.
const REMOVALS_UNASKED: usize = 10;

impl Plan {
    /// True if the plan removes more than max(10, 10 %) of the addresses, and more than a person allowed: the push waits.
    pub fn is_held(&self, allowed: usize) -> bool {
        let before = self.directory.entries.len() + self.removals.len();
        let limit = REMOVALS_UNASKED.max(before.div_ceil(10)).max(allowed);
        self.removals.len() > limit
    }
}

/// Something to tell the people who own an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which object.
    pub object: ObjectRef,
    /// Condition type that shows it.
    pub condition: &'static str,
    /// The status of that condition while this holds: a remark does not make an object unready.
    pub status: bool,
    /// One CamelCase word from the fixed vocabulary.
    pub reason: &'static str,
    /// What is the matter, and the next step for a person.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.object, self.reason, self.message)
    }
}
