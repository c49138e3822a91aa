//! What each shard is told about copies: the policies of its mailboxes, and the runs that are for it.
//!
//! * Pure. The policies last acknowledged by each shard come in and count where a name leads nowhere: a BackupPolicy
//!   that vanished, or a typing error, never stops an archive.
//! * A mailbox whose object is gone keeps what it had.
//! * Credentials do not pass here: a policy's name is all that goes on.

mod course;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use model::backup::{ArchiveId, Destination, Policies, Policy, RestoreSource, Retention, Run, RunKind, S3, Schedule};
use model::{Bindings, Finding, MailboxId, ObjectRef, ServerId, ShardId};

use crate::common::condition;
use crate::conditions::reason::{ARCHIVE_OF_ANOTHER, MAILBOX_NOT_FOUND, POLICY_NOT_FOUND, TARGET_NOT_READY};
use crate::conditions::{BACKUP_CONFIGURED, READY, SUCCEEDED};
use crate::object::{Object, declared};
use crate::run::RestoreMode;
use crate::{BackupPolicySpec, LocalRef, MailServer, Mailbox, MailboxRestore, run};

pub use course::{Heard, run_id, run_status};

/// What [`policies`] decides.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Backups {
    /// Every shard of the server, with what it should keep.
    pub shards: BTreeMap<ShardId, Policies>,
    /// References that lead nowhere.
    pub findings: Vec<Finding>,
}

/// Which policy applies to which mailbox of a MailServer. `last` is what each shard acknowledged last; objects that
/// [`crate::validate`] refuses must not come here.
pub fn policies(
    server: &MailServer,
    id: &ServerId,
    objects: &[Object],
    bindings: &Bindings,
    last: &BTreeMap<ShardId, Policies>,
) -> Backups {
    let known = Known::new(server, id, objects);
    let nothing = Policies::default();
    let mut backups = Backups::default();
    let shards = (0..u32::try_from(server.spec.shards).unwrap_or(1)).map(ShardId);
    let bound = bindings.mailboxes.values().map(|binding| binding.shard);
    for shard in shards.chain(bound).chain(bindings.purged.values().map(|purge| purge.shard)) {
        let before = last.get(&shard).unwrap_or(&nothing);
        backups.shards.entry(shard).or_insert_with(|| known.shard(shard, bindings, before));
    }
    known.dangling(bindings, &backups.shards, &mut backups.findings);
    backups
}

/// The objects that matter here, by what they are looked up by.
struct Known<'a> {
    server: &'a str,
    root: String,
    default: Option<&'a str>,
    policies: BTreeMap<&'a str, Policy>,
    /// By uid.
    mailboxes: BTreeMap<String, &'a Mailbox>,
}

impl<'a> Known<'a> {
    fn new(server: &'a MailServer, id: &ServerId, objects: &'a [Object]) -> Self {
        let name = server.metadata.name.as_deref().unwrap_or_default();
        let mut known = Self {
            server: name,
            root: format!("{}.{name}.{id}", namespace(&server.metadata)),
            default: server.spec.backup_policy_ref.as_ref().map(|policy| policy.name.as_str()),
            policies: BTreeMap::new(),
            mailboxes: BTreeMap::new(),
        };
        for object in objects {
            match object {
                Object::BackupPolicy(o) => drop(known.policies.insert(object.name(), policy(&o.spec))),
                Object::Mailbox(o) if o.spec.server_ref.name == name => {
                    known.mailboxes.insert(declared("Mailbox", &o.metadata).uid, o);
                }
                _ => {}
            }
        }
        known
    }

