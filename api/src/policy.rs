//! BackupPolicy: where copies of mailboxes go, how soon, and how long they are kept.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{LocalRef, conditions};

/// Where copies of mailboxes go, how soon, and how long they are kept.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "sealpost.dev",
    version = "v1alpha1",
    kind = "BackupPolicy",
    plural = "backuppolicies",
    shortname = "mbp",
    category = "sealpost",
    namespaced,
    status = "BackupPolicyStatus",
    derive = "PartialEq",
    doc = "Where copies of mailboxes go, how soon, and how long they are kept. MailServers and Mailboxes name it."
)]
#[serde(rename_all = "camelCase")]
pub struct BackupPolicySpec {
    /// The bucket that takes the copies. They are encrypted; the bucket's owner sees sizes and times.
    pub destination: Destination,
    /// When a snapshot of each mailbox is taken; absent = never, the archive alone makes every moment restorable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots: Option<Schedule>,
    /// Every committed change leaves for the bucket as it happens.
    #[serde(default)]
    pub archive: Archive,
    /// What is kept. A copy goes when no line keeps it.
    #[serde(default)]
    pub retention: Retention,
    /// When a restore is rehearsed; absent = never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<Schedule>,
}

/// A place for copies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Destination {
    /// A bucket that speaks S3: Cloudflare R2, AWS, MinIO and others.
    pub s3: S3,
}

/// A bucket that speaks S3.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("has(self.endpoint) || self.region != 'auto'")
    .message("without endpoint it is AWS: name the region"))]
#[serde(rename_all = "camelCase")]
pub struct S3 {
    /// `https://host` or `https://host:port`; absent = AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 9, max = 255))]
    #[x_kube(validation = Rule::new("self.matches('^https://[a-z0-9.-]+(:[0-9]{1,5})?$')")
        .message("an endpoint is https://host or https://host:port in lower case, without path"))]
    pub endpoint: Option<String>,
    /// The bucket's name. It must exist.
    #[schemars(length(min = 3, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9][a-z0-9.-]*[a-z0-9]$')")
        .message("a bucket name has lower-case letters, digits, dots and dashes"))]
    pub bucket: String,
    /// The region that requests are signed for; `auto` fits R2 and most that are not AWS.
    #[serde(default = "auto")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9-]+$')").message("a region is, for example, auto or eu-central-1"))]
    pub region: String,
    /// Put before every key, so that several servers share a bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$')")
        .message("a prefix is made of letters, digits, . _ - and single slashes between them"))]
    pub prefix: Option<String>,
    /// Put the bucket into the path of requests, not into the host name; absent = if there is an endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_style: Option<bool>,
    /// Secret with `accessKeyId`, `secretAccessKey` and perhaps `sessionToken`; absent = the pod's own identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<LocalRef>,
    /// Secret with the `ca.crt` that signed the endpoint's certificate; absent = the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<LocalRef>,
}

/// Times, as cron has them.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// Five fields: minute, hour, day of month, month, day of week. Each mailbox comes up to an hour later, always the same.
    #[schemars(length(min = 9, max = 128))]
    #[x_kube(validation = Rule::new("self.matches('^ *[0-9A-Za-z*,/-]+( +[0-9A-Za-z*,/-]+){4} *$')")
        .message("a schedule has five fields: minute, hour, day of month, month, day of week"))]
    pub schedule: String,
    /// The IANA time zone of the schedule.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z][A-Za-z0-9+_/-]*$')")
        .message("a time zone is, for example, Etc/UTC or Europe/Berlin"))]
    pub time_zone: String,
}

/// How soon changes are in the bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Archive {
    /// At most so long after the commit: what a lost volume may cost. Lower costs more requests.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 3600))]
    pub max_lag_seconds: i32,
}

impl Default for Archive {
    fn default() -> Self {
        Self { max_lag_seconds: ten() }
    }
}

/// What is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Retention {
    /// Every moment of so many days can be restored.
    #[schemars(range(min = 1, max = 3650))]
    pub window_days: i32,
    /// The newest snapshots.
    #[schemars(range(min = 0, max = 1000))]
    pub keep_last: i32,
    /// The last snapshot of each of so many days.
    #[schemars(range(min = 0, max = 3650))]
    pub daily: i32,
    /// The last snapshot of each of so many weeks.
    #[schemars(range(min = 0, max = 520))]
    pub weekly: i32,
    /// The last snapshot of each of so many months.
    #[schemars(range(min = 0, max = 240))]
    pub monthly: i32,
}

impl Default for Retention {
    fn default() -> Self {
        Self { window_days: 30, keep_last: 3, daily: 7, weekly: 4, monthly: 12 }
    }
}

/// What the operator knows of a BackupPolicy.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupPolicyStatus {
    /// The `metadata.generation` last looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// See the condition types in the reference.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
}

fn auto() -> String {
    "auto".to_owned()
}

fn utc() -> String {
    "Etc/UTC".to_owned()
}

fn ten() -> i32 {
    10
}
