//! Who is here: attached sessions, the mailboxes they keep open, and the secondaries they came through.
//!
//! Invariants:
//! * A mailbox is open exactly as long as it has a session; its key is dropped with the last one.
//! * A session lives until it detaches, or nobody has vouched for it for [`LEASE`].
//! * Only the link that attached a session may use it. When that link is lost, the session waits for the next link that
//!   names it: its id is a secret between its secondary and this shard.
//!
//! Pure bookkeeping: no I/O, the clock is a parameter. Whoever removes sessions is told which ended, with their
//! mailboxes.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use crypto::ShieldedDek;
use model::{MailboxId, SessionId, SlotId};
use tokio_util::sync::CancellationToken;
use wire::LinkId;

/// A session that nobody vouches for is over after this time.
pub const LEASE: Duration = Duration::from_secs(30);

/// A mailbox that has sessions.
pub struct Open<M> {
    /// Its store.
    pub mailbox: M,
    /// Its key: for the sealing key of the drain, which may come long after the attach.
    pub dek: ShieldedDek,
    /// Cancelled when the last session has gone.
    pub over: CancellationToken,
    sessions: BTreeSet<SessionId>,
}

struct Session {
    mailbox: MailboxId,
    slot: SlotId,
    /// None while its secondary has lost the connection.
    link: Option<LinkId>,
    seen: Instant,
}

impl Session {
    /// True where that link may use it; one without a link becomes its.
    fn serve(&mut self, link: LinkId, now: Instant) -> bool {
        if *self.link.get_or_insert(link) != link {
            return false;
        }
        self.seen = now;
        true
    }
}

/// All sessions of a shard, over mailboxes of type `M` (a seam for tests; the store's in the server).
#[expect(clippy::struct_field_names, reason = "what it holds is what it is")]
pub struct Sessions<M> {
    sessions: HashMap<SessionId, Session>,
    open: HashMap<MailboxId, Open<M>>,
    /// Sessions of one mailbox.
    most: usize,
}

/// A session that is over.
#[must_use]
pub struct Ended<M> {
    /// Which.
    pub session: SessionId,
    /// Of which mailbox.
    pub id: MailboxId,
    /// Its store.
    pub mailbox: M,
    /// It was the last session of that mailbox.
    pub last: bool,
}

/// Why a session was not added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It is attached to another mailbox.
    Elsewhere,
    /// The mailbox has as many as it may have.
    Full,
}

/// What is attached.
pub struct NewSession {
    /// See `model::verbs::Attach`.
    pub session: SessionId,
    /// See `model::verbs::Attach`.
    pub mailbox: MailboxId,
    /// The slot that opened it: its removal ends the session.
    pub slot: SlotId,
    /// Through which secondary.
    pub link: LinkId,
}

impl<M: Clone> Sessions<M> {
    /// None yet, and at most so many of one mailbox.
    pub fn new(most: usize) -> Self {
        Self { sessions: HashMap::new(), open: HashMap::new(), most }
    }

    /// Adds a session, or renews one that comes again. Where it is the first of its mailbox, the answer is cancelled
    /// when the last one has gone.
    pub fn attach(
        &mut self,
        new: &NewSession,
        mailbox: M,
        dek: ShieldedDek,
        now: Instant,
    ) -> Result<Option<CancellationToken>, Refused> {
        if self.sessions.get(&new.session).is_some_and(|session| session.mailbox != new.mailbox) {
            return Err(Refused::Elsewhere);
        }
        let here = self.open.get(&new.mailbox).map_or(0, |open| open.sessions.len());
        if here >= self.most && !self.sessions.contains_key(&new.session) {
            return Err(Refused::Full);
        }
        let session = Session { mailbox: new.mailbox, slot: new.slot, link: Some(new.link), seen: now };
        self.sessions.insert(new.session, session);
        let mut first = None;
        let open = self.open.entry(new.mailbox).or_insert_with(|| {
            let over = CancellationToken::new();
            first = Some(over.clone());
            Open { mailbox, dek, over, sessions: BTreeSet::new() }
        });
        open.sessions.insert(new.session);
        Ok(first)
    }

    /// The mailbox of a session, if that link may use it; renews its lease.
    pub fn mailbox(&mut self, session: SessionId, link: LinkId, now: Instant) -> Option<(MailboxId, M)> {
        let session = self.sessions.get_mut(&session)?;
        let open = self.open.get(&session.mailbox)?;
        session.serve(link, now).then(|| (session.mailbox, open.mailbox.clone()))
    }

    /// The mailbox of that id, if it has a session.
    pub fn open(&self, mailbox: MailboxId) -> Option<&Open<M>> {
        self.open.get(&mailbox)
    }

