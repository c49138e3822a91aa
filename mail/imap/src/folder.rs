//! The selected folder as this client sees it: which message each sequence number means, and what it has to be told.
//!
//! Invariants:
//! * `known` holds exactly the messages the client was told of by EXISTS and not told away by EXPUNGE, in order; a
//!   message's sequence number is its rank there.
//! * `held` (gone, but not announced: RFC 3501 section 7.4.1 forbids it during FETCH, STORE and SEARCH) is part of
//!   `known`, and is told before anything else as soon as EXPUNGE is allowed.
//! * Answers may be absorbed twice or out of order: what is older than `since` says nothing that is not known.

use std::collections::BTreeMap;
use std::io::Write;

use model::verbs::{Delta, Selected, View};
use model::{FlagSet, FolderId, Keywords, ModSeq, Uid, UidSet, UidValidity};

use crate::parse::{STAR, Sequence};

/// UIDs by rank: both directions in logarithmic time.
#[derive(Debug, Default)]
pub(crate) struct Ranks {
    uids: UidSet,
    /// For each run, how many UIDs lie before it.
    before: Vec<u32>,
}

impl Ranks {
    pub fn new(uids: UidSet) -> Self {
        let mut ranks = Self { uids, before: Vec::new() };
        ranks.recount();
        ranks
    }

    fn recount(&mut self) {
        let mut sum = 0;
        self.before.clear();
        for (first, last) in self.uids.runs() {
            self.before.push(sum);
            sum += last - first + 1;
        }
    }

    pub fn set(&self) -> &UidSet {
        &self.uids
    }

    pub fn len(&self) -> u32 {
        match (self.uids.runs().last(), self.before.last()) {
            (Some((first, last)), Some(before)) => before + (last - first + 1),
            _ => 0,
        }
    }

    /// The sequence number, from 1.
    pub fn number(&self, uid: Uid) -> Option<u32> {
        let at = self.uids.runs().partition_point(|run| run.1 < uid.0);
        let (first, _) = *self.uids.runs().get(at).filter(|run| run.0 <= uid.0)?;
        Some(self.before[at] + (uid.0 - first) + 1)
    }

    /// The UID of a sequence number.
    pub fn uid(&self, number: u32) -> Option<Uid> {
        let rank = number.checked_sub(1)?;
        let at = self.before.partition_point(|&before| before <= rank).checked_sub(1)?;
        let (first, last) = self.uids.runs()[at];
        let uid = u64::from(first) + u64::from(rank - self.before[at]);
        (uid <= u64::from(last)).then_some(Uid(uid as u32))
    }

    fn replace(&mut self, uids: UidSet) {
        self.uids = uids;
        self.recount();
    }
}

/// What is pending to be told of a message: its flags (none = only its modseq), and its modseq.
#[derive(Debug, Clone, Copy)]
struct Pending {
    flags: Option<FlagSet>,
    modseq: ModSeq,
}

/// A set that names messages there are none of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoSuchMessage;

/// The selected folder.
#[expect(clippy::struct_excessive_bools, reason = "independent marks of what is still to be told")]
#[derive(Debug)]
pub(crate) struct Folder {
    pub name: String,
    id: FolderId,
    pub uidvalidity: UidValidity,
    pub read_only: bool,
    known: Ranks,
    held: UidSet,
    pub since: ModSeq,
    uidnext: Uid,
    keywords: Keywords,
    recent_from: Uid,
    changed: BTreeMap<u32, Pending>,
    grown: bool,
    new_keywords: bool,
    /// The folder is gone: the session has to end.
    pub deleted: bool,
}

impl Folder {
    pub fn new(name: String, read_only: bool, selected: Selected) -> Self {
        Self {
            name,
            id: selected.folder,
            uidvalidity: selected.uidvalidity,
            read_only: read_only || selected.read_only,
            known: Ranks::new(selected.uids),
            held: UidSet::new(),
            since: selected.modseq,
            uidnext: selected.uidnext,
            keywords: selected.keywords,
            recent_from: selected.recent_from,
            changed: BTreeMap::new(),
            grown: false,
            new_keywords: false,
            deleted: false,
        }
    }

