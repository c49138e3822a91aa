//! What secondaries are told unasked: changes of mailboxes, the directory.

use std::sync::Arc;

use model::verbs::Hint;
use model::{MailboxId, MailboxState, ModSeq, Protocol, SlotId};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio_util::sync::CancellationToken;

use super::attach::is_allowed;
use crate::shard::Shard;

/// Hands hints of a mailbox to the secondaries that have sessions of it, until the last session has gone.
pub fn follow_hints(shard: &Arc<Shard>, mailbox: MailboxId, mut hints: Receiver<Hint>, over: CancellationToken) {
    let shard = shard.clone();
    shard.clone().tasks.spawn(async move {
        loop {
            let hint = tokio::select! {
                hint = hints.recv() => hint,
                () = over.cancelled() => return,
            };
            let hint = match hint {
                Ok(hint) => hint,
                // Some were missed: anything may have changed.
                Err(RecvError::Lagged(_)) => Hint { modseq: ModSeq(0), folders: Vec::new() },
                Err(RecvError::Closed) => return,
            };
            let links = shard.sessions().links(mailbox);
            let links: Vec<_> = links.iter().filter_map(|link| shard.links().get(link).cloned()).collect();
            files::fault::point("push.hint.before");
            for link in links {
                link.push.changed(mailbox, hint.clone());
            }
        }
    });
}

/// Hands every new directory to all secondaries, and applies it to open mailboxes, until the shard stops.
pub async fn follow_routes(shard: Arc<Shard>) {
    let mut routes = shard.routes.watch();
    loop {
        tokio::select! {
            changed = routes.changed() => if changed.is_err() { return },
            () = shard.stop.cancelled() => return,
        }
        let Some(directory) = routes.borrow_and_update().clone() else { continue };
        let links: Vec<_> = shard.links().values().cloned().collect();
        for link in &links {
            link.push.directory(directory.clone());
        }
        let open = shard.sessions().open_mailboxes();
        for (id, mailbox) in open {
            let Some(entry) = directory.mailboxes.get(&id) else {
                // It is purged: nothing else takes a mailbox out of a directory.
                revoke(&shard, id, None);
                continue;
            };
            mailbox.set_policy(entry.quota, entry.state == MailboxState::ReadOnly);
            if !is_allowed(entry, Protocol::Imap) {
                revoke(&shard, id, None);
            }
        }
    }
}

/// Ends the sessions of a mailbox: all, or those that one slot has opened.
pub fn revoke(shard: &Arc<Shard>, mailbox: MailboxId, slot: Option<SlotId>) {
    let evicted = shard.sessions().evict(mailbox, slot);
    for (ended, link) in evicted {
        let link = link.and_then(|link| shard.links().get(&link).cloned());
        if let Some(link) = link {
            link.push.revoked(ended.session);
        }
        shard.end([ended]);
    }
}
