//! Runs: what the operator, or a person, wants done once.
//!
//! ```text
//! GET /v1/policies --> Table (what is wanted, at work, over) --> carry_out (a task for each) --> report
//!                         ^                                        |  Desk: turns of mailboxes, on loan
//!                         +---- <data>/sidecar/runs/<hash>.json <--+
//! ```
//!
//! * A run is known by its id, and one that was done is not done twice, whoever asks again: its record outlives this process.
//! * It is worked on under the executor id it is wanted with. Under another one, work that may still stop stops and begins anew,
//!   and what has failed is tried again.
//! * One that is wanted no more was cancelled, and one that is not over at its deadline has failed. Both stop at once, and leave
//!   nothing behind, unless they have come to their [`Intent`]: from there on a run goes on to its end, and is told then.
//! * Before a primary has heard from the operator, nobody knows what is wanted, and nothing is taken for cancelled.
//!
//! What a crash leaves: a record without an end. With an intent the next start finishes it by itself; otherwise it begins anew
//! if it is still wanted.
//!
//! A kind of run is a variant of [`Errand`], made in `begin`, and a function that takes a [`Ticket`].

mod begin;
mod desk;
mod record;
mod table;
mod ticket;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use model::MailboxId;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::format::Sha256;

pub use desk::{Desk, Held, Request, Wish};
pub use record::{Intent, Record, Records};
pub use table::{Launch, Stage, Table};
pub use ticket::{Broken, Closed, Errand, Outcome, Ticket};

/// What the loop holds of runs.
pub struct Runs {
    pub table: Table,
    pub records: Records,
    pub desk: Desk,
    pub requests: mpsc::UnboundedReceiver<Request>,
    /// Turns that were asked for.
    pub wishes: Vec<Wish>,
    /// Purges that wait until nobody else works on their mailboxes.
    pub quiets: Vec<(MailboxId, oneshot::Sender<()>)>,
    /// Mailboxes that are to be purged, or were: nothing else is done with them.
    pub purging: BTreeSet<MailboxId>,
    pub works: JoinSet<Closed>,
    /// Which run each of them is.
    pub ids: HashMap<tokio::task::Id, String>,
    /// Where runs put files.
    pub staging: PathBuf,
}

impl Runs {
    /// True where a mailbox is to be purged, or was.
    pub fn is_purging(&self, mailbox: MailboxId) -> bool {
        self.purging.contains(&mailbox)
    }

    /// With what former processes left. Folders in `staging` that nobody will need go. Blocking.
    pub fn open(records: Records, staging: PathBuf) -> Self {
        let known = records.load();
        let kept: Vec<String> = known.iter().filter(|it| it.is_bound()).map(|it| folder_of(&it.run.id)).collect();
        if let Err(error) = sweep(&staging, &kept) {
            tracing::warn!(%error, "what restores left in staging was not removed");
        }
        let (desk, requests) = Desk::new();
        Self {
            table: Table::new(known),
            records,
            desk,
            requests,
            wishes: Vec::new(),
            quiets: Vec::new(),
            purging: BTreeSet::new(),
            works: JoinSet::new(),
            ids: HashMap::new(),
            staging,
        }
    }
}

/// Prefix of the folders in `staging` that are a run's.
const FOLDER: &str = "restore-";

/// The folder in `staging` that is a run's.
pub fn folder_of(id: &str) -> String {
    format!("{FOLDER}{}", short(id))
}

/// A name for a run that any file system takes.
fn short(id: &str) -> String {
    Sha256::of(id.as_bytes()).to_string().split_off(48)
}

fn sweep(staging: &std::path::Path, kept: &[String]) -> Result<(), files::FilesError> {
    for entry in std::fs::read_dir(staging).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.starts_with(FOLDER) && !kept.contains(&name) {
            files::durable::remove_dir_all(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
