//! A restore: find the archive, assemble it in staging, have the primary put it into its place.
//!
//! | step | then | a crash before the next leaves |
//! |---|---|---|
//! | 1 | what the source has committed and nobody has shipped is shipped | nothing |
//! | 2 | the files are assembled in `staging/restore-<hash of the run>/`, checked and synced | the folder: the next start removes it, and the run begins anew |
//! | 3 | the target's turn is taken, so that nobody ships it; in place, what it has is shipped once more | the same |
//! | 4 | the [`Intent`] is written down: from here on nothing stops the run | a bound record: the next start goes on from here |
//! | 5 | ADOPT, again and again until the primary answers | the same; a repeat of what was done is answered the same again |
//! | 6 | the target's turn: its archive goes on in a new timeline, which begins with a base of what it is now | the same; without the turn the next one of the mailbox does it |
//!
//! * What is committed between the last shipping and ADOPT is in no archive, and nowhere lost: the primary keeps all replaced
//!   files, WAL included, and mail that waits stays in the live spool.
//! * While the primary is told that commits are archived, no commit may change its number: so all that was archived is told
//!   before ADOPT, and nothing in between (the target's turn is here).
//! * What this volume has signed itself is taken before what a marker in the bucket vouches for: whoever can write to the bucket
//!   can make markers.
//! * A bucket that is away is waited for, up to the deadline.

mod find;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use control::{Adopt, AdoptMode};
use files::{durable, fault};
use jiff::Timestamp;
use model::backup::{ArchiveId, RestoreSource};
use model::{Class, MailboxId, ServerId};

use super::board::Failure;
use super::runs::{Broken, Desk, Held, Intent, Outcome, Ticket, folder_of};
use super::{Client, ClientError};
use crate::assemble::{AssembleError, Assembled, Source, Target, assemble};
use crate::bucket::Bucket;
use crate::format::SignerKey;

/// Wait before the bucket or the primary is asked again; doubles.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The longest of these waits.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// One restore.
pub struct Restore {
    pub server: ServerId,
    pub source: RestoreSource,
    /// Whose archives the source means.
    pub origin: MailboxId,
    pub at: Option<Timestamp>,
    pub target: MailboxId,
    pub in_place: bool,
    /// Where archives of the source may be, the likeliest first.
    pub places: Vec<Place>,
    pub desk: Desk,
    pub client: Client,
    pub staging: PathBuf,
    /// Of the target.
    pub folder: PathBuf,
    /// Bytes that stay free on the volume.
    pub floor: u64,
    /// Who signs what this volume archives.
    pub signer: SignerKey,
}

/// A root in a bucket.
pub struct Place {
    pub bucket: Arc<dyn Bucket>,
    pub root: String,
}

impl Restore {
    /// Does it, or what is left of it.
    pub async fn carry_out(&self, ticket: &mut Ticket) -> Result<Outcome, Broken> {
        let result = match ticket.intent().cloned() {
            Some(intent) => {
                let held = self.desk.turn(self.target).await;
                self.put(ticket, intent, held).await
            }
            None => self.begin(ticket).await,
        };
        // The primary has done so, unless it was killed just before.
        self.clean(ticket).await;
        result
    }

    async fn begin(&self, ticket: &mut Ticket) -> Result<Outcome, Broken> {
        let (intent, held) = ticket.unless_stopped(self.prepare(ticket)).await??;
        ticket.intend(intent.clone()).await?;
        fault::point("restore.intended.after");
        self.put(ticket, intent, held).await
    }

    /// Steps 1 to 3.
    async fn prepare(&self, ticket: &Ticket) -> Result<(Intent, Option<Held>), Broken> {
        if self.in_place && self.origin != self.target {
            let message = format!("the archive is one of {}: restore it to a new mailbox", self.origin);
            return Err(failed("ArchiveOfAnotherMailbox", message));
        }
        ticket.tell("shipping what is not archived yet");
        if let Some(held) = self.desk.turn(self.origin).await {
            Box::pin(held.end()).await;
        }
        let (archive, assembled) = self.assembled(ticket).await?;
        fault::point("restore.assembled.after");
        let intent = self.intent(ticket, &archive, &assembled)?;
        ticket.tell("waiting for the mailbox's turn");
        let mut held = self.desk.turn(self.target).await;
        if let Some(held) = held.as_mut().filter(|_| self.in_place)
            && let Err(error) = Box::pin(held.ship()).await
        {
            // It is not lost, but kept with what is replaced.
            tracing::warn!(%error, "not everything was archived before a restore");
        }
        Ok((intent, held))
    }

