//! MailboxBackup and MailboxRestore: things to do once. Their specs cannot change; `kubectl wait` for `Succeeded`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{LocalRef, conditions, time};

/// Takes a snapshot of a mailbox now.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "sealpost.dev",
    version = "v1alpha1",
    kind = "MailboxBackup",
    plural = "mailboxbackups",
    shortname = "mbk",
    category = "sealpost",
    namespaced,
    status = "MailboxBackupStatus",
    derive = "PartialEq",
    doc = "Takes a snapshot of a mailbox now, into the bucket of its backup policy.",
    selectable = ".spec.mailboxRef.name"
)]
#[x_kube(validation = Rule::new("self == oldSelf").message("a backup cannot change: make another one"))]
#[serde(rename_all = "camelCase")]
pub struct MailboxBackupSpec {
    /// The Mailbox.
    pub mailbox_ref: LocalRef,
    /// It has failed if it is not done so long after its start.
    #[serde(default = "an_hour")]
    #[schemars(range(min = 1, max = 604_800))]
    pub deadline_seconds: i32,
}

/// Brings a mailbox back from its bucket.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "sealpost.dev",
    version = "v1alpha1",
    kind = "MailboxRestore",
    plural = "mailboxrestores",
    shortname = "mrs",
    category = "sealpost",
    namespaced,
    status = "MailboxRestoreStatus",
    derive = "PartialEq",
    doc = "Brings a mailbox back from its bucket: as it was at a time, into another mailbox or in place.",
    selectable = ".spec.target.mailboxRef.name"
)]
#[x_kube(validation = Rule::new("self == oldSelf").message("a restore cannot change: make another one"))]
#[x_kube(validation = Rule::new("self.mode != 'InPlace' || has(self.at)")
    .message("a restore in place names the time to go back to"))]
#[x_kube(validation = Rule::new("!has(self.source.mailboxRef) || (self.mode == 'InPlace') == (self.source.mailboxRef.name == self.target.mailboxRef.name)")
    .message("InPlace restores a mailbox onto itself, NewMailbox into another one"))]
#[serde(rename_all = "camelCase")]
pub struct MailboxRestoreSpec {
    /// Whose copies are read.
    pub source: RestoreSource,
    /// Restore it as it was at this time (RFC 3339); absent = the latest. Required in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time")]
    pub at: Option<Time>,
    /// The mailbox that gets the mail and the keys: one without either, unless in place.
    pub target: RestoreTarget,
    /// What the target is.
    #[serde(default)]
    pub mode: RestoreMode,
    /// It has failed if it is not done so long after its start.
    #[serde(default = "an_hour")]
    #[schemars(range(min = 1, max = 604_800))]
    pub deadline_seconds: i32,
}

/// Whose copies are read: exactly one of its fields.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("has(self.mailboxRef) != has(self.archiveId)")
    .message("a source is mailboxRef or archiveId, one of them"))]
#[serde(rename_all = "camelCase")]
pub struct RestoreSource {
    /// Those of this Mailbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mailbox_ref: Option<LocalRef>,
    /// Those of one archive, `<serverId>/<mailboxId>/t<timeline>`: see `sealpost bucket ls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 31, max = 128))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9-]{1,64}/[a-z2-7]{26}/t[0-9]{1,9}$')")
        .message("an archive id is <serverId>/<mailboxId>/t<timeline>"))]
    pub archive_id: Option<String>,
}

/// Which mailbox gets the mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoreTarget {
    /// The Mailbox. It exists already.
    pub mailbox_ref: LocalRef,
}

/// What the target of a restore is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum RestoreMode {
    /// A mailbox without keys and without mail.
    #[default]
    NewMailbox,
    /// The source itself: its files are replaced, the old ones kept.
    InPlace,
}

/// Who carries out a run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Executor {
    /// The shard whose sidecar has it: one that is started again goes on with it.
    #[serde(default)]
    #[schemars(length(max = 128))]
    pub id: String,
    /// When it last said that it is at work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time")]
    pub heartbeat_time: Option<Time>,
}

/// What the operator knows of a MailboxBackup.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MailboxBackupStatus {
    /// The `metadata.generation` last looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Who carries it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor: Option<Executor>,
    /// When it began; its deadline counts from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time")]
    pub start_time: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time")]
    pub completion_time: Option<Time>,
    /// The archive that has the copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub archive_id: Option<String>,
    /// See the condition types in the reference.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
}

/// What the operator knows of a MailboxRestore.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MailboxRestoreStatus {
    /// The `metadata.generation` last looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Who carries it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor: Option<Executor>,
    /// When it began; its deadline counts from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time")]
    pub start_time: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time")]
    pub completion_time: Option<Time>,
    /// The last commit that was restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub reached_commit: Option<i64>,
    /// When that commit was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time")]
    pub reached_time: Option<Time>,
    /// See the condition types in the reference.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
}

fn an_hour() -> i32 {
    3600
}
