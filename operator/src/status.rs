//! From what is observed to conditions: pure. Times change only where a status changes.

pub mod policy;
pub mod run;

use std::borrow::Cow;

use api::conditions::{self, reason};
use api::{AliasStatus, MailServerStatus, MailboxStatus, ScaleStatus, ShardStatus};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use model::{Finding, MailboxId, ObjectRef, ShardId};

/// What a status is made of beside its object.
#[derive(Debug, Clone, Copy)]
pub struct At {
    /// `metadata.generation` of the object.
    pub generation: Option<i64>,
    /// Now.
    pub now: Timestamp,
}

/// A condition to be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Its type.
    pub type_: &'static str,
    /// True or False; none = Unknown.
    pub status: Option<bool>,
    /// One word.
    pub reason: Cow<'static, str>,
    /// What is the matter, and the next step for a person.
    pub message: String,
}

impl Set {
    /// It holds.
    pub fn yes(type_: &'static str, reason: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(type_, Some(true), reason, message)
    }

    /// It does not.
    pub fn no(type_: &'static str, reason: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(type_, Some(false), reason, message)
    }

    /// Nobody knows yet.
    pub fn unknown(type_: &'static str, reason: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(type_, None, reason, message)
    }

    /// Any of the three.
    pub fn new(
        type_: &'static str,
        status: Option<bool>,
        reason: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self { type_, status, reason: reason.into(), message: message.into() }
    }

    fn of(finding: &Finding) -> Self {
        Self::new(finding.condition, Some(finding.status), finding.reason, finding.message.clone())
    }

    fn holds(&self) -> bool {
        self.status == Some(true)
    }
}

/// The conditions as they go into a status.
pub fn conditions(before: &[Condition], sets: Vec<Set>, at: At) -> Vec<Condition> {
    let render = |set: Set| {
        let status = spell(set.status).to_owned();
        let same = api::condition(before, set.type_).filter(|before| before.status == status);
        let since = same.map_or_else(|| Time(second(at.now)), |before| before.last_transition_time.clone());
        Condition {
            type_: set.type_.to_owned(),
            status,
            reason: set.reason.into_owned(),
            message: set.message,
            observed_generation: at.generation,
            last_transition_time: since,
        }
    };
    sets.into_iter().map(render).collect()
}

/// Leaves the words of conditions as they were that stay what they are and why.
fn keep_messages(before: &[Condition], sets: &mut [Set], at: At) {
    for set in sets {
        let same = api::condition(before, set.type_).filter(|known| {
            known.status == spell(set.status)
                && known.reason == set.reason
                && known.observed_generation == at.generation
        });
        if let Some(known) = same {
            set.message.clone_from(&known.message);
        }
    }
}

fn spell(status: Option<bool>) -> &'static str {
    match status {
        Some(true) => "True",
        Some(false) => "False",
        None => "Unknown",
    }
}

/// As the API server keeps it.
fn second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// What is known of one mailbox.
#[derive(Debug, Clone, Default)]
pub struct Placed {
    /// Its id and its shard.
    pub at: Option<(MailboxId, ShardId)>,
    /// Its shard has taken the present directory.
    pub acknowledged: bool,
    /// Its shard holds a keyset.
    pub keyed: bool,
    /// What its shard was told of copies.
    pub copies: Copied,
    /// What is wanted of its files, and what its shard says.
    pub fence: Fence,
}

/// The fence of a mailbox.
#[derive(Debug, Clone, Default)]
pub struct Fence {
    /// Why it is wanted, if it is.
    pub wanted: Option<String>,
    /// Its shard has closed the files.
    pub closed: bool,
}

impl Fence {
    /// The condition, where there is anything to say.
    fn condition(&self, name: &str) -> Option<Set> {
        let type_ = conditions::FENCED;
        let open = format!("`kubectl sealpost unfence {name}` lets it be opened");
        match (&self.wanted, self.closed) {
            (Some(why), true) => {
                let why = if why.is_empty() { String::new() } else { format!(" ({why})") };
                let message = format!("its files stay closed{why}, mail waits at its senders: {open}");
                Some(Set::yes(type_, reason::FENCED, message))
            }
            (Some(_), false) => {
                Some(Set::no(type_, reason::CLOSING, format!("its shard has yet to close its files; {open}")))
            }
            (None, true) => Some(Set::yes(type_, reason::OPENING, "its shard has yet to let its files be opened")),
            (None, false) => None,
        }
    }
}

