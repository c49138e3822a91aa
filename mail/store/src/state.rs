//! What every transaction knows: the counters of the mailbox, and for writers what they have changed so far.

use std::collections::BTreeSet;

use model::verbs::{Code, QuotaUse};
use model::{FolderId, ModSeq, UidValidity};
use rusqlite::Connection;

use crate::StoreError;
use crate::error::refuse;

/// The durable ceiling lies at most this far above the modseq.
pub(crate) const RESERVE: u64 = 65_536;

/// The row of `state`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// Transactions committed since the file was made.
    pub commits: u64,
    /// The last modseq given.
    pub modseq: u64,
    /// No modseq above it was ever told to anybody.
    pub ceiling: u64,
    /// Set, durably, while commits may not be on disk yet. Found at an opening it means that some may have been lost.
    pub unsynced: bool,
    /// The next content id.
    pub next_content: i64,
    /// The next UIDVALIDITY.
    pub next_uidvalidity: u32,
    /// Octets of all placements.
    pub bytes: u64,
    /// Placements.
    pub messages: u64,
}

impl State {
    /// Reads the row.
    pub fn load(connection: &Connection) -> Result<Self, StoreError> {
        let mut statement = connection.prepare_cached(
            "SELECT commits, modseq, ceiling, unsynced, next_content, next_uidvalidity, bytes, messages FROM state",
        )?;
        Ok(statement.query_row([], |row| {
            Ok(Self {
                commits: row.get::<_, i64>(0)? as u64,
                modseq: row.get::<_, i64>(1)? as u64,
                ceiling: row.get::<_, i64>(2)? as u64,
                unsynced: row.get(3)?,
                next_content: row.get(4)?,
                next_uidvalidity: row.get(5)?,
                bytes: row.get::<_, i64>(6)? as u64,
                messages: row.get::<_, i64>(7)? as u64,
            })
        })?)
    }

    /// True where so many writes may go unsynced: their modseqs need the mark and room below the ceiling, both synced before.
    pub fn is_marked(&self, members: u64) -> bool {
        self.unsynced && self.ceiling > self.modseq + 2 * members
    }

    /// Writes the row.
    pub fn save(&self, connection: &Connection) -> Result<(), StoreError> {
        let mut statement = connection.prepare_cached(
            "UPDATE state SET commits = ?, modseq = ?, ceiling = ?, unsynced = ?, next_content = ?, next_uidvalidity = ?,
             bytes = ?, messages = ?",
        )?;
        statement.execute(rusqlite::params![
            self.commits as i64,
            self.modseq as i64,
            self.ceiling as i64,
            self.unsynced,
            self.next_content,
            self.next_uidvalidity,
            self.bytes as i64,
            self.messages as i64,
        ])?;
        Ok(())
    }
}

/// What the primary says about a mailbox; may change at any time.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Policy {
    /// Most octets; none = no limit.
    pub limit: Option<u64>,
    /// Clients may not change anything.
    pub read_only: bool,
    /// Octets of mail that waits: it was accepted, and its room is taken.
    pub reserved: u64,
}

/// Whether quota has a say in what comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// Its room was reserved when it was accepted.
    Reserved,
    /// It has to fit beside what is here and so many octets that are reserved for others.
    Beside(u64),
}

/// One member of a group of writes that shares a transaction, see `writer`.
pub(crate) struct WriteTx<'c> {
    /// Inside the transaction.
    pub connection: &'c Connection,
    /// Saved at the end of the group.
    pub state: State,
    /// Seconds since 1970.
    pub now: i64,
    /// See [`Policy`].
    pub policy: Policy,
    /// Folders to tell of in a hint.
    pub touched: BTreeSet<FolderId>,
    /// The modseq of this member, once it has one.
    stamp: Option<ModSeq>,
}

impl<'c> WriteTx<'c> {
    /// A transaction that nobody has used yet.
    pub fn new(connection: &'c Connection, state: State, policy: Policy, now: i64) -> Self {
        Self { connection, state, now, policy, touched: BTreeSet::new(), stamp: None }
    }

    /// The next member gets a modseq of its own.
    pub fn next_member(&mut self) {
        self.stamp = None;
    }

    /// The modseq of everything this member changes.
    pub fn modseq(&mut self) -> ModSeq {
        let state = &mut self.state;
        *self.stamp.get_or_insert_with(|| {
            state.modseq += 1;
            ModSeq(state.modseq)
        })
    }

    /// A content id that was never used.
    pub fn content_id(&mut self) -> i64 {
        let id = self.state.next_content;
        self.state.next_content += 1;
        id
    }

    /// A UIDVALIDITY that was never used.
    pub fn uidvalidity(&mut self) -> UidValidity {
        let value = self.state.next_uidvalidity;
        self.state.next_uidvalidity += 1;
        UidValidity(value)
    }

    /// Refuses what clients may not do in a mailbox that only receives.
    pub fn check_writable(&self) -> Result<(), StoreError> {
        if self.policy.read_only { refuse(Code::NoPerm, "the mailbox is read-only") } else { Ok(()) }
    }

    /// Counts new placements; over the limit they are refused, unless their room was reserved before.
    pub fn charge(&mut self, messages: u64, bytes: u64, room: Room) -> Result<(), StoreError> {
        let total = self.state.bytes.saturating_add(bytes);
        let is_over = |beside: u64| {
            let beside = beside.max(self.policy.reserved);
            self.policy.limit.is_some_and(|limit| total.saturating_add(beside) > limit)
        };
        if messages > 0 && matches!(room, Room::Beside(beside) if is_over(beside)) {
            return refuse(Code::OverQuota, "the mailbox is full");
        }
        self.state.bytes = total;
        self.state.messages += messages;
        Ok(())
    }

    /// Uncounts placements that went.
    pub fn release(&mut self, messages: u64, bytes: u64) {
        self.state.bytes = self.state.bytes.saturating_sub(bytes);
        self.state.messages = self.state.messages.saturating_sub(messages);
    }
}

/// Use and limit, as of one snapshot.
pub(crate) fn quota(connection: &Connection, policy: Policy) -> Result<QuotaUse, StoreError> {
    let state = State::load(connection)?;
    Ok(QuotaUse { bytes: state.bytes, messages: state.messages, limit: policy.limit })
}
