//! The directory and the tombstones.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use model::plan::{AliasAction, DeclaredAlias, DeclaredMailbox, DeclaredTarget};
use model::{
    Address, AliasEntry, Binding, Bindings, Directory, Entry, Finding, Generation, MailboxEntry, MailboxId,
    MailboxState, Plan, Target, World,
};

use super::contest::Holders;
use super::{blocked, reference};
use crate::conditions::reason::{
    AWAITING_OWNER, NOT_SUPPORTED, POSTMASTER_MISSING, TARGET_NOT_FOUND, TARGET_NOT_READY,
};
use crate::conditions::{KEYS_INSTALLED, READY, TARGETS_RESOLVED};

/// How long a tombstone is kept after its grace time: a shard that was away so long still learns of the removal.
const TOMBSTONE_KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Writes the directory from the holders and the bindings that were just decided.
pub(super) fn routes(
    world: &World,
    before: &Bindings,
    mut bindings: Bindings,
    holders: &BTreeMap<&Address, Holders>,
    now: Timestamp,
    mut findings: Vec<Finding>,
) -> Plan {
    let mut entries = BTreeMap::new();
    bindings.aliases.clear();
    for (address, held) in holders {
        let own = held.mailbox.and_then(|mailbox| bindings.owned_by(&mailbox.object.uid)).map(|(id, _)| id);
        let alias = held.alias.map(|alias| alias_entry(alias, world, &bindings, &mut findings));
        if let Some(alias) = held.alias {
            bindings.aliases.insert((*address).clone(), alias.object.uid.clone());
        }
        // Also where nothing can be delivered yet: a declared name answers 450, never 550.
        entries.insert((*address).clone(), Entry { mailbox: own, alias });
    }
    let removals = bury(world, before, &mut bindings, &entries, now);
    let directory = Directory {
        server: world.server.clone(),
        hostname: world.hostname.clone(),
        generation: Generation::default(),
        domains: world.domains.clone(),
        max_message_size: world.max_message_size,
        entries,
        mailboxes: bindings.mailboxes.iter().map(|(id, b)| (*id, mailbox_entry(*id, b, world))).collect(),
        removed: bindings.removed.clone(),
    };
    remark(world, &directory, &mut findings);
    Plan { directory, bindings, findings, wanting: 0, removals }
}

/// Addresses that were bound and that nobody holds now get a tombstone; a name that is back loses it.
fn bury(
    world: &World,
    before: &Bindings,
    bindings: &mut Bindings,
    entries: &BTreeMap<Address, Entry>,
    now: Timestamp,
) -> BTreeSet<Address> {
    let live = before.mailboxes.values().filter(|b| b.owner.is_some()).map(|b| &b.address);
    let removals: BTreeSet<Address> =
        live.chain(before.aliases.keys()).filter(|address| !entries.contains_key(*address)).cloned().collect();
    let grace = SignedDuration::from_secs(i64::from(world.removal_grace_seconds));
    for address in &removals {
        bindings.removed.insert(address.clone(), now.saturating_add(grace).unwrap_or(now));
    }
    bindings.removed.retain(|address, until| {
        let forgotten = until.saturating_add(TOMBSTONE_KEPT).unwrap_or(Timestamp::MAX);
        !entries.contains_key(address) && now < forgotten
    });
    removals
}

fn mailbox_entry(id: MailboxId, binding: &Binding, world: &World) -> MailboxEntry {
    let owner = binding.owner.as_deref();
    let object = world.mailboxes.iter().find(|mailbox| owner == Some(mailbox.object.uid.as_str()));
    MailboxEntry {
        address: binding.address.clone(),
        shard: binding.shard,
        state: object.map_or(MailboxState::Retained, |mailbox| mailbox.state),
        access: object.map(|mailbox| mailbox.access.clone()).unwrap_or_default(),
        quota: binding.quota,
        keyed: world.keyed.contains(&id),
        fenced: object.is_some_and(|mailbox| mailbox.fenced) || world.fenced_shards.contains(&binding.shard),
    }
}

