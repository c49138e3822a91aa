//! One screen for one MailServer: pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use api::conditions;
use api::{Alias, BackupPolicy, MailServer, Mailbox, MailboxBackup, MailboxRestore};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use serde::Serialize;

use super::numbers::{Numbers, OfShard};

/// Conditions that say something good while they are False.
const QUIET: [&str; 5] = [
    conditions::PROGRESSING,
    conditions::DIRECTORY_HELD,
    conditions::STORAGE_RESIZING,
    conditions::UPDATE_AVAILABLE,
    conditions::PAUSED,
];
/// Mailboxes and aliases that are named one by one; more are counted.
const NAMED: usize = 20;
/// Runs that failed before are history.
const LATELY: SignedDuration = SignedDuration::from_hours(24);

/// All objects of a namespace that a screen is about.
#[derive(Debug, Default)]
pub struct Objects {
    /// Mail stores, of all servers.
    pub mailboxes: Vec<Mailbox>,
    /// Routes, of all servers.
    pub aliases: Vec<Alias>,
    /// Where copies go.
    pub policies: Vec<BackupPolicy>,
    /// Copies that were asked for.
    pub backups: Vec<MailboxBackup>,
    /// Mailboxes that are brought back.
    pub restores: Vec<MailboxRestore>,
}

/// What a person wants to know of a MailServer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Screen {
    /// `metadata.name`.
    pub name: String,
    /// Its host name.
    pub hostname: String,
    /// The image that runs.
    pub image: String,
    /// Reason of `Ready`.
    pub ready: bool,
    /// Why it is, or is not.
    pub reason: String,
    /// Shards, and where they run.
    pub shards: BTreeMap<i32, Shard>,
    /// Mailboxes by the reason of their `Ready`.
    pub mailboxes: BTreeMap<String, usize>,
    /// Aliases by the reason of their `Ready`.
    pub aliases: BTreeMap<String, usize>,
    /// Backup policies that it or its mailboxes name.
    pub backups: BTreeMap<String, Backup>,
    /// MailboxBackups and MailboxRestores that are not over, by the reason of their condition.
    pub runs: BTreeMap<String, usize>,
    /// What its pods count; none where nobody was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub numbers: Option<Numbers>,
    /// What there is to know or to do.
    pub problems: Vec<Problem>,
}

/// A shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shard {
    /// Where its pod runs.
    pub node: String,
    /// `Serves`, or why it does not.
    pub state: String,
}

/// How the copies of a policy fare, by the reasons of its conditions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Backup {
    /// `Ready`.
    pub state: String,
    /// `WithinRPO`.
    pub lag: String,
    /// `Verified`.
    pub restore: String,
}

/// A condition that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// `mailbox/bob`.
    pub object: String,
    /// Reason of the condition.
    pub reason: String,
    /// What to do.
    pub message: String,
}

/// Puts the screen together.
pub fn screen(server: &MailServer, objects: &Objects, numbers: Option<Numbers>, now: Timestamp) -> Screen {
    let Objects { mailboxes, aliases, policies, .. } = objects;
    let name = server.metadata.name.clone().unwrap_or_default();
    let status = server.status.clone().unwrap_or_default();
    let mut problems = of(&format!("mailserver/{name}"), &status.conditions);
    problems.extend(numbers.iter().flat_map(|numbers| set_aside(&name, numbers)));
    let backups = backups(server, mailboxes, policies, &mut problems);
    let runs = runs(&name, objects, now, &mut problems);
    let mailboxes = mailboxes.iter().filter(|mailbox| mailbox.spec.server_ref.name == name).map(|mailbox| Served {
        object: format!("mailbox/{}", mailbox.metadata.name.as_deref().unwrap_or_default()),
        conditions: mailbox.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default(),
    });
    let aliases = aliases.iter().filter(|alias| alias.spec.server_ref.name == name).map(|alias| Served {
        object: format!("alias/{}", alias.metadata.name.as_deref().unwrap_or_default()),
        conditions: alias.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default(),
    });
    let (mailboxes, aliases) = (count(mailboxes, &mut problems), count(aliases, &mut problems));
    let ready = api::condition(&status.conditions, conditions::READY);
    let shards = status.shards.iter().map(|shard| {
        let state = api::condition(&shard.conditions, conditions::READY);
        let state = state.map_or("NotLookedAt", |c| if c.status == "True" { "Serves" } else { c.reason.as_str() });
        (shard.index, Shard { node: shard.node.clone().unwrap_or_default(), state: state.to_owned() })
    });
    Screen {
        hostname: server.spec.hostname.clone(),
        image: status.image.clone().unwrap_or_default(),
        ready: ready.is_some_and(|ready| ready.status == "True"),
        reason: ready.map_or_else(|| "NotLookedAt".to_owned(), |ready| ready.reason.clone()),
        shards: shards.collect(),
        mailboxes,
        aliases,
        backups,
        runs,
        numbers,
        problems,
        name,
    }
}

