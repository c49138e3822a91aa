//! `compile()`: what the directory and the bindings should be, given what is declared now and what was bound before.
//!
//! * Pure: no clock, no randomness, no I/O. The same input gives the same plan, and compiling with a plan's own
//!   bindings gives the same directory again.
//! * A bound object keeps its address against every newcomer; among newcomers the older wins, then the name.
//! * A mailbox whose object is gone stays in the bindings, retained: an object with its address, or one that adopts its
//!   id, gets mail and keys back.
//! * An address that nobody holds any more leaves a tombstone: 450 until the grace time is over, then 550.
//!
//! Steps: [`contest`] decides who holds each address, [`bind`] gives the winners their mailboxes, [`routes`] writes the
//! directory and the tombstones.

mod bind;
mod contest;
mod routes;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use jiff::Timestamp;
use model::plan::Declared;
use model::{Bindings, Finding, ObjectRef, Plan, World};

use crate::conditions::READY;
use crate::conditions::reason::ADDRESS_IMMUTABLE;

/// Decides the routes of a MailServer.
///
/// Mailboxes without a binding take ids from `world.minted`; if there are too few, [`Plan::wanting`] says how many to
/// mint before compiling again with the *original* bindings or the plan's, which comes to the same.
pub fn compile(world: &World, bindings: &Bindings, now: Timestamp) -> Plan {
    let mut findings = Vec::new();
    let world = &*steady(world, bindings, &mut findings);
    let holders = contest::contest(world, bindings, &mut findings);
    let mut next = bindings.clone();
    let bound = bind::bind(world, &holders, &mut next, now, &mut findings);
    let mut plan = routes::routes(world, bindings, next, &holders, now, findings);
    plan.wanting = bound.wanting;
    plan.findings.sort_by(|a, b| a.object.cmp(&b.object));
    plan
}

/// The world with every bound mailbox at its bound address: an address cannot change, and where no API server refuses
/// the edit, the old one stays in force. Otherwise reusing a manifest's name would hand the mail to somebody else.
fn steady<'a>(world: &'a World, bindings: &Bindings, findings: &mut Vec<Finding>) -> Cow<'a, World> {
    let mut steady = Cow::Borrowed(world);
    for (index, mailbox) in world.mailboxes.iter().enumerate() {
        let Some((id, binding)) = bindings.owned_by(&mailbox.object.uid) else { continue };
        if binding.address == mailbox.address {
            continue;
        }
        let message = format!(
            "its address is {} and cannot change: put it back, or declare another Mailbox with adopt.mailboxId {id} and delete this one",
            binding.address
        );
        let object = reference("Mailbox", &mailbox.object);
        findings.push(Finding { object, condition: READY, status: true, reason: ADDRESS_IMMUTABLE, message });
        steady.to_mut().mailboxes[index].address = binding.address.clone();
    }
    steady
}

fn reference(kind: &str, object: &Declared) -> ObjectRef {
    ObjectRef::new(kind, &object.name)
}

/// A finding that keeps an object from being ready.
fn blocked(object: ObjectRef, reason: &'static str, message: String) -> Finding {
    Finding { object, condition: READY, status: false, reason, message }
}
