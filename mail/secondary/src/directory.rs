//! The route map a secondary has from its shards.
//!
//! * The highest generation wins; shards of one generation differ only in `keyed`.
//! * Whether a mailbox is `keyed` is the word of its own shard. What another shard says of it never takes keys away.

use std::sync::Arc;

use model::{Directory, ShardId};
use tokio::sync::watch;

/// The newest directory that any shard has sent. Clones share it.
#[derive(Clone)]
pub struct Routes(Arc<watch::Sender<Option<Arc<Directory>>>>);

impl Default for Routes {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }
}

impl Routes {
    /// Takes a directory from a shard, unless a newer one is here.
    pub fn offer(&self, from: ShardId, directory: Arc<Directory>) {
        self.0.send_if_modified(|current| {
            let Some(known) = current.as_ref() else {
                *current = Some(directory);
                return true;
            };
            if known.generation > directory.generation {
                return false;
            }
            let merged = merge(known, from, directory);
            *current = Some(merged);
            true
        });
    }

    /// The one in force; none until the first has come.
    pub fn current(&self) -> Option<Arc<Directory>> {
        self.0.borrow().clone()
    }

    /// Waits for the first.
    pub async fn first(&self) {
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = self.0.subscribe().wait_for(Option::is_some).await;
    }
}

/// The directory, with the keys that other shards have told of.
fn merge(known: &Directory, from: ShardId, mut directory: Arc<Directory>) -> Arc<Directory> {
    let elsewhere = known.mailboxes.iter().filter(|(_, mailbox)| mailbox.keyed && mailbox.shard != from);
    for (id, mailbox) in elsewhere {
        let is_same = |new: &model::MailboxEntry| new.shard == mailbox.shard && !new.keyed;
        if directory.mailboxes.get(id).is_some_and(is_same)
            && let Some(new) = Arc::make_mut(&mut directory).mailboxes.get_mut(id)
        {
            new.keyed = true;
        }
    }
    directory
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use model::{Generation, MailboxEntry, MailboxId, MailboxState, ServerId};

    use super::*;

    fn mailbox(shard: u8) -> MailboxId {
        MailboxId::from_random([shard; 17])
    }

    /// Two shards with a mailbox each.
    fn directory(seq: u64, keyed: [bool; 2]) -> Arc<Directory> {
        let entry = |shard: u8| MailboxEntry {
            address: format!("m{shard}@example.org").parse().unwrap(),
            shard: ShardId(u32::from(shard)),
            state: MailboxState::Active,
            access: BTreeSet::new(),
            quota: None,
            keyed: keyed[usize::from(shard)],
            fenced: false,
        };
        Arc::new(Directory {
            server: ServerId("s".into()),
            hostname: "mx.example.org".into(),
            generation: Generation { epoch: 1, seq },
            domains: BTreeSet::new(),
            max_message_size: 1,
            entries: BTreeMap::new(),
            mailboxes: [0, 1].map(|shard| (mailbox(shard), entry(shard))).into(),
            removed: BTreeMap::new(),
        })
    }

    fn keyed(routes: &Routes) -> [bool; 2] {
        let current = routes.current().unwrap();
        [0, 1].map(|shard| current.mailboxes[&mailbox(shard)].keyed)
    }

    #[test]
    fn each_shard_has_the_word_on_its_own_keys() {
        let routes = Routes::default();
        routes.offer(ShardId(0), directory(1, [true, false]));
        // The other shard does not know of that key.
        routes.offer(ShardId(1), directory(1, [false, true]));
        assert_eq!(keyed(&routes), [true, true]);
        routes.offer(ShardId(0), directory(1, [true, false]));
        assert_eq!(keyed(&routes), [true, true]);
        routes.offer(ShardId(1), directory(2, [false, true]));
        assert_eq!((keyed(&routes), routes.current().unwrap().generation.seq), ([true, true], 2));
        routes.offer(ShardId(0), directory(1, [false, false]));
        assert_eq!((keyed(&routes), routes.current().unwrap().generation.seq), ([true, true], 2));
        routes.offer(ShardId(0), directory(2, [false, false]));
        assert_eq!(keyed(&routes), [false, true], "what a shard says of its own counts");
    }
}