/// Which policy holds for a mailbox.
#[derive(Debug, Clone, Default)]
pub enum Copied {
    /// Its shard has not been heard: what was known stays.
    #[default]
    NotKnown,
    /// None.
    None,
    /// The one of that name.
    By(String),
}

/// The status of a Mailbox.
pub fn mailbox(
    before: Option<&MailboxStatus>,
    name: &str,
    placed: &Placed,
    findings: &[Finding],
    at: At,
) -> MailboxStatus {
    let own = |condition| find(findings, "Mailbox", name, condition);
    let blocked = own(conditions::READY).filter(|finding| !finding.status);
    let keys = match own(conditions::KEYS_INSTALLED).filter(|_| !placed.keyed) {
        // The finding names the command for one machine.
        Some(finding) if finding.reason == reason::AWAITING_OWNER => {
            let message = format!("no password has been set: run `kubectl sealpost password {name}`");
            Set::no(conditions::KEYS_INSTALLED, reason::AWAITING_OWNER, message)
        }
        Some(finding) => Set::of(finding),
        None if placed.keyed => Set::yes(conditions::KEYS_INSTALLED, reason::AS_DECLARED, "the owner can log in"),
        None => Set::no(conditions::KEYS_INSTALLED, reason::AWAITING_SHARD, "the keys wait for the mailbox's shard"),
    };
    let known = before.map(|before| before.conditions.as_slice()).unwrap_or_default();
    // Of a fence of the whole shard its MailServer tells.
    let own_fence = placed.fence.wanted.is_some() || api::condition(known, conditions::FENCED).is_some();
    let fence = placed.fence.condition(name).filter(|_| own_fence);
    let ready = match (blocked, placed, &fence) {
        (Some(finding), ..) => Set::of(finding),
        (None, Placed { at: None, .. } | Placed { acknowledged: false, .. }, _) => {
            let message = "the mailbox's shard has yet to take it; see the MailServer's conditions if this lasts";
            Set::no(conditions::READY, reason::AWAITING_SHARD, message)
        }
        (None, _, Some(fence)) => Set { type_: conditions::READY, status: Some(false), ..fence.clone() },
        (None, Placed { keyed: false, .. }, None) => Set { type_: conditions::READY, ..keys.clone() },
        (None, _, None) => own(conditions::READY).map_or_else(
            || Set::yes(conditions::READY, reason::AS_DECLARED, "mail arrives and its owner can log in"),
            Set::of,
        ),
    };
    let copies = own(conditions::BACKUP_CONFIGURED).map(Set::of).or_else(|| copies(&placed.copies));
    let mut all = conditions(known, [ready, keys].into_iter().chain(copies.clone()).collect(), at);
    if copies.is_none() {
        all.extend(api::condition(known, conditions::BACKUP_CONFIGURED).cloned());
    }
    all.extend(conditions(known, fence.into_iter().collect(), at));
    MailboxStatus {
        observed_generation: at.generation,
        mailbox_id: placed.at.map(|(id, _)| id.to_string()),
        shard: placed.at.and_then(|(_, shard)| i32::try_from(shard.0).ok()),
        conditions: all,
    }
}

fn copies(copied: &Copied) -> Option<Set> {
    let type_ = conditions::BACKUP_CONFIGURED;
    match copied {
        Copied::NotKnown => None,
        Copied::None => {
            let message = "no copy is made: name a BackupPolicy in backupPolicyRef, here or in the MailServer";
            Some(Set::no(type_, reason::NO_POLICY, message))
        }
        Copied::By(policy) => {
            let message = format!("BackupPolicy `{policy}` is in force; its conditions say how it fares");
            Some(Set::yes(type_, reason::POLICY_IN_FORCE, message))
        }
    }
}

