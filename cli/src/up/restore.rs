//! Restores that were asked for: checked here, done by the sidecar, remembered until their deadline.

use std::collections::BTreeMap;

use control::RunAssignment;
use control::report::RunReport;
use jiff::{SignedDuration, Timestamp};
use model::backup::{RestoreSource, Run, RunKind};
use model::{Address, Directory, MailboxId};
use serde::{Deserialize, Serialize};

use super::status;
use crate::control::{Source, Wish};

/// Who carries runs out; there is one sidecar.
pub const EXECUTOR: &str = "sidecar-0";
/// A run is remembered for so long after its deadline, for those who look at its end.
const TOLD_FOR: SignedDuration = SignedDuration::from_hours(1);

/// What is known of the mailboxes.
pub struct Known<'a> {
    /// The directory in force; none before the first push.
    pub directory: Option<&'a Directory>,
    /// By address.
    pub mailboxes: &'a BTreeMap<String, status::Mailbox>,
}

impl Known<'_> {
    /// What is to be done.
    pub fn kind(&self, wish: &Wish) -> Result<RunKind, String> {
        let source = match &wish.source {
            Source::Address(address) => RestoreSource::Mailbox(self.mailbox(address)?),
            Source::Archive(archive) => RestoreSource::Archive(archive.clone()),
        };
        let (target, in_place) = match (&wish.to, &source) {
            (Some(address), _) => (self.mailbox(address)?, false),
            (None, RestoreSource::Mailbox(mailbox)) => (*mailbox, true),
            (None, RestoreSource::Archive(archive)) => (archive.mailbox, true),
        };
        if !self.directory.is_some_and(|directory| directory.mailboxes.contains_key(&target)) {
            return Err(format!(
                "{target} is no mailbox of this server\n  restore its archive to another one with --to"
            ));
        }
        Ok(RunKind::Restore { source, at: wish.at, target, in_place })
    }

    /// Whether the target takes a restore without losing anything; why not and what to do otherwise.
    pub fn admit(&self, wish: &Wish) -> Result<(), String> {
        let Some(address) = &wish.to else { return Ok(()) };
        self.mailbox(address)?;
        match self.mailboxes.get(&address.to_string()) {
            Some(mailbox) if mailbox.state == "AwaitingOwner" => Ok(()),
            _ => Err(format!(
                "{address} has keys already, and mail perhaps\n  restore to a mailbox that is declared without a password, or bring a mailbox back into its own place with --in-place"
            )),
        }
    }

    /// The mailbox of an address.
    pub fn mailbox(&self, address: &Address) -> Result<MailboxId, String> {
        let found = self.directory.and_then(|directory| directory.mailbox_of(address));
        found.map(|(id, _)| id).ok_or_else(|| {
            format!("there is no mailbox {address}\n  declare it in the manifests first; `sealpost status` lists those there are")
        })
    }
}

/// The id of the run of that name.
pub fn id_of(name: &str) -> String {
    format!("up/{name}")
}

/// A run, until some time after its deadline.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Asked {
    /// What was asked.
    pub run: Run,
    /// What came of it. It is remembered here: a volume that was lost has forgotten it, and nothing is done twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<RunReport>,
}

impl Asked {
    /// How it fares, given what the sidecar says of it.
    pub fn report(&self, now: Timestamp, said: Option<&RunReport>) -> RunReport {
        self.end.as_ref().or(said).cloned().unwrap_or_else(|| pending(&self.run, now))
    }

    /// Hears of its end; true where that is news.
    pub fn hear(&mut self, said: &RunReport) -> bool {
        let news = self.end.is_none() && said.id == self.run.id && said.succeeded.is_some();
        if news {
            self.end = Some(said.clone());
        }
        news
    }

    /// True while somebody may ask for it.
    pub fn is_remembered(&self, now: Timestamp) -> bool {
        now.duration_since(self.run.deadline) < TOLD_FOR
    }
}

/// What the sidecar is told of them: those that are not over.
pub fn assignments(asked: &[Asked]) -> Vec<RunAssignment> {
    let open = asked.iter().filter(|asked| asked.end.is_none());
    open.map(|asked| RunAssignment { run: asked.run.clone(), executor: EXECUTOR.to_owned() }).collect()
}

/// What is told of a run of which the sidecar has said nothing yet.
fn pending(run: &Run, now: Timestamp) -> RunReport {
    RunReport::pending(run.id.clone(), EXECUTOR.to_owned(), now)
}
