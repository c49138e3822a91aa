//! What a shard says of itself.

use std::collections::BTreeMap;

use control::operator::{MailboxStatus, Status};
use model::MailboxId;
use store::{Soundness, StoreError};

use crate::shard::Shard;

/// Looks at the shard now.
pub(super) async fn observe(shard: &Shard) -> Result<Status, StoreError> {
    let directory = shard.routes.current();
    let own = directory.iter().flat_map(|directory| &directory.mailboxes).filter(|(_, entry)| entry.shard == shard.id);
    // The shard's own word: the directory may be a moment behind it.
    let keyed = shard.routes.keyed_mailboxes().await;
    let (restored, closed) = (shard.mailboxes.restored(), shard.fences.all());
    let own: Vec<(MailboxId, bool)> = own.map(|(id, entry)| (*id, entry.fenced || closed.contains(id))).collect();
    let spools = shard.seen_spools.look(shard, own.iter().copied()).await?;
    let mailboxes = own.into_iter().map(|(id, _)| {
        let (spool, fault) = match spools.get(&id) {
            Some(Ok(spool)) => (*spool, None),
            Some(Err(error)) => (store::SpoolState::default(), Some(error.to_string())),
            None => (store::SpoolState::default(), None),
        };
        let unchecked = restored.get(&id) == Some(&Soundness::Unchecked);
        let (keyed, fenced) = (keyed.contains(&id), closed.contains(&id));
        MailboxStatus { id, keyed, waiting: spool.waiting, aside: spool.aside, unchecked, fenced, fault }
    });
    Ok(Status {
        server: shard.server.clone(),
        shard: shard.id,
        term: shard.term,
        boot: shard.boot,
        generation: directory.map(|directory| directory.generation),
        sessions: shard.sessions().count() as u64,
        secondaries: shard.links().len() as u64,
        mailboxes: mailboxes.collect(),
        findings: shard.floor.finding().into_iter().chain(shard.wanted.finding()).chain(damaged(&restored)).collect(),
        sidecar: shard.wanted.status(),
    })
}

fn damaged(restored: &BTreeMap<MailboxId, Soundness>) -> impl Iterator<Item = String> {
    let damaged = restored.iter().filter(|(_, soundness)| **soundness == Soundness::Damaged);
    damaged.map(|(id, _)| format!("the restored mailbox {id} is damaged; restore it as of another time"))
}