/// The policies of a server and its mailboxes; what is wrong with them is told.
fn backups(
    server: &MailServer,
    mailboxes: &[Mailbox],
    policies: &[BackupPolicy],
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, Backup> {
    let ours = mailboxes.iter().filter(|mailbox| Some(&mailbox.spec.server_ref.name) == server.metadata.name.as_ref());
    let named =
        ours.filter_map(|mailbox| mailbox.spec.backup_policy_ref.as_ref()).chain(&server.spec.backup_policy_ref);
    let named: BTreeSet<&str> = named.map(|policy| policy.name.as_str()).collect();
    let mut backups = BTreeMap::new();
    for policy in policies {
        let Some(name) = policy.metadata.name.clone().filter(|name| named.contains(name.as_str())) else { continue };
        let known = policy.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
        // What nobody knows yet is no problem.
        let known: Vec<Condition> = known.iter().filter(|condition| condition.status != "Unknown").cloned().collect();
        problems.extend(of(&format!("backuppolicy/{name}"), &known));
        let reason = |type_| {
            let told = policy.status.as_ref().and_then(|status| api::condition(&status.conditions, type_));
            told.map_or_else(|| "NotLookedAt".to_owned(), |told| told.reason.clone())
        };
        let [state, lag, restore] = [conditions::READY, conditions::WITHIN_RPO, conditions::VERIFIED].map(reason);
        backups.insert(name, Backup { state, lag, restore });
    }
    backups
}

/// Runs of a server's mailboxes that are not over; those that failed lately are told.
fn runs(server: &str, objects: &Objects, now: Timestamp, problems: &mut Vec<Problem>) -> BTreeMap<String, usize> {
    let ours = |name: &str| {
        objects.mailboxes.iter().any(|mailbox| mailbox.name_any() == name && mailbox.spec.server_ref.name == server)
    };
    let backups = objects.backups.iter().filter(|run| ours(&run.spec.mailbox_ref.name)).map(|run| {
        let known = run.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
        (format!("mailboxbackup/{}", run.name_any()), known)
    });
    let restores = objects.restores.iter().filter(|run| ours(&run.spec.target.mailbox_ref.name)).map(|run| {
        let known = run.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
        (format!("mailboxrestore/{}", run.name_any()), known)
    });
    let mut going = BTreeMap::new();
    for (object, known) in backups.chain(restores) {
        match api::condition(known, conditions::SUCCEEDED) {
            Some(told) if told.status == "True" => {}
            Some(told) if told.status == "False" => {
                let is_news = now.duration_since(told.last_transition_time.0) < LATELY;
                problems.extend(is_news.then(|| problem(&object, told)));
            }
            told => *going.entry(told.map_or("NotLookedAt", |told| &told.reason).to_owned()).or_default() += 1,
        }
    }
    going
}

/// Mail that could not be stored waits for a person.
fn set_aside(server: &str, numbers: &Numbers) -> Vec<Problem> {
    let all = numbers.shards.iter().filter_map(|(shard, of)| Some((shard, of.set_aside.filter(|count| *count > 0)?)));
    let told = all.map(|(shard, count)| Problem {
        object: format!("mailserver/{server}"),
        reason: "SetAside".to_owned(),
        message: format!(
            "shard {shard} keeps {count} messages that could not be stored: kubectl sealpost logs {server} --role primary says why"
        ),
    });
    told.collect()
}

/// A Mailbox or an Alias of a server.
struct Served<'a> {
    object: String,
    conditions: &'a [Condition],
}

/// How many there are by the reason of their `Ready`; those that are not are told one by one.
fn count<'a>(objects: impl Iterator<Item = Served<'a>>, problems: &mut Vec<Problem>) -> BTreeMap<String, usize> {
    let mut reasons = BTreeMap::new();
    for served in objects {
        let ready = api::condition(served.conditions, conditions::READY);
        let reason = ready.map_or_else(|| "NotLookedAt".to_owned(), |ready| ready.reason.clone());
        *reasons.entry(reason).or_default() += 1;
        problems.extend(ready.filter(|ready| ready.status != "True").map(|ready| problem(&served.object, ready)));
    }
    reasons
}

