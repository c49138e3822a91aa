//! What the primary has to be told is archived: the last commit of each database, however long the primary is away.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use control::{Archived, Database};
use model::MailboxId;
use tokio::sync::{Notify, oneshot};

/// Grows with mailboxes, not with commits; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Untold(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    waiting: Mutex<Waiting>,
    some: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    archived: BTreeMap<(MailboxId, Database), u64>,
    flushes: Vec<oneshot::Sender<()>>,
}

impl Untold {
    /// These are archived now; what was known of the same databases is out of date.
    pub fn add(&self, archived: &[Archived]) {
        self.waiting().archived.extend(archived.iter().map(|it| ((it.mailbox, it.database), it.commit)));
        self.0.some.notify_one();
    }

    /// Somebody waits until all that was added was told, or could not be.
    pub fn flush(&self, back: oneshot::Sender<()>) {
        self.waiting().flushes.push(back);
        self.0.some.notify_one();
    }

    /// All that is to be told, and who waits for that; waits until there is something.
    pub async fn take(&self) -> (Vec<Archived>, Vec<oneshot::Sender<()>>) {
        loop {
            let Waiting { archived: all, flushes } = std::mem::take(&mut *self.waiting());
            if !all.is_empty() || !flushes.is_empty() {
                let archived = |((mailbox, database), commit)| Archived { mailbox, database, commit };
                return (all.into_iter().map(archived).collect(), flushes);
            }
            self.0.some.notified().await;
        }
    }

    /// They could not be told: they wait, unless there is something newer.
    pub fn put_back(&self, archived: &[Archived]) {
        let mut waiting = self.waiting();
        for it in archived {
            waiting.archived.entry((it.mailbox, it.database)).or_insert(it.commit);
        }
        drop(waiting);
        self.0.some.notify_one();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archived(n: u8, commit: u64) -> Archived {
        Archived { mailbox: MailboxId::from_random([n; 17]), database: Database::Mailbox, commit }
    }

    #[tokio::test]
    async fn while_the_primary_is_away_only_the_last_commit_of_each_database_waits() {
        let untold = Untold::default();
        for commit in 1..=10_000 {
            untold.add(&[archived(1, commit), archived(2, commit + 1)]);
        }
        let first = untold.take().await.0;
        assert_eq!(first, [archived(1, 10_000), archived(2, 10_001)]);
        // A timeline that begins again counts from where it is, and is newer than what could not be told.
        untold.add(&[archived(1, 7)]);
        untold.put_back(&first);
        assert_eq!(untold.take().await.0, [archived(1, 7), archived(2, 10_001)]);
        let waiting = untold.clone();
        let next = tokio::spawn(async move { waiting.take().await.0 });
        untold.add(&[archived(3, 1)]);
        assert_eq!(next.await.unwrap(), [archived(3, 1)]);
        let (back, _told) = oneshot::channel();
        untold.flush(back);
        let (all, flushes) = untold.take().await;
        assert_eq!(
            (all.len(), flushes.len()),
            (0, 1),
            "whoever waits is answered, also where there is nothing to tell"
        );
    }
}
