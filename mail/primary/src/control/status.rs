//! What a shard says of itself.

use model::{BootId, Generation, MailboxId, ServerId, ShardId, Term};
use serde::{Deserialize, Serialize};
use store::StoreError;

use crate::shard::Shard;

/// Answer to `GET /v1/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Which MailServer.
    pub server: ServerId,
    /// Which of its shards.
    pub shard: ShardId,
    /// Under which ownership.
    pub term: Term,
    /// Which start of the process.
    pub boot: BootId,
    /// The directory in force; none before the first push ever.
    pub generation: Option<Generation>,
    /// Attached sessions.
    pub sessions: u64,
    /// Connected secondaries.
    pub secondaries: u64,
    /// Every mailbox of this shard in the directory.
    pub mailboxes: Vec<MailboxStatus>,
}

/// One mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MailboxStatus {
    /// Which.
    pub id: MailboxId,
    /// Its owner can log in, and mail can be sealed to it.
    pub keyed: bool,
    /// Messages waiting for the owner.
    pub waiting: u64,
    /// Messages that could not be stored.
    pub aside: u64,
}

/// Looks at the shard now.
pub(super) async fn observe(shard: &Shard) -> Result<Status, StoreError> {
    let directory = shard.routes.current();
    let own = directory.iter().flat_map(|directory| &directory.mailboxes).filter(|(_, entry)| entry.shard == shard.id);
    let own: Vec<(MailboxId, bool)> = own.map(|(id, entry)| (*id, entry.keyed)).collect();
    let spools = shard.seen_spools.look(shard, own.iter().map(|(id, _)| *id)).await?;
    let mailboxes = own.into_iter().map(|(id, keyed)| {
        let spool = spools.get(&id).copied().unwrap_or_default();
        MailboxStatus { id, keyed, waiting: spool.waiting, aside: spool.aside }
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
    })
}
