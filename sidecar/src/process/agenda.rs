//! Which mailbox has its turn when: a plain struct that is fed with what happens and asked what to do.
//!
//! Turns are due at a time since the start of the process, which no clock change moves.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use model::MailboxId;

/// Wait after a first failure; doubles.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// Longest wait after a failure.
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// What is to be done.
#[derive(Debug, Default)]
pub struct Agenda {
    items: BTreeMap<MailboxId, Item>,
    running: usize,
}

#[derive(Debug, Default)]
struct Item {
    /// When its turn comes; none = nothing is known to be done.
    due: Option<Duration>,
    /// Its turn is now; what is heard since makes another one.
    running: bool,
    /// The oldest commit that is not archived, as far as it is known.
    since: Option<Timestamp>,
    /// The same, of what came during the turn.
    since_then: Option<Timestamp>,
    failures: u32,
}

impl Agenda {
    /// Something was committed at `since`; it is to be shipped no later than `due`.
    pub fn note(&mut self, mailbox: MailboxId, since: Option<Timestamp>, due: Duration) {
        let item = self.items.entry(mailbox).or_default();
        let oldest = if item.running { &mut item.since_then } else { &mut item.since };
        *oldest = earlier(*oldest, since);
        // A mailbox that fails keeps its wait: the bucket is away for its new mail too.
        if item.failures == 0 || item.due.is_none() {
            item.due = earlier(item.due, Some(due));
        }
    }

    /// The next turn, if one is due and fewer than `most` run.
    pub fn next(&mut self, now: Duration, most: usize, may: impl Fn(MailboxId) -> bool) -> Option<MailboxId> {
        if self.running >= most {
            return None;
        }
        let ready = self
            .items
            .iter()
            .filter(|(mailbox, item)| !item.running && item.due.is_some_and(|due| due <= now) && may(**mailbox));
        let next = *ready.min_by_key(|(_, item)| item.due)?.0;
        let item = self.items.get_mut(&next)?;
        (item.running, item.due) = (true, None);
        self.running += 1;
        Some(next)
    }

    /// The mailbox has its turn now, whatever is due, for somebody who needs it; false where it has one already.
    pub fn lend(&mut self, mailbox: MailboxId) -> bool {
        let item = self.items.entry(mailbox).or_default();
        if item.running {
            return false;
        }
        (item.running, item.due) = (true, None);
        self.running += 1;
        true
    }

    /// True while the mailbox has its turn.
    pub fn has_turn(&self, mailbox: MailboxId) -> bool {
        self.items.get(&mailbox).is_some_and(|item| item.running)
    }

    /// There is no such mailbox any more. Not during its turn.
    pub fn forget(&mut self, mailbox: MailboxId) {
        self.items.remove(&mailbox);
    }

    /// When the next turn is due, if there is any that may be had.
    pub fn wakes(&self, may: impl Fn(MailboxId) -> bool) -> Option<Duration> {
        let waiting = self.items.iter().filter(|(mailbox, item)| !item.running && may(**mailbox));
        waiting.filter_map(|(_, item)| item.due).min()
    }

    /// A turn is over; `again` is when the mailbox wants another one anyway.
    pub fn done(&mut self, mailbox: MailboxId, again: Option<Duration>) {
        self.running = self.running.saturating_sub(1);
        let Some(item) = self.items.get_mut(&mailbox) else { return };
        (item.running, item.failures) = (false, 0);
        item.since = item.since_then.take();
        item.due = earlier(item.due, again);
        if item.due.is_none() {
            self.items.remove(&mailbox);
        }
    }

    /// A turn has failed: it is repeated later.
    pub fn failed(&mut self, mailbox: MailboxId, now: Duration) {
        self.running = self.running.saturating_sub(1);
        let Some(item) = self.items.get_mut(&mailbox) else { return };
        item.running = false;
        item.since = earlier(item.since, item.since_then.take());
        let wait = FIRST_WAIT.saturating_mul(1 << item.failures.min(10)).min(LONGEST_WAIT);
        item.failures += 1;
        item.due = Some(now + wait);
    }

    /// Everything that failed is tried at once: what was away is there again.
    pub fn retry(&mut self, now: Duration) {
        for item in self.items.values_mut().filter(|item| item.failures > 0 && !item.running) {
            item.due = Some(now);
        }
    }

    /// The oldest commit that is not archived, of the mailboxes that `of` picks, and how many such mailboxes there are.
    pub fn oldest(&self, of: impl Fn(MailboxId) -> bool) -> (Option<Timestamp>, u64) {
        let waiting = self.items.iter().filter(|(mailbox, _)| of(**mailbox)).filter_map(|(_, item)| item.since);
        waiting.fold((None, 0), |(oldest, count), since| (earlier(oldest, Some(since)), count + 1))
    }

    /// True if any of the mailboxes that `of` picks has its turn, or should have it.
    pub fn is_busy(&self, now: Duration, of: impl Fn(MailboxId) -> bool) -> bool {
        let at_work = |item: &Item| item.running || item.due.is_some_and(|due| due <= now);
        self.items.iter().any(|(mailbox, item)| at_work(item) && of(*mailbox))
    }

    /// True if the last turn of any of the mailboxes that `of` picks failed.
    pub fn is_failing(&self, of: impl Fn(MailboxId) -> bool) -> bool {
        self.items.iter().any(|(mailbox, item)| item.failures > 0 && of(*mailbox))
    }

    /// Turns that run.
    pub fn running(&self) -> usize {
        self.running
    }
}

fn earlier<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests;