/// The status of an Alias.
pub fn alias(
    before: Option<&AliasStatus>,
    name: &str,
    acknowledged: bool,
    findings: &[Finding],
    at: At,
) -> AliasStatus {
    let own = |condition| find(findings, "Alias", name, condition);
    let blocked = own(conditions::READY).filter(|finding| !finding.status);
    let targets = own(conditions::TARGETS_RESOLVED);
    let resolved = targets.map_or_else(
        || Set::yes(conditions::TARGETS_RESOLVED, reason::AS_DECLARED, "every target takes mail"),
        Set::of,
    );
    let ready = match (blocked, acknowledged, resolved.holds()) {
        (Some(finding), ..) => Set::of(finding),
        (None, false, _) => Set::no(conditions::READY, reason::AWAITING_SHARD, "the shards have yet to take it"),
        (None, true, false) => Set { type_: conditions::READY, ..resolved.clone() },
        (None, true, true) => Set::yes(conditions::READY, reason::AS_DECLARED, "mail for this address is delivered"),
    };
    let known = before.map(|before| before.conditions.as_slice()).unwrap_or_default();
    AliasStatus { observed_generation: at.generation, conditions: conditions(known, vec![ready, resolved], at) }
}

fn find<'a>(findings: &'a [Finding], kind: &str, name: &str, condition: &str) -> Option<&'a Finding> {
    let fits = |finding: &&Finding| finding.condition == condition && finding.object == ObjectRef::new(kind, name);
    // What blocks comes before what is only worth telling; that a Secret is missing before that its owner is awaited.
    findings.iter().filter(fits).min_by_key(|finding| (finding.status, finding.reason == reason::AWAITING_OWNER))
}