/// Conditions that a person should see; `Ready` repeats one of the others, unless it stands alone.
fn of(object: &str, all: &[Condition]) -> Vec<Problem> {
    let worth = |c: &&Condition| {
        let good = if QUIET.contains(&c.type_.as_str()) { "False" } else { "True" };
        c.status != good
            || c.reason == conditions::reason::SELF_SIGNED
            || c.reason == conditions::reason::SHRINK_REFUSED
    };
    let (ready, others): (Vec<_>, Vec<_>) = all.iter().filter(worth).partition(|c| c.type_ == conditions::READY);
    let alone = ready.into_iter().filter(|ready| !others.iter().any(|other| other.reason == ready.reason));
    alone.chain(others.iter().copied()).map(|c| problem(object, c)).collect()
}

fn problem(object: &str, condition: &Condition) -> Problem {
    Problem { object: object.to_owned(), reason: condition.reason.clone(), message: condition.message.clone() }
}

impl fmt::Display for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ready = if self.ready { "ready" } else { "not ready" };
        writeln!(f, "{} ({}): {ready}, {}", self.name, self.hostname, self.reason)?;
        if !self.image.is_empty() {
            writeln!(f, "  image      {}", self.image)?;
        }
        for (number, shard) in &self.shards {
            let of = self.numbers.as_ref().and_then(|numbers| numbers.shards.get(number));
            writeln!(f, "  shard {number:<4} {} {}{}", shard.state, shard.node, of.map(counted).unwrap_or_default())?;
        }
        if let Some(numbers) = &self.numbers {
            if let Some(connections) = numbers.connections {
                writeln!(f, "  clients    {connections} connections")?;
            }
            if let Some(missing) = &numbers.missing {
                writeln!(f, "  numbers    not all are known: {missing}")?;
            }
        }
        for (what, reasons) in [("mailboxes", &self.mailboxes), ("aliases", &self.aliases)] {
            let reasons: Vec<String> = reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
            writeln!(f, "  {what:<10} {}", if reasons.is_empty() { "none".to_owned() } else { reasons.join(", ") })?;
        }
        let backup = |(name, it): (&String, &Backup)| format!("{name} {} ({}, {})", it.state, it.lag, it.restore);
        let backups: Vec<String> = self.backups.iter().map(backup).collect();
        writeln!(f, "  backups    {}", if backups.is_empty() { "none".to_owned() } else { backups.join(", ") })?;
        if !self.runs.is_empty() {
            let runs: Vec<String> = self.runs.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
            writeln!(f, "  runs       {}", runs.join(", "))?;
        }
        for problem in self.problems.iter().take(NAMED) {
            writeln!(f, "  ! {} {}: {}", problem.object, problem.reason, problem.message)?;
        }
        match self.problems.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => writeln!(f, "  ! and {more} more: kubectl get sealpost -o wide"),
        }
    }
}

