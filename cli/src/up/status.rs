//! What runs, and where: shared by `up`'s own output and `sealpost status`.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// State of a running `up`. Other programs rely on `ready`, `endpoints` and `pids`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Status {
    /// Everything serves, and the directory in force is the declared one.
    pub ready: bool,
    /// `imaps`, `imap`, `imap-plain`, `mx`; those of a further replica N end in `-N`.
    pub endpoints: BTreeMap<String, String>,
    /// `primary-0`, `sidecar-0`, `secondary-imap-0`, `secondary-mx-0`.
    pub pids: BTreeMap<String, u32>,
    /// Mailboxes and their state, by address.
    pub mailboxes: BTreeMap<String, Mailbox>,
    /// How the copies fare, by policy.
    #[serde(default)]
    pub backups: BTreeMap<String, Backup>,
    /// Restores that were asked for within the last hours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<control::report::RunReport>,
    /// The status of each declared MailboxBackup and MailboxRestore, by kind and name.
    #[serde(default, rename = "declaredRuns", skip_serializing_if = "BTreeMap::is_empty")]
    pub declared_runs: BTreeMap<String, Value>,
    /// What a person should know or do.
    pub findings: Vec<String>,
}

/// How the copies of one policy fare.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Backup {
    /// When that was.
    pub time: jiff::Timestamp,
    /// As the sidecar says.
    #[serde(flatten)]
    pub report: control::report::PolicyReport,
}

/// One mailbox.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Mailbox {
    /// Its opaque id: the name of its folder.
    pub id: String,
    /// `Ready`, `AwaitingOwner`, `Retained`, ...
    pub state: String,
    /// Messages waiting for their owner.
    pub waiting: u64,
    /// It was restored, and is looked at with its key when its owner logs in next.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unchecked: bool,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", if self.ready { "ready" } else { "not ready" })?;
        for (name, address) in &self.endpoints {
            writeln!(f, "  {name:<14} {address}")?;
        }
        for (address, mailbox) in &self.mailboxes {
            let waiting = if mailbox.waiting == 0 { String::new() } else { format!(", {} waiting", mailbox.waiting) };
            let unchecked = if mailbox.unchecked { ", restored, to be checked at its owner's login" } else { "" };
            writeln!(f, "  {address:<24} {}{waiting}{unchecked}", mailbox.state)?;
        }
        for (name, Backup { report, .. }) in &self.backups {
            let (name, lag) = (format!("BackupPolicy/{name}"), report.lag_seconds);
            writeln!(f, "  {name:<24} {} mailboxes, {lag} s behind{}", report.mailboxes, copies(report))?;
        }
        for run in self.runs.iter().filter(|run| run.succeeded != Some(true)) {
            writeln!(f, "  {:<24} {} {}", format!("run {}", run.id), run.reason, run.message)?;
        }
        for (reference, status) in &self.declared_runs {
            writeln!(f, "  {reference:<24} {}", declared(status))?;
        }
        for finding in &self.findings {
            writeln!(f, "  ! {finding}")?;
        }
        Ok(())
    }
}

/// `Completed 2026-03-01T03:12:00Z: ...`, `Running: ...`, `Failed: why; what to do`.
fn declared(status: &Value) -> String {
    let said = |field: &str| status["conditions"][0][field].as_str().unwrap_or_default();
    let completed = status["completionTime"].as_str().map_or_else(String::new, |time| format!(" {time}"));
    let (failed, message) = (said("status") == "False", said("message"));
    let message = if failed { message.replace("; ", "\n      ") } else { message.to_owned() };
    format!("{}{completed}: {message}", said("reason"))
}

/// `, last snapshot 2026-03-01T03:12:00Z, next 2026-03-02T03:12:00Z, 3 wait, verified 2026-03-01T05:00:00Z`, as far as there is
/// anything to say.
fn copies(report: &control::report::PolicyReport) -> String {
    let last = report.last_snapshot.map(|last| format!(", last snapshot {}", whole_second(last)));
    let next = report.next_snapshot.map(|next| format!(", next {}", whole_second(next)));
    let queued = (report.queued > 0).then(|| format!(", {} wait", report.queued));
    let restored = report.last_verify.filter(|_| report.verified.status == Some(true));
    let verified = restored.map(|last| format!(", restore verified {}", whole_second(last)));
    last.into_iter().chain(next.filter(|_| report.queued == 0)).chain(queued).chain(verified).collect()
}

fn whole_second(time: jiff::Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_second(time.as_second()).unwrap_or(time)
}
