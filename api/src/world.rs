//! From objects to a [`World`]: typed, reduced to one MailServer, without anything that routing does not need.

use std::collections::BTreeSet;

use model::plan::{AliasAction, DeclaredAlias, DeclaredMailbox, DeclaredTarget};
use model::{Finding, MailboxId, MailboxState, Protocol, Reply, ServerId, ShardId, World};

use crate::alias::AliasTarget;
use crate::conditions::{self, reason};
use crate::mailbox::{Access, DeletionPolicy, State};
use crate::object::{KeySource, Object, declared, key_source};
use crate::{Alias, MailServer, Mailbox, Size, fence};

/// Largest message of a server that does not say: 50 MiB.
const MAX_MESSAGE_SIZE: u64 = 50 << 20;

/// What is known of a MailServer beyond its objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The MailServer's id.
    pub server: ServerId,
    /// Mailboxes whose shard reports a keyset.
    pub keyed: BTreeSet<MailboxId>,
    /// Shards that answered at the present epoch.
    pub placeable: BTreeSet<ShardId>,
    /// Fresh ids for mailboxes without a binding.
    pub minted: Vec<MailboxId>,
}

/// The world of one MailServer. Objects that [`crate::validate`] refuses must not come here; fields it would refuse are
/// left out.
pub fn world(server: &MailServer, objects: &[Object], seen: Seen) -> World {
    let spec = &server.spec;
    let limits = spec.limits.clone().unwrap_or_default();
    let name = declared("MailServer", &server.metadata).name;
    let ours = |reference: &str| reference == name;
    let mailboxes = objects.iter().filter_map(|object| match object {
        Object::Mailbox(o) if ours(&o.spec.server_ref.name) => mailbox(o),
        _ => None,
    });
    let aliases = objects.iter().filter_map(|object| match object {
        Object::Alias(o) if ours(&o.spec.server_ref.name) => alias(o),
        _ => None,
    });
    World {
        server: seen.server,
        hostname: spec.hostname.clone(),
        domains: spec.domains.iter().filter_map(|d| d.name.parse().ok()).collect(),
        max_message_size: limits.max_message_size.as_ref().and_then(Size::bytes).unwrap_or(MAX_MESSAGE_SIZE),
        mailbox_quota: limits.mailbox_quota.as_ref().and_then(Size::bytes),
        removal_grace_seconds: u32::try_from(spec.removal_grace_seconds).unwrap_or(0),
        fenced_shards: fence::shards(server),
        mailboxes: mailboxes.collect(),
        aliases: aliases.collect(),
        keyed: seen.keyed,
        placeable: seen.placeable,
        minted: seen.minted,
        name,
    }
}

fn mailbox(object: &Mailbox) -> Option<DeclaredMailbox> {
    let spec = &object.spec;
    let access = spec.access.iter().map(|access| match access {
        Access::Imap => Protocol::Imap,
        Access::Pop3 => Protocol::Pop3,
        Access::Submission => Protocol::Submission,
    });
    Some(DeclaredMailbox {
        object: declared("Mailbox", &object.metadata),
        address: spec.address.parse().ok()?,
        state: match spec.state {
            State::Active => MailboxState::Active,
            State::ReadOnly => MailboxState::ReadOnly,
            State::Suspended => MailboxState::Suspended,
        },
        quota: spec.quota.as_ref().and_then(Size::bytes),
        access: access.collect(),
        adopt: spec.adopt.as_ref().and_then(|adopt| adopt.mailbox_id.parse().ok()),
        fenced: fence::mailbox(object).is_some(),
    })
}

fn alias(object: &Alias) -> Option<DeclaredAlias> {
    let spec = &object.spec;
    let action = match (&spec.targets, &spec.reject) {
        (Some(targets), _) => AliasAction::Targets(targets.iter().filter_map(target).collect()),
        (None, Some(reject)) => {
            let code = u16::try_from(reject.code).ok()?;
            AliasAction::Reject(Reply::new(code, if code < 500 { "4.7.1" } else { "5.7.1" }, &reject.message))
        }
        (None, None) => return None,
    };
    Some(DeclaredAlias { object: declared("Alias", &object.metadata), address: spec.address.parse().ok()?, action })
}

fn target(target: &AliasTarget) -> Option<DeclaredTarget> {
    let outward = target.address.clone().or_else(|| target.webhook.as_ref().map(|hook| hook.url.clone()));
    let mailbox = target.mailbox_ref.as_ref().map(|mailbox| DeclaredTarget::Mailbox(mailbox.name.clone()));
    mailbox.or_else(|| outward.map(DeclaredTarget::Outward))
}

/// What is wrong between objects that no world shows: servers and Secrets that are missing, wishes that this version
/// cannot grant.
pub fn references(objects: &[Object]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let servers: Vec<&str> =
        objects.iter().filter(|object| matches!(object, Object::MailServer(_))).map(Object::name).collect();
    for object in objects {
        if let Object::MailServer(server) = object {
            findings.extend(fence::finding(server));
        }
        let server = match object {
            Object::Mailbox(o) => &o.spec.server_ref.name,
            Object::Alias(o) => &o.spec.server_ref.name,
            Object::MailServer(_)
            | Object::BackupPolicy(_)
            | Object::MailboxBackup(_)
            | Object::MailboxRestore(_)
            | Object::Secret(_) => continue,
        };
        let mut find = |condition, status, reason, message| {
            findings.push(Finding { object: object.reference(), condition, status, reason, message });
        };
        if !servers.contains(&server.as_str()) {
            let known =
                if servers.is_empty() { "none is declared".into() } else { format!("there is {}", servers.join(", ")) };
            let message = format!("there is no MailServer `{server}`; {known}: set spec.serverRef.name");
            find(conditions::READY, false, reason::SERVER_NOT_FOUND, message);
        }
        let Object::Mailbox(mailbox) = object else { continue };
        if let KeySource::Missing { secret, key } = key_source(mailbox, objects) {
            let message = format!("there is no Secret `{secret}` with the key `{key}`: add it to the manifests");
            find(conditions::KEYS_INSTALLED, false, reason::SECRET_NOT_FOUND, message);
        }
        if mailbox.spec.deletion_policy == DeletionPolicy::Delete {
            let message = "deletionPolicy Delete is not supported by this version yet: deleted mailboxes are retained";
            find(conditions::READY, true, reason::NOT_SUPPORTED, message.to_owned());
        }
    }
    findings
}