/// `, 12 sessions, 3 messages wait, copies 4 s behind`, as far as it is known.
fn counted(of: &OfShard) -> String {
    let sessions = of.sessions.map(|count| format!(", {count} sessions"));
    let waiting = of.waiting.filter(|count| *count > 0).map(|count| format!(", {count} messages wait"));
    let fenced = of.fenced.filter(|count| *count > 0).map(|count| format!(", {count} mailboxes fenced"));
    let lag = of.lag_seconds.filter(|_| of.archived_mailboxes.is_some_and(|count| count > 0));
    let lag = lag.map(|lag| format!(", copies {lag} s behind"));
    [sessions, waiting, fenced, lag].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn condition(type_: &str, status: &str, reason: &str) -> serde_json::Value {
        json!({"type": type_, "status": status, "reason": reason, "message": format!("about {reason}"),
            "lastTransitionTime": "2026-01-01T00:00:00Z"})
    }

    fn server(conditions: &[serde_json::Value]) -> MailServer {
        let shard = json!({"index": 0, "node": "n1", "conditions": [condition("Ready", "True", "AsDeclared")]});
        let object = json!({
            "apiVersion": api::API_VERSION, "kind": "MailServer", "metadata": {"name": "mail"},
            "spec": {"hostname": "mx.example.org", "domains": []},
            "status": {"image": "sealpost:1", "shards": [shard], "conditions": conditions},
        });
        serde_json::from_value(object).unwrap()
    }

    fn mailbox(name: &str, server: &str, status: &str, reason: &str) -> Mailbox {
        let object = json!({
            "apiVersion": api::API_VERSION, "kind": "Mailbox", "metadata": {"name": name},
            "spec": {"address": format!("{name}@example.org"), "serverRef": {"name": server}},
            "status": {"conditions": [condition("Ready", status, reason)]},
        });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn one_screen_says_what_there_is_and_what_there_is_to_do() {
        let server = server(&[
            condition("Ready", "False", "ShardKeyMissing"),
            condition("ShardsAvailable", "False", "ShardKeyMissing"),
            condition("Progressing", "False", "AsDeclared"),
            condition("CertificatesValid", "True", "SelfSigned"),
            condition("DirectoryHeld", "True", "RemovalsHeld"),
        ]);
        let mailboxes = [
            mailbox("ann", "mail", "True", "AsDeclared"),
            mailbox("bob", "mail", "False", "AwaitingOwner"),
            mailbox("eve", "other", "False", "ServerNotFound"),
        ];
        let mut server = server;
        server.spec.backup_policy_ref = Some(api::LocalRef::new("daily"));
        let policy = |name: &str| -> BackupPolicy {
            let conditions = [
                condition("Ready", "False", "BucketUnreachable"),
                condition("DestinationReachable", "False", "BucketUnreachable"),
                condition("Verified", "Unknown", "NotRunYet"),
            ];
            let object = json!({
                "apiVersion": api::API_VERSION, "kind": "BackupPolicy", "metadata": {"name": name},
                "spec": {"destination": {"s3": {"endpoint": "https://s3.example.org", "bucket": "mail"}}},
                "status": {"conditions": conditions},
            });
            serde_json::from_value(object).unwrap()
        };
        let run = |name: &str, mailbox: &str, status: &str, reason: &str, when: &str| -> MailboxBackup {
            let mut condition = condition("Succeeded", status, reason);
            condition["lastTransitionTime"] = json!(when);
            let object = json!({
                "apiVersion": api::API_VERSION, "kind": "MailboxBackup", "metadata": {"name": name},
                "spec": {"mailboxRef": {"name": mailbox}}, "status": {"conditions": [condition]},
            });
            serde_json::from_value(object).unwrap()
        };
        let objects = Objects {
            mailboxes: mailboxes.into(),
            policies: vec![policy("daily"), policy("another")],
            backups: vec![
                run("now", "ann", "Unknown", "Running", "2026-01-02T00:00:00Z"),
                run("done", "ann", "True", "Completed", "2026-01-02T00:00:00Z"),
                run("failed", "ann", "False", "Failed", "2026-01-02T00:00:00Z"),
                run("old", "ann", "False", "Failed", "2025-12-01T00:00:00Z"),
                run("other", "eve", "False", "Failed", "2026-01-02T00:00:00Z"),
            ],
            ..Objects::default()
        };
        let of = OfShard {
            sessions: Some(12),
            waiting: Some(3),
            set_aside: Some(1),
            lag_seconds: Some(4),
            archived_mailboxes: Some(2),
            ..OfShard::default()
        };
        let numbers = Numbers { shards: [(0, of)].into(), connections: Some(14), missing: Some("because".into()) };
        let text = screen(&server, &objects, Some(numbers), "2026-01-02T12:00:00Z".parse().unwrap()).to_string();
        let wanted = "mail (mx.example.org): not ready, ShardKeyMissing
  image      sealpost:1
  shard 0    Serves n1, 12 sessions, 3 messages wait, copies 4 s behind
  clients    14 connections
  numbers    not all are known: because
  mailboxes  1 AsDeclared, 1 AwaitingOwner
  aliases    none
  backups    daily BucketUnreachable (NotLookedAt, NotRunYet)
  runs       1 Running
  ! mailserver/mail ShardKeyMissing: about ShardKeyMissing
  ! mailserver/mail SelfSigned: about SelfSigned
  ! mailserver/mail RemovalsHeld: about RemovalsHeld
  ! mailserver/mail SetAside: shard 0 keeps 1 messages that could not be stored: kubectl sealpost logs mail --role primary says why
  ! backuppolicy/daily BucketUnreachable: about BucketUnreachable
  ! mailboxbackup/failed Failed: about Failed
  ! mailbox/bob AwaitingOwner: about AwaitingOwner
";
        assert_eq!(text, wanted);
    }

    #[test]
    fn a_server_that_nobody_has_looked_at_says_so() {
        let mut server = server(&[]);
        server.status = None;
        let screen = screen(&server, &Objects::default(), None, Timestamp::UNIX_EPOCH);
        assert_eq!((screen.ready, screen.reason.as_str()), (false, "NotLookedAt"));
    }
}
