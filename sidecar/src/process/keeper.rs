//! Retention by its own clock: every mailbox once a day, idle ones too.
//!
//! It is done in a turn of the mailbox, because one turn at a time has its state. Few at a time, so that new mail does not
//! wait for a shard's daily round.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use model::MailboxId;
use model::backup::Policy;

use super::roster::Roster;
use super::run::Sidecar;
use crate::ship::{Removed, Rules, ShipError};

/// Each mailbox is looked through for what is kept no longer so often.
const EVERY: SignedDuration = SignedDuration::from_hours(24);
/// And again after a failure.
const AGAIN: SignedDuration = SignedDuration::from_hours(1);
/// Mailboxes at a time.
const MOST: usize = 2;

/// Whose turn it is.
#[derive(Debug, Default)]
pub struct Keeper {
    due: Roster,
    running: BTreeSet<MailboxId>,
}

impl Keeper {
    /// When a mailbox was looked through last. `failed` = it was tried just now.
    pub fn learn(&mut self, mailbox: MailboxId, last: Timestamp, now: Timestamp, failed: bool) {
        if !self.running.contains(&mailbox) {
            let due = last.saturating_add(EVERY).unwrap_or(Timestamp::MAX);
            self.due.set(mailbox, Some(if failed { due.max(now + AGAIN) } else { due }));
        }
    }

    /// Those that are to have a turn for it now.
    pub fn start(&mut self, now: Timestamp, may: impl Fn(MailboxId) -> bool) -> Vec<MailboxId> {
        // A destination that is away holds up no other one.
        let away: Vec<MailboxId> = self.running.iter().filter(|mailbox| !may(**mailbox)).copied().collect();
        for mailbox in away {
            self.running.remove(&mailbox);
            self.due.set(mailbox, Some(now + AGAIN));
        }
        let free = MOST.saturating_sub(self.running.len());
        let next: Vec<MailboxId> = self.due.due(now).filter(|mailbox| may(*mailbox)).take(free).collect();
        for mailbox in &next {
            self.due.set(*mailbox, None);
            self.running.insert(*mailbox);
        }
        next
    }

    /// True if the mailbox's turn is for it as well.
    pub fn is_at(&self, mailbox: MailboxId) -> bool {
        self.running.contains(&mailbox)
    }

    /// There is no such mailbox any more.
    pub fn forget(&mut self, mailbox: MailboxId) {
        self.running.remove(&mailbox);
        self.due.set(mailbox, None);
    }

    /// It was looked through, or that failed.
    pub fn done(&mut self, mailbox: MailboxId) {
        self.running.remove(&mailbox);
    }
}

impl Sidecar {
    /// Gives those that are due a turn.
    pub fn start_retention(&mut self) {
        let mut keeper = std::mem::take(&mut self.keeper);
        let next = keeper.start(Timestamp::now(), |mailbox| self.may(mailbox));
        self.keeper = keeper;
        let now = self.now();
        for mailbox in next {
            self.agenda.note(mailbox, None, now);
        }
    }

    /// What a mailbox's turn is to keep, if it is to look.
    pub fn rules(&self, mailbox: MailboxId, name: &str, policy: &Policy) -> Option<Rules> {
        let dry = self.config.tuning.dry_retention;
        let rules = || Rules::at(Timestamp::now(), policy.retention, self.schedules.zone(name), dry);
        self.keeper.is_at(mailbox).then(rules)
    }

    /// What a turn did about it; none = nothing.
    pub fn hear_retention(&mut self, mailbox: MailboxId, retained: Option<&Result<Removed, ShipError>>) {
        let now = Timestamp::now();
        if retained.is_some() {
            self.keeper.done(mailbox);
        }
        if let Some(state) = self.known.get(&mailbox).and_then(|known| known.state.as_ref()) {
            self.keeper.learn(mailbox, state.retained, now, matches!(retained, Some(Err(_))));
        }
        let Some(Ok(removed)) = retained else { return };
        let Removed { objects, bytes, disowned } = *removed;
        let dry = self.config.tuning.dry_retention;
        if dry && objects > 0 {
            tracing::info!(%mailbox, objects, bytes, "retention would remove what is kept no longer");
        } else if objects > 0 {
            tracing::info!(%mailbox, objects, bytes, disowned, "retention removed what is kept no longer");
        }
        self.metrics.retained(if dry { 0 } else { objects as u64 }, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> MailboxId {
        MailboxId::from_random([n; 17])
    }

    #[test]
    fn idle_mailboxes_come_once_a_day_few_at_a_time() {
        let now: Timestamp = "2026-03-10T12:00:00Z".parse().unwrap();
        let mut keeper = Keeper::default();
        for n in 0..50 {
            keeper.learn(id(n), now - SignedDuration::from_hours(25), now, false);
        }
        keeper.learn(id(99), now - SignedDuration::from_hours(23), now, false);
        let mut seen = BTreeSet::new();
        loop {
            let batch = keeper.start(now, |_| true);
            if batch.is_empty() {
                break;
            }
            assert!(batch.len() <= MOST && keeper.start(now, |_| true).is_empty());
            for mailbox in batch {
                assert!(keeper.is_at(mailbox) && seen.insert(mailbox));
                keeper.done(mailbox);
                keeper.learn(mailbox, now, now, false);
            }
        }
        assert_eq!(seen.len(), 50);
        assert_eq!(keeper.start(now + SignedDuration::from_hours(1), |_| true), [id(99)]);
    }

    #[test]
    fn a_failure_is_repeated_in_an_hour_and_a_bucket_that_is_away_holds_up_no_other() {
        let now: Timestamp = "2026-03-10T12:00:00Z".parse().unwrap();
        let mut keeper = Keeper::default();
        (1..=3).for_each(|n| keeper.learn(id(n), Timestamp::UNIX_EPOCH, now, false));
        let first = keeper.start(now, |_| true);
        assert_eq!(first.len(), MOST);
        keeper.done(first[0]);
        keeper.learn(first[0], Timestamp::UNIX_EPOCH, now, true);
        let third = keeper.start(now, |mailbox| !first.contains(&mailbox));
        assert_eq!(third.len(), 1, "the other one's bucket went away");
        keeper.done(third[0]);
        assert_eq!(keeper.start(now, |_| true), []);
        assert_eq!(keeper.start(now + AGAIN, |_| true).len(), MOST);
    }
}
