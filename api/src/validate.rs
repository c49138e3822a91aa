//! The rules an object must keep: those of the schema's CEL, and those CEL cannot express. Authoritative, because
//! `sealpost up` has no API server.

mod backup;
#[cfg(test)]
mod tests;

use model::{Address, Domain};

use crate::alias::AliasTarget;
use crate::object::Object;
use crate::size::Size;
use crate::{Alias, Amount, MailServer, Mailbox, Resources};

/// One thing that is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The field, for example `spec.domains[0].name`.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

impl Problem {
    pub(crate) fn new(path: impl Into<String>, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into(), hint: hint.into() }
    }
}

/// Everything that is wrong with an object by itself, once it has the shape of its schema: types, bounds, enums and unique
/// entries are checked by [`crate::load`] and by API servers before. References to others are looked at by `compile()`.
pub fn validate(object: &Object) -> Vec<Problem> {
    let mut problems = Vec::new();
    match object {
        Object::MailServer(server) => mail_server(server, &mut problems),
        Object::Mailbox(mailbox_) => mailbox(mailbox_, &mut problems),
        Object::Alias(alias_) => alias(alias_, &mut problems),
        Object::BackupPolicy(policy) => backup::policy(policy, &mut problems),
        Object::MailboxRestore(run) => backup::restore(run, &mut problems),
        Object::MailboxBackup(_) | Object::Secret(_) => {}
    }
    problems
}

/// What is wrong with changing `old` into `new`: fields that cannot change, shards that would shrink.
pub fn validate_change(old: &Object, new: &Object) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut fixed = |path: &str, same: bool, hint: &str| {
        if !same {
            problems.push(Problem::new(path, "cannot change", hint));
        }
    };
    match (old, new) {
        (Object::MailServer(old), Object::MailServer(new)) => {
            fixed("spec.shards", new.spec.shards >= old.spec.shards, "shards never shrink: mailboxes do not move");
        }
        (Object::Mailbox(old), Object::Mailbox(new)) => {
            let hint = "make another Mailbox with adopt.mailboxId";
            fixed("spec.address", old.spec.address == new.spec.address, hint);
            let hint = "a mailbox does not move to another server";
            fixed("spec.serverRef", old.spec.server_ref == new.spec.server_ref, hint);
        }
        (Object::Alias(old), Object::Alias(new)) => {
            fixed("spec.address", old.spec.address == new.spec.address, "make another Alias");
            let hint = "an alias does not move to another server";
            fixed("spec.serverRef", old.spec.server_ref == new.spec.server_ref, hint);
        }
        (Object::MailboxBackup(old), Object::MailboxBackup(new)) => {
            fixed("spec", old.spec == new.spec, "make another MailboxBackup");
        }
        (Object::MailboxRestore(old), Object::MailboxRestore(new)) => {
            fixed("spec", old.spec == new.spec, "make another MailboxRestore");
        }
        _ => {}
    }
    problems
}

fn mail_server(server: &MailServer, problems: &mut Vec<Problem>) {
    let spec = &server.spec;
    domain("spec.hostname", &spec.hostname, problems);
    for (index, served) in spec.domains.iter().enumerate() {
        let path = format!("spec.domains[{index}]");
        domain(&format!("{path}.name"), &served.name, problems);
        size(&format!("{path}.quota"), served.quota.as_ref(), problems);
    }
    size("spec.storage.size", spec.storage.as_ref().map(|s| &s.size), problems);
    if let Some(limits) = &spec.limits {
        size("spec.limits.mailboxQuota", limits.mailbox_quota.as_ref(), problems);
        size("spec.limits.totalQuota", limits.total_quota.as_ref(), problems);
        size("spec.limits.maxMessageSize", limits.max_message_size.as_ref(), problems);
    }
    let containers = [
        ("primary", spec.primary.as_ref().and_then(|primary| primary.resources.as_ref())),
        ("sidecar", spec.sidecar.as_ref().and_then(|sidecar| sidecar.resources.as_ref())),
    ];
    for (container, resources) in containers.into_iter().filter_map(|(name, found)| Some((name, found?))) {
        amounts(&format!("spec.{container}.resources"), resources, problems);
    }
    let networks = spec.proxy_protocol.iter().flat_map(|p| &p.trusted_cidrs).enumerate();
    for (index, network) in networks.filter(|(_, network)| !is_network(network)) {
        let path = format!("spec.proxyProtocol.trustedCIDRs[{index}]");
        problems.push(Problem::new(path, format!("`{network}` is not a network"), "for example 10.0.0.0/8"));
    }
}

fn amounts(path: &str, resources: &Resources, problems: &mut Vec<Problem>) {
    for (list, amounts) in [("requests", &resources.requests), ("limits", &resources.limits)] {
        for (name, amount) in amounts.iter().filter(|(_, amount)| !amount.is_valid()) {
            let Amount::Text(text) = amount else { continue };
            let message = format!("`{text}` is not an amount");
            problems.push(Problem::new(format!("{path}.{list}.{name}"), message, "for example 500m or 1Gi"));
        }
    }
}