    fn shard(&self, shard: ShardId, bindings: &Bindings, last: &Policies) -> Policies {
        let exists = |name: &str| self.policies.contains_key(name) || last.policies.contains_key(name);
        let mut next = Policies { root: self.root.clone(), ..Policies::default() };
        // A name that leads nowhere gives way to the last one that did; no name at all is a decision.
        let fallback = || last.default.clone().filter(|name| exists(name));
        next.default =
            self.default.and_then(|name| Some(name.to_owned()).filter(|name| exists(name)).or_else(fallback));
        for (id, binding) in bindings.mailboxes.iter().filter(|(_, binding)| binding.shard == shard) {
            let object = binding.owner.as_ref().and_then(|uid| self.mailboxes.get(uid));
            let name = match object {
                None => last.mailboxes.get(id).cloned(),
                Some(object) => object.spec.backup_policy_ref.as_ref().and_then(|named| {
                    let before = || last.of(*id).map(|(name, _)| name.to_owned());
                    Some(named.name.clone()).filter(|name| exists(name)).or_else(before)
                }),
            };
            next.mailboxes.extend(name.map(|name| (*id, name)));
        }
        // What is purged is still in the bucket that it had.
        for (id, _) in bindings.purged.iter().filter(|(_, purge)| purge.shard == shard && purge.done.is_none()) {
            let name = last.of(*id).map(|(name, _)| name.to_owned()).filter(|name| exists(name));
            next.mailboxes.extend(name.map(|name| (*id, name)));
        }
        let used: BTreeSet<String> = next.default.iter().chain(next.mailboxes.values()).cloned().collect();
        for name in used {
            let policy = self.policies.get(name.as_str()).or_else(|| last.policies.get(&name)).cloned();
            next.policies.extend(policy.map(|policy| (name, policy)));
        }
        next
    }

    /// Says which names lead nowhere, and what holds meanwhile.
    fn dangling(&self, bindings: &Bindings, shards: &BTreeMap<ShardId, Policies>, findings: &mut Vec<Finding>) {
        if let Some(name) = self.default.filter(|name| !self.policies.contains_key(name)) {
            let holds = shards.values().find_map(|policies| policies.default.as_deref());
            let message = not_found(name, holds, "mailboxes without a policy of their own are not archived");
            let object = ObjectRef::new("MailServer", self.server);
            // Mail goes on: a lost policy does not make a server unready.
            findings.push(Finding { object, condition: READY, status: true, reason: POLICY_NOT_FOUND, message });
        }
        for (uid, mailbox) in &self.mailboxes {
            let Some(named) = &mailbox.spec.backup_policy_ref else { continue };
            if self.policies.contains_key(named.name.as_str()) {
                continue;
            }
            let bound = bindings.owned_by(uid).and_then(|(id, binding)| shards.get(&binding.shard)?.of(id));
            let message = not_found(&named.name, bound.map(|(name, _)| name), "the mailbox is not archived");
            let object = ObjectRef::new("Mailbox", mailbox.metadata.name.as_deref().unwrap_or_default());
            let condition = BACKUP_CONFIGURED;
            findings.push(Finding { object, condition, status: false, reason: POLICY_NOT_FOUND, message });
        }
    }
}

fn not_found(name: &str, holds: Option<&str>, otherwise: &str) -> String {
    let meanwhile = match holds {
        Some(holds) if holds == name => "until then it stays in force as it last was".to_owned(),
        Some(holds) => format!("until then `{holds}` is in force"),
        None => format!("until then {otherwise}"),
    };
    format!("there is no BackupPolicy `{name}`: declare it, or change backupPolicyRef; {meanwhile}")
}

