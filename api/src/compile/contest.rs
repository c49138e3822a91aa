//! Who holds each address.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use model::plan::{AliasAction, Declared, DeclaredAlias, DeclaredMailbox, DeclaredTarget};
use model::{Address, Bindings, Domain, Finding, World};

use super::{blocked, reference};
use crate::conditions::reason::{ADDRESS_CONFLICT, DOMAIN_NOT_SERVED};

/// The objects that hold an address: a mailbox, an alias, or both if the alias targets the mailbox (store and forward).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Holders<'a> {
    pub(super) mailbox: Option<&'a DeclaredMailbox>,
    pub(super) alias: Option<&'a DeclaredAlias>,
}

/// One object that wants an address, with what decides between several.
#[derive(Clone, Copy)]
struct Claim<'a> {
    object: &'a Declared,
    incumbent: bool,
    by: By<'a>,
}

#[derive(Clone, Copy)]
enum By<'a> {
    Mailbox(&'a DeclaredMailbox),
    Alias(&'a DeclaredAlias),
}

impl Claim<'_> {
    fn kind(&self) -> &'static str {
        match self.by {
            By::Mailbox(_) => "Mailbox",
            By::Alias(_) => "Alias",
        }
    }

    /// The incumbent first, then the older, then by name. Of two incumbents (an alias that no longer targets the
    /// mailbox beside it) the mailbox comes first: it has the mail.
    fn compare(&self, other: &Self) -> Ordering {
        let alias = |claim: &Self| matches!(claim.by, By::Alias(_));
        let both = self.incumbent && other.incumbent;
        let by_kind = if both { alias(self).cmp(&alias(other)) } else { Ordering::Equal };
        let by_age = self.object.created.cmp(&other.object.created);
        let by_name = self.object.name.cmp(&other.object.name).then_with(|| alias(self).cmp(&alias(other)));
        other.incumbent.cmp(&self.incumbent).then(by_kind).then(by_age).then(by_name)
    }
}

/// Decides who holds each address of a served domain, and tells the others.
pub(super) fn contest<'a>(
    world: &'a World,
    bindings: &Bindings,
    findings: &mut Vec<Finding>,
) -> BTreeMap<&'a Address, Holders<'a>> {
    let mut claims: BTreeMap<&Address, Vec<Claim>> = BTreeMap::new();
    for mailbox in &world.mailboxes {
        let incumbent = bindings.owned_by(&mailbox.object.uid).is_some_and(|(_, b)| b.address == mailbox.address);
        let claim = Claim { object: &mailbox.object, incumbent, by: By::Mailbox(mailbox) };
        claims.entry(&mailbox.address).or_default().push(claim);
    }
    for alias in &world.aliases {
        let incumbent = bindings.aliases.get(&alias.address) == Some(&alias.object.uid);
        claims.entry(&alias.address).or_default().push(Claim {
            object: &alias.object,
            incumbent,
            by: By::Alias(alias),
        });
    }
    let mut held = BTreeMap::new();
    for (address, mut claims) in claims {
        claims.sort_by(Claim::compare);
        let holders = settle(address, &claims, findings);
        if !world.domains.contains(address.domain()) {
            for claim in &claims {
                findings.push(not_served(claim, address.domain(), world));
            }
        }
        held.insert(address, holders);
    }
    held
}

fn settle<'a>(address: &Address, claims: &[Claim<'a>], findings: &mut Vec<Finding>) -> Holders<'a> {
    let mut holders = Holders::default();
    let mut first: Option<&Claim> = None;
    for claim in claims {
        let fits = match claim.by {
            By::Mailbox(mailbox) => holders.mailbox.is_none() && holders.alias.is_none_or(|a| targets(a, mailbox)),
            By::Alias(alias) => holders.alias.is_none() && holders.mailbox.is_none_or(|m| targets(alias, m)),
        };
        match (claim.by, fits, first) {
            (By::Mailbox(mailbox), true, _) => holders.mailbox = Some(mailbox),
            (By::Alias(alias), true, _) => holders.alias = Some(alias),
            (_, false, Some(first)) => findings.push(conflict(address, claim, first)),
            (_, false, None) => {}
        }
        first = first.or(Some(claim));
    }
    holders
}

/// Store and forward: the alias names the mailbox at its own address among its targets.
fn targets(alias: &DeclaredAlias, mailbox: &DeclaredMailbox) -> bool {
    let AliasAction::Targets(targets) = &alias.action else { return false };
    targets.contains(&DeclaredTarget::Mailbox(mailbox.object.name.clone()))
}

fn conflict(address: &Address, claim: &Claim, holder: &Claim) -> Finding {
    let beside = claim.kind() != holder.kind();
    let (kind, name) = (holder.kind(), &holder.object.name);
    let also = if beside { " (an Alias that targets the Mailbox itself may stand beside it)" } else { "" };
    let message = format!("{address} is held by {kind}/{name}: choose another address or delete one of them{also}");
    blocked(reference(claim.kind(), claim.object), ADDRESS_CONFLICT, message)
}

fn not_served(claim: &Claim, domain: &Domain, world: &World) -> Finding {
    let message = format!("{domain} is not among the domains of MailServer/{}: add it to spec.domains", world.name);
    blocked(reference(claim.kind(), claim.object), DOMAIN_NOT_SERVED, message)
}