    /// What requests carry.
    pub fn view(&self) -> View {
        View { folder: self.id, since: self.since, uidnext: self.uidnext, keywords: self.keywords.0.len() as u32 }
    }

    /// The sequence number of a message the client knows.
    pub fn number(&self, uid: Uid) -> Option<u32> {
        self.known.number(uid)
    }

    /// How many messages the client knows.
    pub fn exists(&self) -> u32 {
        self.known.len()
    }

    /// `\Recent` messages.
    pub fn recent(&self) -> UidSet {
        self.known.set().and(&UidSet::range(self.recent_from, Uid(u32::MAX)))
    }

    pub fn is_recent(&self, uid: Uid) -> bool {
        uid >= self.recent_from
    }

    /// Messages that are gone and not yet told away.
    pub fn held(&self) -> &UidSet {
        &self.held
    }

    /// True where a flag set has a keyword whose name is not known here.
    pub fn is_foreign(&self, flags: FlagSet) -> bool {
        flags.0 >> (model::SystemFlag::ALL.len() + self.keywords.0.len()) != 0
    }

    /// Takes all keywords of the mailbox.
    pub fn learn_keywords(&mut self, keywords: Keywords) {
        if keywords.0.len() > self.keywords.0.len() {
            self.keywords = keywords;
            self.new_keywords = true;
        }
    }

    /// Takes in what others did; nothing is told yet.
    pub fn absorb(&mut self, delta: Delta) {
        if delta.deleted {
            self.deleted = true;
            return;
        }
        if let Some(keywords) = delta.keywords {
            self.learn_keywords(keywords);
        }
        if delta.modseq < self.since {
            return;
        }
        self.vanish(&delta.vanished);
        self.appear(&delta.appeared);
        for (uid, flags, modseq) in delta.changed.iter() {
            self.note_flags(uid, flags, modseq);
        }
        self.since = delta.modseq;
        self.uidnext = self.uidnext.max(delta.uidnext);
    }

    /// Messages are gone.
    pub fn vanish(&mut self, uids: &UidSet) {
        if !uids.is_empty() {
            self.held = self.held.or(&uids.and(self.known.set()));
        }
    }

    /// Messages have come.
    pub fn appear(&mut self, uids: &UidSet) {
        let next = self.known.set().last().map_or(Uid(1), |last| Uid(last.0.saturating_add(1)));
        let fresh = uids.and(&UidSet::range(next, Uid(u32::MAX)));
        if let Some(last) = fresh.last() {
            self.known.replace(self.known.set().or(&fresh));
            self.uidnext = self.uidnext.max(Uid(last.0.saturating_add(1)));
            self.grown = true;
        }
    }

    /// The client has to be told these flags.
    pub fn note_flags(&mut self, uid: Uid, flags: FlagSet, modseq: ModSeq) {
        self.changed.insert(uid.0, Pending { flags: Some(flags), modseq });
    }

    /// The client asked for silence about its own change: flags are told only where it would else keep outdated ones,
    /// the modseq where it uses modseqs.
    pub fn note_silent(&mut self, uid: Uid, flags: FlagSet, modseq: ModSeq, condstore: bool) {
        match self.changed.get_mut(&uid.0) {
            Some(pending) => *pending = Pending { flags: pending.flags.map(|_| flags), modseq },
            None if condstore => _ = self.changed.insert(uid.0, Pending { flags: None, modseq }),
            None => {}
        }
    }

    /// The row of a FETCH tells these flags anyway.
    pub fn told_flags(&mut self, uid: Uid) {
        if !self.changed.is_empty() {
            self.changed.remove(&uid.0);
        }
    }

    /// The messages a set means. UIDs that are not there mean nothing; numbers that are not there are wrong, except in
    /// an empty folder, where `1:*` is what clients say to mean all.
    pub fn resolve(&self, set: &Sequence, uid: bool) -> Result<UidSet, NoSuchMessage> {
        let star = if uid { self.known.set().last().map_or(0, |last| last.0) } else { self.exists() };
        if star == 0 {
            let open = |&(a, b): &(u32, u32)| a == STAR || b == STAR;
            return if uid || set.0.iter().all(open) { Ok(UidSet::new()) } else { Err(NoSuchMessage) };
        }
        let mut ranges: Vec<(u32, u32)> = set.ranges(star).collect();
        if !uid {
            for range in &mut ranges {
                let first = self.known.uid(range.0).ok_or(NoSuchMessage)?;
                *range = (first.0, self.known.uid(range.1).ok_or(NoSuchMessage)?.0);
            }
        }
        Ok(union(ranges).and(self.known.set()))
    }