fn alias_entry(alias: &DeclaredAlias, world: &World, bindings: &Bindings, findings: &mut Vec<Finding>) -> AliasEntry {
    let targets = match &alias.action {
        AliasAction::Reject(reply) => return AliasEntry::Reject(reply.clone()),
        AliasAction::Targets(targets) => targets,
    };
    let mut resolved = Vec::with_capacity(targets.len());
    for target in targets {
        let (target, trouble) = resolve(target, world, bindings);
        if let Some((reason, message)) = trouble {
            let object = reference("Alias", &alias.object);
            findings.push(Finding { object, condition: TARGETS_RESOLVED, status: false, reason, message });
        }
        resolved.push(target);
    }
    AliasEntry::Targets(resolved)
}

type Trouble = Option<(&'static str, String)>;

fn resolve(target: &DeclaredTarget, world: &World, bindings: &Bindings) -> (Target, Trouble) {
    let name = match target {
        DeclaredTarget::Outward(text) => {
            let message = format!("{text}: this version delivers to mailboxes only; senders are told to try again");
            return (Target::Outward, Some((NOT_SUPPORTED, message)));
        }
        DeclaredTarget::Mailbox(name) => name,
    };
    let Some(mailbox) = world.mailboxes.iter().find(|mailbox| mailbox.object.name == *name) else {
        let message = format!("there is no Mailbox `{name}` on this MailServer: declare it or remove the target");
        return (Target::Dangling, Some((TARGET_NOT_FOUND, message)));
    };
    let Some((id, _)) = bindings.owned_by(&mailbox.object.uid) else {
        let message = format!("Mailbox `{name}` has no mail store yet: see its own condition");
        return (Target::Dangling, Some((TARGET_NOT_READY, message)));
    };
    let trouble = unready(mailbox, id, world).map(|why| (TARGET_NOT_READY, why));
    (Target::Mailbox(id), trouble)
}

fn unready(mailbox: &DeclaredMailbox, id: MailboxId, world: &World) -> Option<String> {
    let name = &mailbox.object.name;
    if mailbox.state == MailboxState::Suspended {
        return Some(format!("Mailbox `{name}` is suspended: mail waits with its senders for all targets"));
    }
    let waiting = format!("Mailbox `{name}` has no password yet: mail waits with its senders for all targets");
    (!world.keyed.contains(&id)).then_some(waiting)
}

/// What is worth telling of a directory that is otherwise in order.
fn remark(world: &World, directory: &Directory, findings: &mut Vec<Finding>) {
    for mailbox in &world.mailboxes {
        let bound = directory
            .mailbox_of(&mailbox.address)
            .filter(|(id, _)| directory.mailboxes.get(id).is_some_and(|entry| entry.address == mailbox.address));
        let blocked_already = findings.iter().any(|f| !f.status && f.object == reference("Mailbox", &mailbox.object));
        if bound.is_some_and(|(_, entry)| !entry.keyed) && !blocked_already {
            let message = format!("no password has been set: run `sealpost password {}`", mailbox.address);
            let object = reference("Mailbox", &mailbox.object);
            findings.push(Finding {
                object,
                condition: KEYS_INSTALLED,
                status: false,
                reason: AWAITING_OWNER,
                message,
            });
        }
    }
    for domain in &world.domains {
        let Ok(postmaster) = format!("postmaster@{domain}").parse::<Address>() else { continue };
        let names = [&postmaster, &postmaster.catch_all()];
        if names.into_iter().all(|name| !directory.entries.contains_key(name)) {
            let message = format!("nobody reads {postmaster}: add an Alias with this address (RFC 5321 section 4.5.1)");
            let mut finding = blocked(model::ObjectRef::new("MailServer", &world.name), POSTMASTER_MISSING, message);
            (finding.condition, finding.status) = (READY, true);
            findings.push(finding);
        }
    }
}