/// The policy that an object means. Numbers were checked against their ranges.
fn policy(spec: &BackupPolicySpec) -> Policy {
    let number = |number: i32| u32::try_from(number).unwrap_or(0);
    let schedule =
        |times: &crate::Schedule| Schedule { cron: times.schedule.clone(), time_zone: times.time_zone.clone() };
    let (s3, kept) = (&spec.destination.s3, &spec.retention);
    Policy {
        destination: Destination::S3(S3 {
            endpoint: s3.endpoint.clone(),
            bucket: s3.bucket.clone(),
            region: s3.region.clone(),
            prefix: s3.prefix.clone().unwrap_or_default(),
            path_style: s3.path_style.unwrap_or(s3.endpoint.is_some()),
            ambient: s3.credentials_secret_ref.is_none(),
        }),
        max_lag_seconds: number(spec.archive.max_lag_seconds),
        snapshots: spec.snapshots.as_ref().map(schedule),
        retention: Retention {
            window_days: number(kept.window_days),
            keep_last: number(kept.keep_last),
            daily: number(kept.daily),
            weekly: number(kept.weekly),
            monthly: number(kept.monthly),
        },
        verify: spec.verify.as_ref().map(schedule),
    }
}

/// What [`runs`] decides.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Runs {
    /// By shard: what it should do, in the order of their ids.
    pub shards: BTreeMap<ShardId, Vec<Run>>,
    /// Runs that no shard can be given, or not yet.
    pub unassigned: Vec<Unassigned>,
}

/// A run that no shard can be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unassigned {
    /// The object.
    pub object: ObjectRef,
    /// From the fixed vocabulary.
    pub reason: &'static str,
    /// What is the matter, and the next step for a person.
    pub message: String,
    /// It can never be done: `Succeeded` is `False`. Otherwise it is `Unknown` until the deadline.
    pub failed: bool,
}

/// The unfinished runs of a MailServer. A backup goes to the shard of its mailbox, a restore to that of its target. Runs
/// for mailboxes of other servers are left out; those for mailboxes that do not exist are told by every server.
///
/// A deadline counts from the run's `startTime`; as long as the status has none, from `now`.
pub fn runs(server: &MailServer, objects: &[Object], bindings: &Bindings, now: Timestamp) -> Runs {
    let places = Places { server: server.metadata.name.as_deref().unwrap_or_default(), objects, bindings };
    let mut all = Runs::default();
    for wish in objects.iter().filter_map(Wish::read) {
        match wish.kind(&places) {
            Ok(Some((kind, shard))) => {
                let limit = SignedDuration::from_secs(wish.deadline_seconds.into());
                let deadline = wish.started.unwrap_or(now).checked_add(limit).unwrap_or(Timestamp::MAX);
                all.shards.entry(shard).or_default().push(Run { id: wish.id(), kind, deadline });
            }
            Ok(None) => {}
            Err(Trouble { reason, message, failed }) => {
                all.unassigned.push(Unassigned { object: wish.object.reference(), reason, message, failed });
            }
        }
    }
    all.shards.values_mut().for_each(|runs| runs.sort_by(|a, b| a.id.cmp(&b.id)));
    all
}

/// A run that is not finished, whatever its kind.
struct Wish<'a> {
    object: &'a Object,
    metadata: &'a ObjectMeta,
    deadline_seconds: i32,
    started: Option<Timestamp>,
}

impl<'a> Wish<'a> {
    fn read(object: &'a Object) -> Option<Self> {
        let (metadata, deadline_seconds, status) = match object {
            Object::MailboxBackup(o) => {
                let status = o.status.as_ref().map(|status| (&status.start_time, &status.conditions));
                (&o.metadata, o.spec.deadline_seconds, status)
            }
            Object::MailboxRestore(o) => {
                let status = o.status.as_ref().map(|status| (&status.start_time, &status.conditions));
                (&o.metadata, o.spec.deadline_seconds, status)
            }
            _ => return None,
        };
        let over = status.is_some_and(|(_, conditions)| finished(conditions)) || metadata.deletion_timestamp.is_some();
        let started = status.and_then(|(start, _)| start.as_ref()).map(|time| time.0);
        (!over).then_some(Self { object, metadata, deadline_seconds, started })
    }

    /// `<namespace>/<name>/<uid>`.
    fn id(&self) -> String {
        let declared = declared(self.object.kind(), self.metadata);
        format!("{}/{}/{}", namespace(self.metadata), declared.name, declared.uid)
    }

