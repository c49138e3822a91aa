//! What should be backed up where: the values that operator, primary and sidecar pass on. Credentials are never in them; a
//! sidecar finds those of a policy under its name in a folder of its own.

mod report;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use report::{PurgeReport, PurgedBucket, RunReport};

use crate::cron::{Cron, CronError};
use crate::{IdError, MailboxId, ServerId};

/// Everything one shard has to back up.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Policies {
    /// First folder below each prefix: `<namespace>.<server>.<serverId>`.
    pub root: String,
    /// By name of the BackupPolicy object.
    pub policies: BTreeMap<String, Policy>,
    /// Which policy holds for a mailbox; those that are missing here have [`Policies::default`].
    pub mailboxes: BTreeMap<MailboxId, String>,
    /// The MailServer's policy; none = mailboxes that name none are not backed up.
    pub default: Option<String>,
}

impl Policies {
    /// The policy of a mailbox, with its name.
    pub fn of(&self, mailbox: MailboxId) -> Option<(&str, &Policy)> {
        let name = self.mailboxes.get(&mailbox).or(self.default.as_ref())?;
        self.policies.get_key_value(name).map(|(name, policy)| (name.as_str(), policy))
    }

    /// The same policies with every destination a folder of its own, `<root>/<policy>`: a machine without a bucket.
    #[must_use]
    pub fn into_folders(mut self, root: &Path) -> Self {
        for (name, policy) in &mut self.policies {
            policy.destination = Destination::Folder { path: root.join(name).display().to_string() };
        }
        self
    }
}

/// One BackupPolicy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// Where to.
    pub destination: Destination,
    /// Every commit is in the bucket after so many seconds.
    pub max_lag_seconds: u32,
    /// Whole copies; none = only bases and segments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots: Option<Schedule>,
    /// What is kept.
    pub retention: Retention,
    /// When a restore is tried out; none = never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<Schedule>,
}

/// Where a policy writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Destination {
    /// An S3 bucket.
    S3(S3),
    /// A folder on this machine (`sealpost up`).
    Folder {
        /// Absolute path.
        path: String,
    },
}

/// An S3 bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct S3 {
    /// `https://host[:port]`; none = AWS, found by the region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The bucket's name.
    pub bucket: String,
    /// For example `eu-central-1`; `auto` for R2.
    pub region: String,
    /// Before every name; without slashes at its ends; may be empty.
    #[serde(default)]
    pub prefix: String,
    /// `https://host/bucket/key` instead of `https://bucket.host/key`.
    #[serde(default)]
    pub path_style: bool,
    /// The right to write comes from the pod's own identity (a projected token, the node's role). Otherwise it is in files,
    /// and if those are missing nothing else is tried.
    #[serde(default)]
    pub ambient: bool,
}

/// When something is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// Five fields of cron: minute, hour, day of month, month, day of week.
    pub cron: String,
    /// IANA name of the zone the fields are read in.
    pub time_zone: String,
}

impl Schedule {
    /// The times it means.
    pub fn times(&self) -> Result<Cron, CronError> {
        Cron::parse(&self.cron, &self.time_zone)
    }
}

/// What is kept. A point in time inside the window can be restored exactly; of older ones the snapshots remain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retention {
    /// Days back that any point in time can be restored.
    pub window_days: u32,
    /// Newest snapshots kept.
    pub keep_last: u32,
    /// Newest snapshot of each of so many days.
    pub daily: u32,
    /// Of weeks.
    pub weekly: u32,
    /// Of months.
    pub monthly: u32,
}

/// One MailboxBackup or MailboxRestore, or the same asked by a person at a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// `<namespace>/<name>/<uid>`: a run with a known id is not done twice.
    pub id: String,
    /// What to do.
    pub kind: RunKind,
    /// It has failed when it is not done by then.
    pub deadline: Timestamp,
}

/// What a run does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RunKind {
    /// A snapshot now (a base where the mailbox is locked).
    Backup {
        /// Of which mailbox.
        mailbox: MailboxId,
    },
    /// A restore.
    Restore {
        /// From where.
        source: RestoreSource,
        /// The last moment that is restored; none = all there is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<Timestamp>,
        /// The mailbox that gets it.
        target: MailboxId,
        /// True = the target's files are replaced and kept aside; false = the target has neither keys nor mail.
        #[serde(rename = "inPlace")]
        in_place: bool,
    },
    /// The end of a mailbox: its files, its waiting mail, its keys, and its objects in every bucket. [`crate::Bindings`] knows
    /// it as purged before anybody is told.
    Purge {
        /// Which mailbox.
        mailbox: MailboxId,
    },
}

/// Where a restore reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RestoreSource {
    /// The newest archive of a mailbox of this server.
    Mailbox(MailboxId),
    /// Exactly this one.
    Archive(ArchiveId),
}

/// Names a restorable archive: `<serverId>/<mailboxId>/t<timeline>`, and so it is written everywhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArchiveId {
    /// The MailServer that wrote it.
    pub server: ServerId,
    /// Whose mail it is.
    pub mailbox: MailboxId,
    /// Which life of its database.
    pub timeline: u32,
}

impl fmt::Display for ArchiveId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/t{}", self.server, self.mailbox, self.timeline)
    }
}

impl FromStr for ArchiveId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let read = || {
            let (server, rest) = text.split_once('/')?;
            let (mailbox, timeline) = rest.split_once("/t")?;
            let digits = (1..=9).contains(&timeline.len()) && timeline.bytes().all(|byte| byte.is_ascii_digit());
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            let named = (1..=64).contains(&server.len()) && server.bytes().all(plain);
            let server = ServerId(server.to_owned());
            (digits && named).then_some(Self {
                server,
                mailbox: mailbox.parse().ok()?,
                timeline: timeline.parse().ok()?,
            })
        };
        read().ok_or_else(|| IdError { kind: "archive id", text: text.to_owned() })
    }
}

impl Serialize for ArchiveId {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ArchiveId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}
