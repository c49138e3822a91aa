//! What a role tells those that probe it: `/livez`, `/readyz` and `/metrics` over plain HTTP, on a port of their own.
//!
//! | path | answers 200 while |
//! |---|---|
//! | `/livez` | the process's runtime takes turns at all; nothing else, so that a slow disk or an absent peer restarts nobody |
//! | `/readyz` | the role said [`Health::ready`] last; else 503, and what it waits for |
//! | `/metrics` | always: OpenMetrics text |
//!
//! Invariants:
//! * Nothing of a mailbox is in an answer: no name, no address, no id.
//! * A connection has [`DEADLINE`] in all, and there are never more than [`MOST`]: the oldest makes room, so that whoever
//!   holds many open keeps no probe from its answer.

mod health;
mod serve;
#[cfg(test)]
mod tests;

pub use health::{Collect, Health, gauge};
pub use prometheus_client as prometheus;
pub use serve::{DEADLINE, MOST, serve};