    /// What to do and where; none if it is another server's.
    fn kind(&self, places: &Places) -> Result<Option<(RunKind, ShardId)>, Trouble> {
        match self.object {
            Object::MailboxBackup(o) => {
                let place = places.find(&o.spec.mailbox_ref)?;
                Ok(place.map(|(id, shard)| (RunKind::Backup { mailbox: id }, shard)))
            }
            Object::MailboxRestore(o) => restore(o, places),
            _ => Ok(None),
        }
    }
}

fn finished(conditions: &[Condition]) -> bool {
    condition(conditions, SUCCEEDED).is_some_and(|condition| condition.status != "Unknown")
}

/// Manifests carry no namespace: everything read together is one.
fn namespace(metadata: &ObjectMeta) -> &str {
    metadata.namespace.as_deref().unwrap_or("default")
}

/// Why no shard can be given a run.
struct Trouble {
    reason: &'static str,
    message: String,
    failed: bool,
}

/// Where mailboxes are.
struct Places<'a> {
    server: &'a str,
    objects: &'a [Object],
    bindings: &'a Bindings,
}

impl Places<'_> {
    /// The mailbox of a Mailbox object; none if it is another server's.
    fn find(&self, mailbox: &LocalRef) -> Result<Option<(MailboxId, ShardId)>, Trouble> {
        let name = &mailbox.name;
        let found = self.objects.iter().find_map(|object| match object {
            Object::Mailbox(o) if object.name() == name => Some(o),
            _ => None,
        });
        let Some(object) = found else {
            let message = format!("there is no Mailbox `{name}`: declare it; the run waits until its deadline");
            return Err(Trouble { reason: MAILBOX_NOT_FOUND, message, failed: false });
        };
        if object.spec.server_ref.name != self.server {
            return Ok(None);
        }
        let bound = self.bindings.owned_by(&declared("Mailbox", &object.metadata).uid);
        let place = bound.map(|(id, binding)| Some((id, binding.shard)));
        place.ok_or_else(|| {
            let message = format!("Mailbox `{name}` has no mail store yet: see its own conditions");
            Trouble { reason: TARGET_NOT_READY, message, failed: false }
        })
    }
}

fn restore(object: &MailboxRestore, places: &Places) -> Result<Option<(RunKind, ShardId)>, Trouble> {
    let spec = &object.spec;
    let Some((target, shard)) = places.find(&spec.target.mailbox_ref)? else { return Ok(None) };
    let in_place = spec.mode == RestoreMode::InPlace;
    let Some(source) = source(&spec.source, places)? else {
        let message = "the source is a Mailbox of another MailServer: name its archive by archiveId".to_owned();
        return Err(Trouble { reason: MAILBOX_NOT_FOUND, message, failed: true });
    };
    if let RestoreSource::Archive(archive) = &source
        && in_place
        && archive.mailbox != target
    {
        let message = format!("{archive} is not of {target}: restore it to a new Mailbox (mode NewMailbox)");
        return Err(Trouble { reason: ARCHIVE_OF_ANOTHER, message, failed: true });
    }
    let at = spec.at.as_ref().map(|time| time.0);
    Ok(Some((RunKind::Restore { source, at, target, in_place }, shard)))
}

fn source(source: &run::RestoreSource, places: &Places) -> Result<Option<RestoreSource>, Trouble> {
    match (&source.mailbox_ref, &source.archive_id) {
        (Some(mailbox), _) => Ok(places.find(mailbox)?.map(|(id, _)| RestoreSource::Mailbox(id))),
        (None, archive) => {
            let read = archive.as_deref().and_then(|text| text.parse::<ArchiveId>().ok());
            let message = "spec.source.archiveId is not an archive id".to_owned();
            let trouble = Trouble { reason: crate::conditions::reason::ARCHIVE_NOT_FOUND, message, failed: true };
            read.map(|archive| Some(RestoreSource::Archive(archive))).ok_or(trouble)
        }
    }
}