    /// Renews the leases of these sessions. Those that are not here attach with their next request.
    pub fn renew(&mut self, link: LinkId, alive: &[SessionId], now: Instant) {
        for id in alive {
            if let Some(session) = self.sessions.get_mut(id) {
                session.serve(link, now);
            }
        }
    }

    /// Ends one session of that link.
    pub fn detach(&mut self, session: SessionId, link: LinkId) -> Option<Ended<M>> {
        let is_theirs = self.sessions.get(&session).is_some_and(|session| session.link.is_none_or(|own| own == link));
        if is_theirs { self.remove(session) } else { None }
    }

    /// A link is gone; its sessions may come back over another within their lease.
    pub fn lost(&mut self, link: LinkId) {
        for session in self.sessions.values_mut().filter(|session| session.link == Some(link)) {
            session.link = None;
        }
    }

    /// Ends all sessions whose lease is over.
    pub fn expire(&mut self, now: Instant) -> Vec<Ended<M>> {
        self.remove_where(|session| now.saturating_duration_since(session.seen) >= LEASE)
    }

    /// Ends everything.
    pub fn clear(&mut self) -> Vec<Ended<M>> {
        self.remove_where(|_| true)
    }

    /// The secondaries through which a mailbox has sessions.
    pub fn links(&self, mailbox: MailboxId) -> HashSet<LinkId> {
        let sessions = self.open.get(&mailbox).into_iter().flat_map(|open| &open.sessions);
        sessions.filter_map(|id| self.sessions.get(id)?.link).collect()
    }

    /// Ends the sessions of a mailbox, all or those of one slot; answers through which links they are to be told.
    pub fn evict(&mut self, mailbox: MailboxId, slot: Option<SlotId>) -> Vec<(Ended<M>, Option<LinkId>)> {
        let all = self.open.get(&mailbox).into_iter().flat_map(|open| &open.sessions).copied();
        let is_of = |id: &SessionId| slot.is_none_or(|slot| self.sessions.get(id).is_some_and(|s| s.slot == slot));
        let own: Vec<_> = all.filter(is_of).collect();
        let mut end = |id| {
            let link = self.sessions.get(&id)?.link;
            Some((self.remove(id)?, link))
        };
        own.into_iter().filter_map(&mut end).collect()
    }

    /// Every mailbox with sessions.
    pub fn open_mailboxes(&self) -> Vec<(MailboxId, M)> {
        self.open.iter().map(|(id, open)| (*id, open.mailbox.clone())).collect()
    }

    /// How many sessions there are.
    pub fn count(&self) -> usize {
        self.sessions.len()
    }

    fn remove_where(&mut self, is_over: impl Fn(&Session) -> bool) -> Vec<Ended<M>> {
        let over: Vec<_> = self.sessions.iter().filter(|(_, session)| is_over(session)).map(|(id, _)| *id).collect();
        over.into_iter().filter_map(|id| self.remove(id)).collect()
    }

    fn remove(&mut self, id: SessionId) -> Option<Ended<M>> {
        let session = self.sessions.remove(&id)?;
        let open = self.open.get_mut(&session.mailbox)?;
        open.sessions.remove(&id);
        let (mailbox, last) = (open.mailbox.clone(), open.sessions.is_empty());
        if last {
            open.over.cancel();
            self.open.remove(&session.mailbox);
        }
        Some(Ended { session: id, id: session.mailbox, mailbox, last })
    }
}

#[cfg(test)]
mod tests {
    use crypto::Dek;

    use super::*;

    fn link_id(n: u64) -> LinkId {
        LinkId([n as u8; 16])
    }

    fn attach(sessions: &mut Sessions<&'static str>, n: u8, link: u64, now: Instant) -> bool {
        let mailbox = MailboxId::from_random([1; 17]);
        let new =
            NewSession { session: SessionId([n; 16]), mailbox, slot: SlotId(u32::from(n % 2)), link: link_id(link) };
        sessions.attach(&new, "mailbox", ShieldedDek::new(&Dek::from_bytes(&[1; 32])), now).unwrap().is_some()
    }

    #[test]
    fn a_session_has_one_mailbox() {
        let (mut sessions, now) = (Sessions::new(8), Instant::now());
        attach(&mut sessions, 1, 1, now);
        let new = NewSession {
            session: SessionId([1; 16]),
            mailbox: MailboxId::from_random([2; 17]),
            slot: SlotId(1),
            link: link_id(1),
        };
        let dek = ShieldedDek::new(&Dek::from_bytes(&[1; 32]));
        assert_eq!(sessions.attach(&new, "other", dek, now).err(), Some(Refused::Elsewhere));
        assert_eq!(sessions.open_mailboxes().len(), 1);
    }