    /// Step 2, until the bucket lets it.
    async fn assembled(&self, ticket: &Ticket) -> Result<(ArchiveId, Assembled), Broken> {
        let mut wait = FIRST_WAIT;
        loop {
            let error = match self.assemble(ticket).await {
                Ok(done) => return Ok(done),
                Err(Trouble::Broken(broken)) => return Err(broken),
                Err(Trouble::Archive(error)) => error,
            };
            if error.class() != Class::Transient {
                return Err(refused(&error));
            }
            ticket.tell(format!("waiting for the bucket: {error}"));
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    async fn assemble(&self, ticket: &Ticket) -> Result<(ArchiveId, Assembled), Trouble> {
        ticket.tell("looking for the archive");
        let (source, archive) = self.find().await?;
        let folder = self.fresh_folder(ticket).await?;
        self.has_room(&source, &archive).await?;
        ticket.tell(format!("assembling {archive}"));
        let target = self.at.map_or(Target::Latest, Target::Time);
        let mut progress = |it: crate::assemble::Progress| {
            ticket.progress(it.done, it.total);
            fault::point("restore.object.after");
        };
        let assembled = Box::pin(assemble(&source, &archive, target, &folder, &mut progress)).await?;
        Ok((archive, assembled))
    }

    /// An empty folder in staging.
    async fn fresh_folder(&self, ticket: &Ticket) -> Result<PathBuf, AssembleError> {
        let folder = self.staging.join(folder_of(&ticket.run().id));
        let made = folder.clone();
        let made = tokio::task::spawn_blocking(move || {
            durable::create_dir_all(&made)?;
            durable::remove_dir_all(&made)?;
            durable::create_dir(&made)
        });
        // A panic there leaves no folder, which the next step says.
        made.await.unwrap_or(Ok(()))?;
        Ok(folder)
    }

    /// A restore that fills the volume would keep mail out.
    async fn has_room(&self, source: &Source<'_>, archive: &ArchiveId) -> Result<(), Trouble> {
        let inventory = source.inventory(archive).await?;
        let largest =
            |names: &crate::assemble::Names| names.bases.iter().map(|base| base.entry.size).max().unwrap_or(0);
        // A base, and what is made of it.
        let needed = 2 * inventory.databases.values().map(largest).sum::<u64>();
        // A snapshot is what it is.
        let needed = inventory.snapshots.iter().map(|snapshot| snapshot.entry.size).fold(needed, u64::max);
        let free = rustix::fs::statvfs(&self.staging).map_or(u64::MAX, |fs| fs.f_bavail.saturating_mul(fs.f_frsize));
        if free >= needed.saturating_add(self.floor) {
            return Ok(());
        }
        let message = format!(
            "it takes some {} MB and the volume has {} MB free, of which {} MB stay for mail; make room, or grow the volume",
            needed >> 20,
            free >> 20,
            self.floor >> 20
        );
        Err(Trouble::Broken(failed("Failed", message)))
    }

    fn intent(&self, ticket: &Ticket, archive: &ArchiveId, assembled: &Assembled) -> Result<Intent, Broken> {
        let Some(reached) = assembled.mailbox.or(assembled.spool) else {
            let message = format!("{archive} has no mail up to that time; ask for a later one");
            return Err(failed("ArchiveNotFound", message));
        };
        let has = |name: &str| self.folder.join(name).exists();
        // A volume that is new has nothing to replace: then the keys come from the archive as well.
        let replaces = self.in_place && (has("keys.json") || has("mailbox.sqlite"));
        let mode = if replaces { AdoptMode::InPlace } else { AdoptMode::NewMailbox };
        if assembled.keys.is_none() {
            let message = format!("there are no keys of {} in the bucket: nobody could open it", archive.mailbox);
            return Err(failed("Damaged", message));
        }
        let adopt = Adopt {
            run: ticket.run().id.clone(),
            folder: folder_of(&ticket.run().id),
            mailbox: self.target,
            mode,
            commit: assembled.mailbox.map_or(0, |reached| reached.commit),
        };
        let notes = assembled.damages.iter().map(|damage| format!("not needed, but damaged: {damage}")).collect();
        let (reached_commit, reached_time) = (Some(reached.commit), Some(reached.time));
        Ok(Intent { adopt, archive: archive.to_string(), reached_commit, reached_time, notes })
    }

    /// Steps 5 and 6.
    async fn put(&self, ticket: &Ticket, intent: Intent, held: Option<Held>) -> Result<Outcome, Broken> {
        ticket.tell("putting it into its place");
        self.desk.flush().await;
        let adopted = self.adopt(ticket, &intent.adopt).await;
        fault::point("restore.adopted.after");
        if let Some(held) = held {
            ticket.tell("archiving what it is now");
            Box::pin(held.end()).await;
        }
        fault::point("restore.archived.after");
        let replaced = adopted?.replaced;
        let mut message = vec!["the owner's next login has every page checked with the key".to_owned()];
        message.extend(intent.notes);
        Ok(Outcome {
            message: message.join("; "),
            archive: Some(intent.archive),
            reached_commit: intent.reached_commit,
            reached_time: intent.reached_time,
            replaced,
        })
    }

    /// Asks until there is an answer: nobody knows what an attempt without one has done.
    async fn adopt(&self, ticket: &Ticket, adopt: &Adopt) -> Result<control::Adopted, Broken> {
        let mut wait = FIRST_WAIT;
        loop {
            let error = match self.client.adopt(adopt).await {
                Ok(adopted) => return Ok(adopted),
                Err(ClientError::Refused { status: 409, error }) => return Err(self.conflict(&error)),
                Err(ClientError::Refused { status: 404, error }) => {
                    return Err(failed("MailboxNotFound", format!("{error}; declare it first")));
                }
                Err(error) => error,
            };
            if !matches!(&error, ClientError::Away { .. } | ClientError::Refused { status: 429 | 503 | 507, .. }) {
                return Err(failed("Failed", error.to_string()));
            }
            ticket.tell(format!("waiting for the primary: {error}"));
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    fn conflict(&self, error: &str) -> Broken {
        if self.in_place {
            let message = format!("{error}; restore it to a new mailbox, and look there");
            failed("Failed", message)
        } else {
            let message = format!("{error}; restore it to a mailbox that has neither keys nor mail, or in place");
            failed("TargetNotEmpty", message)
        }
    }

    async fn clean(&self, ticket: &Ticket) {
        let folder = self.staging.join(folder_of(&ticket.run().id));
        let removed = tokio::task::spawn_blocking(move || durable::remove_dir_all(&folder)).await;
        if let Ok(Err(error)) = removed {
            tracing::warn!(%error, "what a restore made was not removed; the next start tries again");
        }
    }
}

/// Why nothing is assembled now.
enum Trouble {
    /// The run is at its end.
    Broken(Broken),
    /// It may be another time.
    Archive(AssembleError),
}

impl From<AssembleError> for Trouble {
    fn from(error: AssembleError) -> Self {
        Self::Archive(error)
    }
}

fn failed(reason: &'static str, message: String) -> Broken {
    Broken::Failed(Failure { reason, message })
}

/// What was asked for is not in the archive, or cannot be used.
fn refused(error: &AssembleError) -> Broken {
    let failure = Failure::from(error);
    let absent = matches!(error, AssembleError::Absent { .. } | AssembleError::Gone { .. });
    let reason = if absent { "ArchiveNotFound" } else { failure.reason };
    Broken::Failed(Failure { reason, ..failure })
}

#[cfg(test)]
mod tests;