fn is_network(text: &str) -> bool {
    let Some((base, bits)) = text.split_once('/') else { return false };
    let Ok(base) = base.parse::<std::net::IpAddr>() else { return false };
    bits.parse::<u8>().is_ok_and(|bits| bits <= if base.is_ipv4() { 32 } else { 128 })
}

fn mailbox(mailbox: &Mailbox, problems: &mut Vec<Problem>) {
    let spec = &mailbox.spec;
    let found = address("spec.address", &spec.address, problems);
    if found.is_some_and(|address| address.is_catch_all()) {
        let hint = "make an Alias with this address that targets the mailbox";
        problems.push(Problem::new("spec.address", "a mailbox has an address of its own, not a catch-all", hint));
    }
    size("spec.quota", spec.quota.as_ref(), problems);
    if spec.keys_secret_ref.is_some() && spec.password_secret_ref.is_some() {
        let hint = "keep keysSecretRef if nobody but the owner shall know the password";
        problems.push(Problem::new("spec.passwordSecretRef", "stands beside keysSecretRef", hint));
    }
    if let Some(adopt) = &spec.adopt
        && adopt.mailbox_id.parse::<model::MailboxId>().is_err()
    {
        let hint = "copy it from status.mailboxId of the old object: 26 characters of a-z and 2-7";
        problems.push(Problem::new(
            "spec.adopt.mailboxId",
            format!("`{}` is not a mailbox id", adopt.mailbox_id),
            hint,
        ));
    }
}

fn alias(alias: &Alias, problems: &mut Vec<Problem>) {
    let spec = &alias.spec;
    address("spec.address", &spec.address, problems);
    match (&spec.targets, &spec.reject) {
        (None, None) => {
            let hint = "say where mail goes: `targets: [{mailboxRef: {name: ...}}]`";
            problems.push(Problem::new("spec.targets", "is missing", hint));
        }
        (Some(_), Some(_)) => problems.push(Problem::new("spec.reject", "stands beside targets", "remove one of them")),
        _ => {}
    }
    for (index, found) in spec.targets.iter().flatten().enumerate() {
        target(&format!("spec.targets[{index}]"), found, problems);
    }
    let printable = |text: &str| text.chars().all(|c| matches!(c, ' '..='~'));
    if spec.reject.as_ref().is_some_and(|reject| !printable(&reject.message)) {
        let message = "is not one line of printable ASCII";
        problems.push(Problem::new("spec.reject.message", message, "for example: this address is gone"));
    }
}

fn target(path: &str, target: &AliasTarget, problems: &mut Vec<Problem>) {
    let kinds = [target.mailbox_ref.is_some(), target.address.is_some(), target.webhook.is_some()];
    if kinds.iter().filter(|there| **there).count() != 1 {
        let hint = "one of mailboxRef, address, webhook; a second one is a second entry";
        problems.push(Problem::new(path, "is not exactly one target", hint));
    }
    if let Some(text) = &target.address {
        let path = format!("{path}.address");
        match text.parse::<Address>() {
            Ok(address) if !address.is_catch_all() => {}
            _ => {
                let message = format!("`{text}` is not an address");
                problems.push(Problem::new(path, message, "for example ann@example.com"));
            }
        }
    }
    if let Some(hook) = &target.webhook
        && !hook.url.starts_with("https://")
    {
        problems.push(Problem::new(format!("{path}.webhook.url"), "is not https", "webhooks are https only"));
    }
}

/// An address of ours: it must be written exactly as it is compared, or two objects could hold the same one.
fn address(path: &str, text: &str, problems: &mut Vec<Problem>) -> Option<Address> {
    match text.parse::<Address>() {
        Ok(address) if address.to_string() == text => Some(address),
        Ok(address) => {
            let message = format!("`{text}` is not in lower case with its domain as A-label");
            problems.push(Problem::new(path, message, format!("write `{address}`")));
            None
        }
        Err(error) => {
            problems.push(Problem::new(path, error.to_string(), "for example ann@example.org"));
            None
        }
    }
}

fn domain(path: &str, text: &str, problems: &mut Vec<Problem>) {
    match text.parse::<Domain>() {
        Ok(domain) if domain.as_str() == text => {}
        Ok(domain) => {
            let message = format!("`{text}` is not in lower case as A-labels");
            problems.push(Problem::new(path, message, format!("write `{domain}`")));
        }
        Err(_) => {
            problems.push(Problem::new(path, format!("`{text}` is not a host name"), "for example mx.example.org"));
        }
    }
}

fn size(path: &str, size: Option<&Size>, problems: &mut Vec<Problem>) {
    if let Some(size) = size.filter(|size| size.bytes().is_none()) {
        let hint = "write bytes, or a number with Ki, Mi, Gi, Ti (powers of 1024) or k, M, G, T";
        problems.push(Problem::new(path, format!("`{size}` is not a size"), hint));
    }
}