    #[test]
    fn the_mailbox_closes_with_its_last_session() {
        let (mut sessions, now) = (Sessions::new(8), Instant::now());
        assert!(attach(&mut sessions, 1, 1, now));
        assert!(!attach(&mut sessions, 2, 2, now));
        assert_eq!(sessions.links(MailboxId::from_random([1; 17])), [link_id(1), link_id(2)].into());
        assert!(!sessions.detach(SessionId([1; 16]), link_id(1)).unwrap().last);
        let over = sessions.open(MailboxId::from_random([1; 17])).unwrap().over.clone();
        assert!(sessions.detach(SessionId([2; 16]), link_id(2)).unwrap().last);
        assert!(over.is_cancelled());
        assert_eq!(sessions.count(), 0);
    }

    #[test]
    fn only_the_secondary_that_attached_a_session_uses_or_ends_it() {
        let (mut sessions, now) = (Sessions::new(8), Instant::now());
        attach(&mut sessions, 1, 1, now);
        assert!(sessions.mailbox(SessionId([1; 16]), link_id(2), now).is_none());
        assert!(sessions.detach(SessionId([1; 16]), link_id(2)).is_none());
        assert!(sessions.mailbox(SessionId([1; 16]), link_id(1), now).is_some());
    }

    #[test]
    fn a_session_nobody_vouches_for_ends_after_its_lease() {
        let (mut sessions, now) = (Sessions::new(8), Instant::now());
        attach(&mut sessions, 1, 1, now);
        attach(&mut sessions, 2, 1, now);
        let later = now + LEASE;
        sessions.renew(link_id(1), &[SessionId([2; 16]), SessionId([9; 16])], later);
        let expired: Vec<_> = sessions.expire(later).iter().map(|ended| (ended.session, ended.last)).collect();
        assert_eq!(expired, [(SessionId([1; 16]), false)]);
        assert!(sessions.expire(later + LEASE)[0].last);
    }

    #[test]
    fn a_session_outlives_its_link_and_is_served_over_the_next_one_that_names_it() {
        let (mut sessions, now) = (Sessions::new(8), Instant::now());
        let session = SessionId([1; 16]);
        attach(&mut sessions, 1, 1, now);
        sessions.lost(link_id(1));
        assert!(sessions.links(MailboxId::from_random([1; 17])).is_empty());
        sessions.renew(link_id(2), &[session], now);
        assert!(sessions.mailbox(session, link_id(1), now).is_none());
        assert!(sessions.mailbox(session, link_id(2), now).is_some());
        sessions.lost(link_id(2));
        assert!(sessions.expire(now + LEASE)[0].last);
    }

    #[test]
    fn an_evicted_mailbox_has_no_session_left() {
        let (mut sessions, now) = (Sessions::new(8), Instant::now());
        attach(&mut sessions, 1, 1, now);
        attach(&mut sessions, 2, 2, now);
        assert_eq!(sessions.evict(MailboxId::from_random([1; 17]), None).len(), 2);
        assert_eq!(sessions.count(), 0);
    }

    #[test]
    fn a_revoked_slot_takes_its_own_sessions_along_and_no_other() {
        let (mut sessions, now) = (Sessions::new(8), Instant::now());
        for n in 1..=5 {
            attach(&mut sessions, n, 1, now);
        }
        let ended = sessions.evict(MailboxId::from_random([1; 17]), Some(SlotId(0)));
        let ended: BTreeSet<_> = ended.iter().map(|(ended, _)| ended.session).collect();
        assert_eq!(ended, [2, 4].map(|n| SessionId([n; 16])).into());
        assert!(sessions.mailbox(SessionId([3; 16]), link_id(1), now).is_some());
    }

    #[test]
    fn a_mailbox_has_no_more_sessions_than_it_may_and_those_it_has_go_on() {
        let (mut sessions, now) = (Sessions::new(8), Instant::now());
        let mailbox = MailboxId::from_random([1; 17]);
        let dek = || ShieldedDek::new(&Dek::from_bytes(&[1; 32]));
        let new =
            |n: u8, mailbox| NewSession { session: SessionId([n; 16]), mailbox, slot: SlotId(1), link: link_id(1) };
        for n in 0..8 {
            sessions.attach(&new(n, mailbox), "mailbox", dek(), now).unwrap();
        }
        assert_eq!(sessions.attach(&new(8, mailbox), "mailbox", dek(), now).err(), Some(Refused::Full));
        sessions.attach(&new(7, mailbox), "mailbox", dek(), now).unwrap();
        sessions.attach(&new(8, MailboxId::from_random([2; 17])), "other", dek(), now).unwrap();
        assert!(sessions.detach(SessionId([7; 16]), link_id(1)).is_some());
        sessions.attach(&new(9, mailbox), "mailbox", dek(), now).unwrap();
    }
}
