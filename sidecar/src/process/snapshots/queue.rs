//! Whose snapshot is due, and whose is being made: a plain struct that is fed with what happens and asked what to do.
//!
//! * Each mailbox comes at the times of its policy's schedule, up to an hour later, always by the same ([`Cron::next_for`]).
//!   One that never had a snapshot, or missed its times while this process was away, is due at once, and once.
//! * One at a time. From the moment it is begun until it is recorded a mailbox holds the one place.
//! * A mailbox that was locked at its time is due as soon as its owner has come ([`Queue::unlocked`]).

use std::collections::{BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};
use model::MailboxId;
use model::cron::Cron;

use super::super::roster::Roster;
use crate::ship::{Met, Uploaded};

/// Wait after a first failure; doubles.
const FIRST_WAIT: SignedDuration = SignedDuration::from_mins(1);
/// Longest wait after a failure.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(1);
/// What could not be had just now is asked for again after so long.
const SOON: SignedDuration = SignedDuration::from_secs(2);

/// What a turn of a mailbox is to do about its snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Name it in the archive.
    Note(Box<Uploaded>),
    /// The key is not here: a base instead.
    Base,
    /// There was nothing new.
    Unchanged,
}

/// All snapshots of a shard.
#[derive(Debug, Default)]
pub struct Queue {
    met: HashMap<MailboxId, Met>,
    due: Roster,
    /// Somebody asked for one now, whatever the schedule says; these have not been begun since.
    asked: BTreeSet<MailboxId>,
    failures: HashMap<MailboxId, u32>,
    running: Option<(MailboxId, Option<Wish>)>,
}

impl Queue {
    /// How far the schedule of a mailbox is.
    pub fn learn(&mut self, mailbox: MailboxId, met: Met, cron: Option<&Cron>, now: Timestamp) {
        if self.met.insert(mailbox, met) != Some(met) {
            self.schedule(mailbox, cron, now);
        }
    }

    /// The schedules are others now.
    pub fn reschedule<'a>(&mut self, cron_of: impl Fn(MailboxId) -> Option<&'a Cron>, now: Timestamp) {
        self.failures.clear();
        let all: Vec<MailboxId> = self.met.keys().copied().collect();
        for mailbox in all {
            self.schedule(mailbox, cron_of(mailbox), now);
        }
    }

    fn schedule(&mut self, mailbox: MailboxId, cron: Option<&Cron>, now: Timestamp) {
        if self.is_running(mailbox) || self.asked.contains(&mailbox) {
            return;
        }
        let met = self.met.get(&mailbox).copied().unwrap_or_default();
        let never = met.at == Timestamp::UNIX_EPOCH;
        let due = cron.and_then(|cron| if never { Some(now) } else { cron.next_for(&mailbox, met.at) });
        self.due.set(mailbox, due);
    }

    /// The owner has come.
    pub fn unlocked(&mut self, mailbox: MailboxId, now: Timestamp) {
        let owed = self.met.get(&mailbox).is_some_and(|met| met.owed);
        if owed && !self.failures.contains_key(&mailbox) && !self.is_running(mailbox) {
            self.due.set(mailbox, Some(now));
        }
    }

    /// Somebody asks for one now: it comes before all others. One that is being made has begun too early.
    pub fn ask(&mut self, mailbox: MailboxId) {
        self.failures.remove(&mailbox);
        self.due.set(mailbox, None);
        self.asked.insert(mailbox);
    }

    /// The next one, if the place is free.
    pub fn next(&self, now: Timestamp, may: impl Fn(MailboxId) -> bool) -> Option<MailboxId> {
        let mut waiting = self.asked.iter().copied().chain(self.due.due(now));
        if self.running.is_some() { None } else { waiting.find(|mailbox| may(*mailbox)) }
    }

    /// It is begun.
    pub fn start(&mut self, mailbox: MailboxId) {
        self.running = Some((mailbox, None));
        self.due.set(mailbox, None);
        self.asked.remove(&mailbox);
    }

    /// Its copy is made, or is not to be made: the rest is for a turn of the mailbox.
    pub fn want(&mut self, mailbox: MailboxId, wish: Wish) {
        if self.is_running(mailbox) {
            self.running = Some((mailbox, Some(wish)));
        }
    }

    /// What a turn of the mailbox is to do.
    pub fn wish(&self, mailbox: MailboxId) -> Option<Wish> {
        self.running.as_ref().filter(|(running, _)| *running == mailbox).and_then(|(_, wish)| wish.clone())
    }

    /// It is over; what was learned since says when the next one comes, if nobody has asked for another one.
    pub fn done(&mut self, mailbox: MailboxId, cron: Option<&Cron>, now: Timestamp) {
        self.running = self.running.take().filter(|(running, _)| *running != mailbox);
        self.failures.remove(&mailbox);
        self.schedule(mailbox, cron, now);
    }

    /// It failed; it is tried again later and later. `soon` = nothing was wrong, it could not be had just now.
    pub fn failed(&mut self, mailbox: MailboxId, now: Timestamp, soon: bool) {
        self.running = self.running.take().filter(|(running, _)| *running != mailbox);
        let wait = if soon {
            SOON
        } else {
            let failures = self.failures.entry(mailbox).or_default();
            *failures += 1;
            (FIRST_WAIT * (1 << (*failures - 1).min(10))).min(LONGEST_WAIT)
        };
        if !self.asked.contains(&mailbox) {
            self.due.set(mailbox, Some(now + wait));
        }
    }

    /// There is no such mailbox any more, or no policy for it.
    pub fn forget(&mut self, mailbox: MailboxId) {
        self.running = self.running.take().filter(|(running, _)| *running != mailbox);
        self.due.set(mailbox, None);
        self.asked.remove(&mailbox);
        self.met.remove(&mailbox);
        self.failures.remove(&mailbox);
    }

    /// The one that is being made.
    pub fn running(&self) -> Option<MailboxId> {
        self.running.as_ref().map(|(mailbox, _)| *mailbox)
    }

    fn is_running(&self, mailbox: MailboxId) -> bool {
        self.running() == Some(mailbox)
    }

    /// Those that wait, the one being made first.
    pub fn waiting(&self, now: Timestamp) -> impl Iterator<Item = MailboxId> + '_ {
        self.running().into_iter().chain(self.asked.iter().copied()).chain(self.due.due(now))
    }

    /// When the next one of the mailboxes that `of` picks is due.
    pub fn upcoming(&self, of: impl Fn(MailboxId) -> bool) -> Option<Timestamp> {
        self.due.all().find(|(_, mailbox)| of(*mailbox)).map(|(at, _)| at)
    }
}

#[cfg(test)]
mod tests;