    /// The same for SEARCH, where numbers that are not there match nothing.
    pub fn resolve_leniently(&self, set: &Sequence, uid: bool) -> UidSet {
        if uid {
            return self.resolve(set, true).unwrap_or_default();
        }
        let last = self.exists();
        let inside: Vec<_> = set.ranges(last).filter(|r| r.0 <= last).map(|(a, b)| (a.max(1), b.min(last))).collect();
        self.resolve(&Sequence(inside), false).unwrap_or_default()
    }

    /// Tells what is pending: EXPUNGE only where allowed, then EXISTS, RECENT, FLAGS, FETCH.
    pub fn announce(&mut self, out: &mut Vec<u8>, expunge: bool, condstore: bool) {
        if expunge && !self.held.is_empty() {
            self.expunge(out);
        }
        if std::mem::take(&mut self.grown) {
            let _ = write!(out, "* {} EXISTS\r\n* {} RECENT\r\n", self.exists(), self.recent().len());
        }
        if std::mem::take(&mut self.new_keywords) {
            self.write_flag_lists(out);
        }
        for (uid, pending) in std::mem::take(&mut self.changed) {
            self.write_pending(out, Uid(uid), pending, condstore);
        }
    }

    fn expunge(&mut self, out: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        for (gone, uid) in held.iter().enumerate() {
            if let Some(number) = self.known.number(uid) {
                let _ = write!(out, "* {} EXPUNGE\r\n", number - gone as u32);
            }
        }
        self.known.replace(self.known.set().minus(&held));
    }

    fn write_pending(&self, out: &mut Vec<u8>, uid: Uid, pending: Pending, condstore: bool) {
        let Some(number) = self.number(uid).filter(|_| !self.held.contains(uid)) else { return };
        let _ = write!(out, "* {number} FETCH (UID {uid}");
        if let Some(flags) = pending.flags {
            out.extend_from_slice(b" FLAGS (");
            self.write_flags(out, uid, flags);
            out.push(b')');
        }
        if condstore {
            let _ = write!(out, " MODSEQ ({})", pending.modseq);
        }
        out.extend_from_slice(b")\r\n");
    }

    /// Flag names between spaces, `\Recent` included.
    pub fn write_flags(&self, out: &mut Vec<u8>, uid: Uid, flags: FlagSet) {
        let recent = self.is_recent(uid).then_some("\\Recent");
        for (n, name) in self.keywords.names(flags).chain(recent).enumerate() {
            if n > 0 {
                out.push(b' ');
            }
            out.extend_from_slice(name.as_bytes());
        }
    }

    /// FLAGS and PERMANENTFLAGS.
    pub fn write_flag_lists(&self, out: &mut Vec<u8>) {
        let all = FlagSet(u64::MAX);
        let names = self.keywords.names(all).collect::<Vec<_>>().join(" ");
        let _ = write!(out, "* FLAGS ({names})\r\n");
        let _ = match (self.read_only, self.keywords.0.len() < Keywords::MAX) {
            (true, _) => write!(out, "* OK [PERMANENTFLAGS ()] Read-only\r\n"),
            (false, true) => write!(out, "* OK [PERMANENTFLAGS ({names} \\*)] Flags permitted\r\n"),
            (false, false) => write!(out, "* OK [PERMANENTFLAGS ({names})] Flags permitted\r\n"),
        };
    }
}

/// Sorted first, so that a long hostile set costs no more than its length.
fn union(mut ranges: Vec<(u32, u32)>) -> UidSet {
    ranges.sort_unstable();
    let mut set = UidSet::new();
    for (first, last) in ranges {
        set.insert_range(Uid(first), Uid(last));
    }
    set
}

#[cfg(test)]
mod tests;