/// One shard, as a MailServer's status shows it.
#[derive(Debug, Clone)]
pub struct Shard {
    /// Which.
    pub id: ShardId,
    /// Where its pod runs.
    pub node: Option<String>,
    /// What keeps it from serving.
    pub problem: Option<(&'static str, String)>,
    /// It has the present directory; none if that is not known now.
    pub current: bool,
    /// Why it does not take the directory.
    pub refused: Option<(&'static str, String)>,
}

/// What a MailServer's status is made of.
#[derive(Debug, Clone, Default)]
pub struct Server {
    /// The image that runs.
    pub image: Option<String>,
    /// The image a fresh MailServer would get, where another one runs.
    pub newer: Option<String>,
    /// Epoch of this leadership.
    pub epoch: Option<u64>,
    /// Every shard that is declared.
    pub shards: Vec<Shard>,
    /// What keeps front ends from serving.
    pub fronts: Vec<String>,
    /// Pods are being replaced.
    pub rolling: bool,
    /// IMAP pods that run, and their selector.
    pub imap: ScaleStatus,
    /// What is wrong with certificates.
    pub certificates: Option<(&'static str, String)>,
    /// The operator made the certificate that mail clients see.
    pub self_signed: bool,
    /// An object that cannot be applied, a Secret that cannot be used.
    pub blocked: Option<(&'static str, String)>,
    /// Growth of volumes: still going on, or refused.
    pub storage: Option<(&'static str, String)>,
    /// How many addresses a held push would remove.
    pub held: Option<usize>,
    /// The operator leaves it alone.
    pub paused: bool,
    /// Objects that cannot be read.
    pub broken: Vec<String>,
}

/// The status of a MailServer.
pub fn server(
    before: Option<&MailServerStatus>,
    name: &str,
    seen: &Server,
    findings: &[Finding],
    at: At,
) -> MailServerStatus {
    let known = before.map(|before| before.conditions.as_slice()).unwrap_or_default();
    let sets = server_conditions(name, seen, findings);
    let shard = |shard: &Shard| {
        let before = before.and_then(|b| b.shards.iter().find(|s| u32::try_from(s.index).ok() == Some(shard.id.0)));
        let set = match &shard.problem {
            Some((reason, message)) => Set::no(conditions::READY, *reason, message.clone()),
            None => Set::yes(conditions::READY, reason::AS_DECLARED, "the shard serves"),
        };
        ShardStatus {
            index: i32::try_from(shard.id.0).unwrap_or(0),
            node: shard.node.clone(),
            conditions: conditions(before.map(|b| b.conditions.as_slice()).unwrap_or_default(), vec![set], at),
        }
    };
    let epoch = seen.epoch.and_then(|epoch| i64::try_from(epoch).ok()).map(|epoch| api::DirectoryStatus { epoch });
    MailServerStatus {
        observed_generation: at.generation,
        image: seen.image.clone(),
        directory: epoch.or_else(|| before.and_then(|before| before.directory.clone())),
        shards: seen.shards.iter().map(shard).collect(),
        imap: Some(seen.imap.clone()),
        conditions: conditions(known, sets, at),
    }
}

fn server_conditions(name: &str, seen: &Server, findings: &[Finding]) -> Vec<Set> {
    let down: Vec<&Shard> = seen.shards.iter().filter(|shard| shard.problem.is_some()).collect();
    let shards = match down.first().and_then(|shard| shard.problem.as_ref().map(|problem| (shard.id, problem))) {
        Some((id, (reason, message))) => Set::no(
            conditions::SHARDS_AVAILABLE,
            *reason,
            format!("{} of {} shards serve; shard {id}: {message}", seen.shards.len() - down.len(), seen.shards.len()),
        ),
        None => Set::yes(conditions::SHARDS_AVAILABLE, reason::AS_DECLARED, "every shard serves"),
    };
    let refused = seen.shards.iter().find_map(|shard| shard.refused.as_ref());
    let directory = match (refused, seen.shards.iter().find(|shard| !shard.current)) {
        (Some((reason, message)), _) => Set::no(conditions::DIRECTORY_CURRENT, *reason, message.clone()),
        (None, Some(shard)) => {
            let message = format!("shard {} has yet to take the present directory", shard.id);
            Set::no(conditions::DIRECTORY_CURRENT, reason::PUSH_PENDING, message)
        }
        (None, None) => {
            Set::yes(conditions::DIRECTORY_CURRENT, reason::AS_DECLARED, "every shard has the present directory")
        }
    };
    let held = match seen.held {
        Some(count) => {
            let message = format!(
                "a push that removes {count} addresses is held: if that is meant, kubectl annotate mailserver {name} sealpost.dev/allow-removals={count}"
            );
            Set::yes(conditions::DIRECTORY_HELD, reason::REMOVALS_HELD, message)
        }
        None => Set::no(conditions::DIRECTORY_HELD, reason::AS_DECLARED, "nothing is held"),
    };
    let certificates = match &seen.certificates {
        Some((reason, message)) => Set::no(conditions::CERTIFICATES_VALID, *reason, message.clone()),
        None if seen.self_signed => {
            let message = format!(
                "mail clients have to trust ca.crt of Secret `{name}-public-tls`: name a Secret in spec.tls.secretRefs for one they know"
            );
            Set::yes(conditions::CERTIFICATES_VALID, reason::SELF_SIGNED, message)
        }
        None => Set::yes(conditions::CERTIFICATES_VALID, reason::AS_DECLARED, "all certificates are valid"),
    };
    let progressing = if seen.rolling {
        Set::yes(conditions::PROGRESSING, reason::ROLLING_OUT, "pods are being replaced")
    } else {
        Set::no(conditions::PROGRESSING, reason::AS_DECLARED, "nothing is being changed")
    };
    let mut sets = vec![
        ready(name, seen, findings, [&shards, &certificates, &directory]),
        progressing,
        shards,
        directory,
        held,
        certificates,
    ];
    sets.extend(seen.storage.as_ref().map(|(reason, message)| {
        let growing = *reason == reason::GROWING;
        Set::new(conditions::STORAGE_RESIZING, Some(growing), *reason, message.clone())
    }));
    sets.extend(seen.newer.as_ref().map(|image| {
        let message = format!("the operator brings {image}: set spec.image to it");
        Set::yes(conditions::UPDATE_AVAILABLE, reason::AS_DECLARED, message)
    }));
    if seen.paused {
        sets.push(Set::yes(
            conditions::PAUSED,
            reason::LEFT_ALONE,
            "spec.paused is set: nothing is changed until it is not",
        ));
    }
    sets
}

/// The first thing that keeps the server from doing its work.
fn ready(name: &str, seen: &Server, findings: &[Finding], parts: [&Set; 3]) -> Set {
    if let Some((reason, message)) = &seen.blocked {
        return Set::no(conditions::READY, *reason, message.clone());
    }
    if let Some(part) = parts.into_iter().find(|part| !part.holds()) {
        return Set { type_: conditions::READY, ..part.clone() };
    }
    if let Some(front) = seen.fronts.first() {
        return Set::no(conditions::READY, reason::PODS_NOT_READY, front.clone());
    }
    if let Some(broken) = seen.broken.first() {
        return Set::yes(conditions::READY, reason::UNDECODABLE, broken.clone());
    }
    find(findings, "MailServer", name, conditions::READY)
        .map_or_else(|| Set::yes(conditions::READY, reason::AS_DECLARED, "mail flows"), Set::of)
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
