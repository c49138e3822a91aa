//! From what sidecars say of a BackupPolicy to its conditions: pure.

use api::conditions::{self, reason};
use api::{BackupPolicySpec, BackupPolicyStatus};
use control::report::{Finding, PolicyReport};

use super::{At, Set, conditions as render, keep_messages};

/// How a policy fares under one MailServer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct View {
    /// Every shard on which it is in force.
    pub shards: Vec<Shard>,
    /// What is wrong with the Secrets it names.
    pub problem: Option<(&'static str, String)>,
}

/// How a policy fares on one shard.
#[derive(Debug, Clone, PartialEq)]
pub struct Shard {
    /// For people: `shard 0 of mail`.
    pub name: String,
    /// What its sidecar says.
    pub said: Said,
    /// What happened to an archive: reason and message.
    pub trouble: Option<(String, String)>,
}

impl Shard {
    fn about(&self, aspect: &Aspect) -> Option<&Finding> {
        match &self.said {
            Said::Report(report) => Some((aspect.of)(report)),
            Said::NotYet | Said::Away => None,
        }
    }
}

/// What a sidecar says.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// Nothing yet about the policy as it is now.
    NotYet,
    /// It has not been heard of for a while.
    Away,
    /// This.
    Report(Box<PolicyReport>),
}

/// One condition that every sidecar has a word about.
struct Aspect {
    type_: &'static str,
    of: fn(&PolicyReport) -> &Finding,
    good: &'static str,
    /// Reason and message while nobody knows.
    yet: (&'static str, &'static str),
}

const REACHABLE: Aspect = Aspect {
    type_: conditions::DESTINATION_REACHABLE,
    of: |report| &report.reachable,
    good: "the bucket answers and takes writes",
    yet: (reason::PENDING, "the bucket has yet to be tried"),
};
const WITHIN_RPO: Aspect = Aspect {
    type_: conditions::WITHIN_RPO,
    of: |report| &report.within_rpo,
    good: "every change is in the bucket in time",
    yet: (reason::PENDING, "the sidecars have yet to say how far they are"),
};
const RETENTION: Aspect = Aspect {
    type_: conditions::RETENTION_ENFORCED,
    of: |report| &report.retention,
    good: "what is kept no longer is gone from the bucket",
    yet: (reason::NOT_RUN_YET, "the first pass is yet to come"),
};
const VERIFIED: Aspect = Aspect {
    type_: conditions::VERIFIED,
    of: |report| &report.verified,
    good: "the last rehearsed restore was whole",
    yet: (reason::NOT_RUN_YET, "the first rehearsal is yet to come"),
};

/// The status of a BackupPolicy. With `calm` words that change while their reason stays are left as they were.
pub fn policy(
    before: Option<&BackupPolicyStatus>,
    spec: &BackupPolicySpec,
    views: &[View],
    calm: bool,
    at: At,
) -> BackupPolicyStatus {
    let known = before.map(|before| before.conditions.as_slice()).unwrap_or_default();
    let shards: Vec<&Shard> = views.iter().flat_map(|view| &view.shards).collect();
    let problem = views.iter().find_map(|view| view.problem.as_ref());
    let mut reachable = merge(&REACHABLE, &shards);
    if let Some((reason, message)) = problem.filter(|_| !reachable.holds()) {
        reachable = Set::no(conditions::DESTINATION_REACHABLE, *reason, message.clone());
    }
    let verified = if spec.verify.is_some() {
        merge(&VERIFIED, &shards)
    } else {
        let message = "spec.verify has no schedule: no restore is rehearsed";
        Set::unknown(conditions::VERIFIED, reason::NOT_SCHEDULED, message)
    };
    let parts = [reachable, within_rpo(&shards), merge(&RETENTION, &shards), verified];
    let mut sets: Vec<Set> = [ready(problem, &parts)].into_iter().chain(parts).collect();
    if calm {
        keep_messages(known, &mut sets, at);
    }
    BackupPolicyStatus { observed_generation: at.generation, conditions: render(known, sets, at) }
}

/// The status of a BackupPolicy that nobody names.
pub fn unused(before: Option<&BackupPolicyStatus>, at: At) -> BackupPolicyStatus {
    let known = before.map(|before| before.conditions.as_slice()).unwrap_or_default();
    let message = "no MailServer and no Mailbox names it: set backupPolicyRef where it shall hold";
    let set = Set::yes(conditions::READY, reason::NOT_IN_USE, message);
    BackupPolicyStatus { observed_generation: at.generation, conditions: render(known, vec![set], at) }
}

/// The first thing that is not as it should be.
fn ready(problem: Option<&(&'static str, String)>, parts: &[Set; 4]) -> Set {
    if let Some((reason, message)) = problem {
        return Set::no(conditions::READY, *reason, message.clone());
    }
    let bad = parts.iter().find(|part| part.status == Some(false));
    let unknown = parts.iter().take(2).find(|part| part.status.is_none());
    match bad.or(unknown) {
        Some(part) => Set { type_: conditions::READY, ..part.clone() },
        None => Set::yes(conditions::READY, reason::AS_DECLARED, "every mailbox under it is archived"),
    }
}

/// A sidecar that says nothing archives nothing, as far as anybody knows.
fn within_rpo(shards: &[&Shard]) -> Set {
    let type_ = conditions::WITHIN_RPO;
    if let Some(shard) = shards.iter().find(|shard| shard.said == Said::Away) {
        let message = format!(
            "the sidecar of {} has not been heard of for a minute, so nothing of it is archived: see the log of its container `sidecar`",
            shard.name
        );
        return Set::no(type_, reason::SIDECAR_AWAY, message);
    }
    let trouble = shards.iter().find_map(|shard| shard.trouble.as_ref().map(|trouble| (&shard.name, trouble)));
    match (merge(&WITHIN_RPO, shards), trouble) {
        (set, Some((name, (reason, message)))) if set.status != Some(false) => {
            Set::no(type_, reason.clone(), format!("{name}: {message}"))
        }
        (set, _) => set,
    }
}

/// The worst that any shard says.
fn merge(aspect: &Aspect, shards: &[&Shard]) -> Set {
    let all: Vec<(&str, Option<&Finding>)> =
        shards.iter().map(|shard| (shard.name.as_str(), shard.about(aspect))).collect();
    let bad = all.iter().find_map(|(name, said)| Some((name, said.filter(|it| it.status == Some(false))?)));
    if let Some((name, bad)) = bad {
        return Set::no(aspect.type_, bad.reason.clone(), format!("{name}: {}", bad.message));
    }
    let known = all.iter().all(|(_, said)| said.is_some_and(|it| it.status.is_some()));
    match all.first() {
        Some((_, Some(good))) if known => Set::yes(aspect.type_, good.reason.clone(), aspect.good),
        _ => Set::unknown(aspect.type_, aspect.yet.0, aspect.yet.1),
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
