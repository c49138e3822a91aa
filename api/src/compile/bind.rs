//! Which mailbox each winner owns: its own, a retained one, or a fresh one on the shard with most room.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use model::plan::DeclaredMailbox;
use model::{Address, Binding, Bindings, Finding, MailboxId, ShardId, World};

use super::contest::Holders;
use super::{blocked, reference};
use crate::conditions::READY;
use crate::conditions::reason::{ADOPT_CONFLICT, ADOPT_NOT_FOUND, ADOPTED, AWAITING_SHARD};

/// What binding could not do.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bound {
    /// Mailboxes that wait for an id only.
    pub(super) wanting: usize,
}

/// Brings the bindings up to date with the holders of addresses.
pub(super) fn bind(
    world: &World,
    holders: &BTreeMap<&Address, Holders>,
    bindings: &mut Bindings,
    now: Timestamp,
    findings: &mut Vec<Finding>,
) -> Bound {
    retain_orphans(world, bindings, now);
    let (mut adopting, mut rest): (Vec<_>, Vec<_>) =
        holders.values().filter_map(|h| h.mailbox).partition(|mailbox| mailbox.adopt.is_some());
    // Whoever names an id goes before those who would find it by address; within each, the order of names decides.
    adopting.sort_by(|a, b| a.object.name.cmp(&b.object.name));
    rest.sort_by(|a, b| a.object.name.cmp(&b.object.name));
    let mut ids = world.minted.iter().copied().filter(|id| is_free(*id, bindings)).collect::<Vec<_>>();
    ids.reverse();
    let mut bound = Bound::default();
    for mailbox in adopting.into_iter().chain(rest) {
        match find(mailbox, bindings) {
            Found::Own(id) => {
                remark_on_adopt(mailbox, id, findings);
                take(mailbox, id, world, bindings);
            }
            Found::Retained(id) => {
                findings.push(adopted(mailbox, id));
                take(mailbox, id, world, bindings);
            }
            Found::Refused(reason, message) => {
                findings.push(blocked(reference("Mailbox", &mailbox.object), reason, message));
            }
            Found::Nothing if !world.domains.contains(mailbox.address.domain()) => {}
            Found::Nothing => place(mailbox, world, bindings, &mut ids, &mut bound, findings),
        }
    }
    bound
}

/// An id is used once, also where nothing is left of its mailbox.
fn is_free(id: MailboxId, bindings: &Bindings) -> bool {
    !bindings.mailboxes.contains_key(&id) && !bindings.purged.contains_key(&id)
}

/// Mailboxes whose object is gone are retained.
fn retain_orphans(world: &World, bindings: &mut Bindings, now: Timestamp) {
    let present: BTreeSet<&str> = world.mailboxes.iter().map(|m| m.object.uid.as_str()).collect();
    for binding in bindings.mailboxes.values_mut() {
        if binding.owner.as_deref().is_some_and(|owner| !present.contains(owner)) {
            binding.owner = None;
            binding.retained_at = Some(now);
        }
    }
}

enum Found {
    Own(MailboxId),
    Retained(MailboxId),
    Refused(&'static str, String),
    Nothing,
}

fn find(mailbox: &DeclaredMailbox, bindings: &Bindings) -> Found {
    if let Some((id, _)) = bindings.owned_by(&mailbox.object.uid) {
        return Found::Own(id);
    }
    let Some(wanted) = mailbox.adopt else {
        let retained = bindings.mailboxes.iter().filter(|(_, b)| b.owner.is_none() && b.address == mailbox.address);
        return retained.max_by_key(|(_, b)| b.retained_at).map_or(Found::Nothing, |(id, _)| Found::Retained(*id));
    };
    match bindings.mailboxes.get(&wanted) {
        Some(binding) if binding.owner.is_none() => Found::Retained(wanted),
        Some(binding) => {
            let message =
                format!("mailbox {wanted} belongs to the Mailbox of {}: delete that one first", binding.address);
            Found::Refused(ADOPT_CONFLICT, message)
        }
        None => {
            let message = match bindings.purged.get(&wanted) {
                Some(purge) => format!("mailbox {wanted} was purged ({}): remove spec.adopt", purge.asked),
                None => format!("there is no retained mailbox {wanted}: check spec.adopt.mailboxId, or remove it"),
            };
            Found::Refused(ADOPT_NOT_FOUND, message)
        }
    }
}

fn remark_on_adopt(mailbox: &DeclaredMailbox, id: MailboxId, findings: &mut Vec<Finding>) {
    let Some(wanted) = mailbox.adopt.filter(|wanted| *wanted != id) else { return };
    findings.push(Finding {
        object: reference("Mailbox", &mailbox.object),
        condition: READY,
        status: true,
        reason: ADOPT_CONFLICT,
        message: format!("it has mailbox {id} already, {wanted} is left alone: adopt with a new Mailbox object"),
    });
}

fn adopted(mailbox: &DeclaredMailbox, id: MailboxId) -> Finding {
    Finding {
        object: reference("Mailbox", &mailbox.object),
        condition: READY,
        status: true,
        reason: ADOPTED,
        message: format!("took over the retained mailbox {id} with its mail and keys"),
    }
}

fn take(mailbox: &DeclaredMailbox, id: MailboxId, world: &World, bindings: &mut Bindings) {
    if let Some(binding) = bindings.mailboxes.get_mut(&id) {
        binding.owner = Some(mailbox.object.uid.clone());
        binding.retained_at = None;
        binding.address = mailbox.address.clone();
        binding.quota = mailbox.quota.or(world.mailbox_quota);
    }
}

fn place(
    mailbox: &DeclaredMailbox,
    world: &World,
    bindings: &mut Bindings,
    ids: &mut Vec<MailboxId>,
    bound: &mut Bound,
    findings: &mut Vec<Finding>,
) {
    let Some(shard) = roomiest(world, bindings) else {
        let message = "no shard has answered yet; the mailbox is placed as soon as one does".to_owned();
        findings.push(blocked(reference("Mailbox", &mailbox.object), AWAITING_SHARD, message));
        return;
    };
    let Some(id) = ids.pop() else {
        bound.wanting += 1;
        return;
    };
    let binding = Binding {
        address: mailbox.address.clone(),
        shard,
        owner: Some(mailbox.object.uid.clone()),
        retained_at: None,
        quota: mailbox.quota.or(world.mailbox_quota),
    };
    bindings.mailboxes.insert(id, binding);
}

/// The shard with the least committed quota; where that is equal, with the fewest mailboxes.
fn roomiest(world: &World, bindings: &Bindings) -> Option<ShardId> {
    let count = |shard| bindings.mailboxes.values().filter(|b| b.shard == shard).count();
    world.placeable.iter().copied().min_by_key(|shard| (bindings.committed(*shard), count(*shard), *shard))
}
