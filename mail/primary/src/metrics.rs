//! What a shard counts.

use std::sync::Arc;

use probes::{Health, gauge};

use crate::shard::Shard;

/// Adds the shard's metrics: looked up when asked for, from memory and `statvfs`.
pub fn register(health: &Health, shard: &Arc<Shard>) {
    // The files close with the shard, whoever still asks.
    let shard = Arc::downgrade(shard);
    health.collect(move |out| {
        let Some(shard) = shard.upgrade() else { return Ok(()) };
        let sessions = shard.sessions().count() as u64;
        gauge(out, "primary_sessions", "Sessions that are attached", sessions)?;
        let (waiting, aside) = shard.seen_spools.totals();
        gauge(out, "primary_waiting_messages", "Messages that wait for their owners", waiting)?;
        gauge(out, "primary_messages_set_aside", "Waiting messages that could not be stored", aside)?;
        let fenced = shard.fences.count() as u64;
        gauge(out, "primary_mailboxes_fenced", "Mailboxes whose files are kept closed", fenced)?;
        let links = shard.links().len() as u64;
        gauge(out, "primary_secondaries", "Secondaries that are connected", links)?;
        let generation = shard.routes.current().map(|directory| directory.generation).unwrap_or_default();
        gauge(out, "directory_epoch", "Epoch of the directory in force; 0 = none", generation.epoch)?;
        gauge(out, "directory_seq", "Sequence number of the directory in force", generation.seq)?;
        let refuses = u64::from(shard.floor.finding().is_some());
        gauge(out, "primary_refuses_mail", "1 while the volume has too little space for mail", refuses)?;
        match shard.floor.free() {
            Some(free) => gauge(out, "primary_volume_free_bytes", "Free space of the volume", free),
            None => Ok(()),
        }
    });
}
