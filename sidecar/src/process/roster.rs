//! Mailboxes in the order of the times at which something is due.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use model::MailboxId;

/// Each mailbox has one time, or none.
#[derive(Debug, Default)]
pub struct Roster {
    times: HashMap<MailboxId, Timestamp>,
    order: BTreeSet<(Timestamp, MailboxId)>,
}

impl Roster {
    /// Replaces the time of a mailbox.
    pub fn set(&mut self, mailbox: MailboxId, at: Option<Timestamp>) {
        let before = match at {
            Some(at) => self.times.insert(mailbox, at),
            None => self.times.remove(&mailbox),
        };
        if let Some(before) = before {
            self.order.remove(&(before, mailbox));
        }
        self.order.extend(at.map(|at| (at, mailbox)));
    }

    /// Those whose time has come, the longest overdue first.
    pub fn due(&self, now: Timestamp) -> impl Iterator<Item = MailboxId> + '_ {
        self.all().take_while(move |(at, _)| *at <= now).map(|(_, mailbox)| mailbox)
    }

    /// All of them, in order.
    pub fn all(&self) -> impl Iterator<Item = (Timestamp, MailboxId)> + '_ {
        self.order.iter().copied()
    }
}
