//! A purge: all of a mailbox goes, from the volume and from every bucket, and what has gone is written down.
//!
//! | step | then | a crash before the next leaves |
//! |---|---|---|
//! | 1 | nobody works on the mailbox any more: no turn, no snapshot, no rehearsal | nothing: whoever is wanted to purge lets nobody begin |
//! | 2 | PURGE: the primary removes its files, the keys first | what is gone is gone; a repeat is answered the same again |
//! | 3 | in each bucket: a page of its objects is listed, written down, removed, until a listing is empty | a page that is written down and still there: it is listed again, and counts once |
//! | 4 | the report is written down, what was known of the archive is forgotten | the same report, once more |
//!
//! * The bindings know the mailbox as purged before anybody is told, so a step that is repeated finds nobody who came back.
//! * Only what lies below the mailbox's own prefix is removed, and only where the owner marker says that the archives are ours.
//! * A bucket that is away is waited for, up to the deadline, and holds up no other. Objects that it refuses to remove are named.
//!
//! ```text
//! <data>/sidecar/purged/<id>/<policy>.000001.json   a page: {"format": 1, "bucket", "objects": [{"key", "size"}]}
//! <data>/sidecar/purged/<id>.json                   {"format": 1, "run", "time", "purged": <model::backup::PurgeReport>}
//! ```

mod proofs;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use control::Purged;
use files::{FilesError, fault};
use model::backup::{PurgeReport, PurgedBucket};
use model::{Class, MailboxId};

use super::board::{Failure, refusal};
use super::claim::{Claim, Claimed, claim};
use super::run::Sidecar;
use super::runs::{Broken, Desk, Outcome, Ticket};
use super::{Client, ClientError};
use crate::bucket::{BucketError, Entry, Kept};
use crate::format::mailbox_prefix;
use crate::ship::{ShipError, Shipper, States};

pub use proofs::Proofs;

/// Wait before the bucket or the primary is asked again; doubles.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The longest of these waits.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Objects that are still there and are named.
const NAMED: usize = 20;

/// One purge.
pub struct Purge {
    pub mailbox: MailboxId,
    /// Every bucket there is.
    pub places: Vec<Place>,
    pub claim: Claim,
    pub desk: Desk,
    pub client: Client,
    pub proofs: Proofs,
    pub states: States,
}

/// A bucket, and the policy that names it.
pub struct Place {
    pub policy: String,
    pub shipper: Arc<Shipper>,
}

/// What is still in a bucket, and why.
#[derive(Default)]
struct Left {
    objects: Vec<Entry>,
    why: Option<String>,
    /// Older versions that are gone.
    versions: u64,
    /// Why nobody knows whether there are any.
    unsure: Option<String>,
}

impl Purge {
    /// Does it, or what is left of it.
    pub async fn carry_out(&self, ticket: &mut Ticket) -> Result<Outcome, Broken> {
        ticket.tell("waiting until nobody works on it");
        ticket.unless_stopped(self.desk.quiet(self.mailbox)).await?;
        fault::point("purge.quiet.after");
        ticket.tell("removing it from the volume");
        let volume = ticket.unless_stopped(self.leave_volume(ticket)).await??;
        fault::point("purge.volume.after");
        let buckets = ticket.unless_stopped(Box::pin(self.leave_buckets(ticket))).await?;
        let report = self.report(volume, buckets).await?;
        let run = ticket.run().id.clone();
        let (proofs, closed) = (self.proofs.clone(), report.clone());
        apart(move || proofs.close(&run, &closed)).await?;
        fault::point("purge.proved.after");
        let (states, mailbox) = (self.states.clone(), self.mailbox);
        apart(move || states.remove(mailbox)).await?;
        ticket.removed(report.clone());
        outcome(&report)
    }

    /// Step 2: asks until there is an answer.
    async fn leave_volume(&self, ticket: &Ticket) -> Result<Purged, Broken> {
        let asked = control::Purge { run: ticket.run().id.clone(), mailbox: self.mailbox };
        let mut wait = FIRST_WAIT;
        loop {
            let error = match self.client.purge(&asked).await {
                Ok(purged) => return Ok(purged),
                Err(error) => error,
            };
            if !matches!(&error, ClientError::Away { .. } | ClientError::Refused { status: 409 | 429 | 503 | 507, .. })
            {
                return Err(Broken::Failed(Failure { reason: "Failed", message: error.to_string() }));
            }
            ticket.tell(format!("waiting for the primary: {error}"));
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// Step 3. Buckets that are away come again when the others are done.
    async fn leave_buckets(&self, ticket: &Ticket) -> BTreeMap<&str, Left> {
        let (mut done, mut wait) = (BTreeMap::new(), FIRST_WAIT);
        let mut open: Vec<&Place> = self.places.iter().collect();
        loop {
            let mut away = Vec::new();
            for place in open {
                ticket.tell(format!("removing it from {}", place.shipper.bucket.describe()));
                match self.sweep(place).await {
                    Ok(left) => drop(done.insert(place.policy.as_str(), left)),
                    Err(ShipError::Bucket(error)) if error.class() == Class::Transient => away.push((place, error)),
                    Err(error) => {
                        let why = Some(Failure::from(&error).message);
                        done.insert(place.policy.as_str(), Left { why, ..Left::default() });
                    }
                }
                fault::point("purge.swept.after");
            }
            let Some((_, error)) = away.first() else { return done };
            ticket.tell(format!("waiting for the bucket: {error}"));
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
            open = away.into_iter().map(|(place, _)| place).collect();
        }
    }

    /// Removes what is there, until a listing has nothing, or nothing but what is refused.
    async fn sweep(&self, place: &Place) -> Result<Left, ShipError> {
        loop {
            let (mut left, mut found, mut after) = (Left::default(), 0, None);
            loop {
                if let Some(why) = self.is_not_ours(place).await? {
                    return Ok(Left { why: Some(why), ..Left::default() });
                }
                let prefix = mailbox_prefix(&place.shipper.root, self.mailbox);
                let page = place.shipper.bucket.list(&prefix, after.as_deref()).await?;
                let Some(last) = page.entries.last() else { break };
                after = Some(last.key.clone());
                found += page.entries.len();
                self.note(place, &page.entries).await?;
                fault::point("purge.listed.after");
                remove(place, page.entries, &mut left).await?;
                fault::point("purge.removed.after");
                if !page.more {
                    break;
                }
            }
            if found == left.objects.len() {
                self.forget_versions(place, &mut left).await?;
                return Ok(left);
            }
        }
    }

    /// What is removed may be kept as an older version.
    async fn forget_versions(&self, place: &Place, left: &mut Left) -> Result<(), ShipError> {
        let prefix = mailbox_prefix(&place.shipper.root, self.mailbox);
        let Kept { removed, left: kept, why } = place.shipper.bucket.forget(&prefix).await?;
        left.versions += removed;
        if kept.is_empty() {
            left.unsure = why;
            return Ok(());
        }
        left.why = why;
        let known: Vec<String> = left.objects.iter().map(|entry| entry.key.clone()).collect();
        left.objects.extend(kept.into_iter().filter(|entry| !known.contains(&entry.key)));
        Ok(())
    }

    /// Why nothing may be removed there.
    async fn is_not_ours(&self, place: &Place) -> Result<Option<String>, ShipError> {
        let claimed = claim(place.shipper.bucket.as_ref(), &place.shipper.root, &self.claim).await;
        let claimed = claimed.map_err(|error| match error {
            crate::assemble::AssembleError::Bucket(error) => ShipError::Bucket(error),
            error => ShipError::Archive(error),
        })?;
        Ok((claimed != Claimed::Ours).then(|| refusal(&claimed).1))
    }

    async fn note(&self, place: &Place, entries: &[Entry]) -> Result<(), FilesError> {
        let (proofs, mailbox, policy) = (self.proofs.clone(), self.mailbox, place.policy.clone());
        let (bucket, entries) = (place.shipper.bucket.describe(), entries.to_vec());
        apart(move || proofs.note(mailbox, &policy, &bucket, &entries)).await
    }

    async fn report(&self, volume: Purged, mut left: BTreeMap<&str, Left>) -> Result<PurgeReport, FilesError> {
        let (mut buckets, mut elsewhere) = (Vec::new(), self.elsewhere().await?);
        for place in &self.places {
            let Left { objects, why, versions, unsure } = left.remove(place.policy.as_str()).unwrap_or_default();
            let (proofs, mailbox, policy) = (self.proofs.clone(), self.mailbox, place.policy.clone());
            let mut gone = apart(move || proofs.noted(mailbox, &policy)).await?;
            gone.retain(|key, _| !objects.iter().any(|left| left.key == *key));
            if let Some(why) = unsure {
                let bucket = place.shipper.bucket.describe();
                elsewhere.push(format!("older versions, if {bucket} keeps such: it does not tell ({why})"));
            }
            buckets.push(PurgedBucket {
                policy: place.policy.clone(),
                bucket: place.shipper.bucket.describe(),
                objects: gone.len() as u64,
                bytes: gone.values().sum(),
                versions,
                remaining: objects.len() as u64,
                keys: objects.into_iter().take(NAMED).map(|left| left.key).collect(),
                failure: why,
            });
        }
        let Purged { files, bytes, copies } = volume;
        Ok(PurgeReport { mailbox: self.mailbox, files, bytes, buckets, copies, elsewhere })
    }

    /// Where its archive is known to be, and no policy leads.
    async fn elsewhere(&self) -> Result<Vec<String>, FilesError> {
        let (states, proofs, mailbox) = (self.states.clone(), self.proofs.clone(), self.mailbox);
        let (state, before) = apart(move || Ok((states.load(mailbox), proofs.closed(mailbox)))).await?;
        let mut found = before.map(|report| report.elsewhere).unwrap_or_default();
        match state {
            Ok(Some(state)) if !self.places.iter().any(|it| it.shipper.destination() == state.destination) => {
                found.push(format!("{}, which no policy in force names", state.destination));
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%mailbox, %error, "nobody knows where its archive was"),
        }
        found.sort();
        found.dedup();
        Ok(found)
    }
}

/// Works on files on a thread that may block. A thread that panics has failed: nothing is removed on the word of a proof that
/// may not be there.
async fn apart<T, F>(work: F) -> Result<T, FilesError>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, FilesError> + Send + 'static,
{
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        let source = std::io::Error::other(error);
        Err(FilesError::Io { action: "work on", path: "sidecar/purged".into(), source })
    })
}

impl From<FilesError> for Broken {
    fn from(error: FilesError) -> Self {
        Self::Failed(Failure::from(&error))
    }
}

/// Removes these; those that the bucket refuses to remove are left.
async fn remove(place: &Place, entries: Vec<Entry>, left: &mut Left) -> Result<(), BucketError> {
    let keys: Vec<String> = entries.iter().map(|entry| entry.key.clone()).collect();
    match place.shipper.bucket.delete(&keys).await {
        Err(error) if is_refused(&error) => {}
        done => return done,
    }
    // Some of them may be locked and others not.
    for entry in entries {
        match place.shipper.bucket.delete(std::slice::from_ref(&entry.key)).await {
            Ok(()) => {}
            Err(error) if is_refused(&error) => {
                left.why = Some(error.hint().map_or_else(|| error.to_string(), |hint| format!("{error}; {hint}")));
                left.objects.push(entry);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Asking again changes nothing.
fn is_refused(error: &BucketError) -> bool {
    error.class() == Class::Blocked
}

/// What is told of it.
fn outcome(report: &PurgeReport) -> Result<Outcome, Broken> {
    let stuck: Vec<String> = report.buckets.iter().filter_map(stuck).collect();
    if !stuck.is_empty() {
        let message = format!(
            "{} files are gone from the volume, its keys with them; but {}; when that is mended, or a lock has run out, purge it again",
            report.files,
            stuck.join("; ")
        );
        return Err(Broken::Failed(Failure { reason: "ObjectsRemain", message }));
    }
    let objects: u64 = report.buckets.iter().map(|bucket| bucket.objects).sum();
    let mut message = vec![format!("{} files and {objects} objects are gone", report.files)];
    if !report.copies.is_empty() {
        let copies: Vec<String> = report.copies.iter().map(ToString::to_string).collect();
        message.push(format!("restored copies with the same keys are in {}: purge those as well", copies.join(", ")));
    }
    message.extend(report.elsewhere.iter().map(|place| format!("not reached: {place}")));
    Ok(Outcome { message: message.join("; "), ..Outcome::default() })
}

fn stuck(bucket: &PurgedBucket) -> Option<String> {
    let why = bucket.failure.as_deref();
    match (bucket.keys.first(), why) {
        (Some(first), why) => {
            let (count, name, why) = (bucket.remaining, &bucket.bucket, why.unwrap_or("it refuses"));
            Some(format!("{count} objects remain in {name}, the first is {first}: {why}"))
        }
        (None, Some(why)) => Some(format!("{} could not be looked through: {why}", bucket.bucket)),
        (None, None) => None,
    }
}

impl Sidecar {
    /// What a purge of that mailbox needs.
    pub fn purge(&self, mailbox: MailboxId, claim: &Claim) -> Purge {
        let place = |(name, it): (&String, &super::run::Destination)| Place {
            policy: name.clone(),
            shipper: it.shipper.clone(),
        };
        Purge {
            mailbox,
            places: self.destinations.iter().map(place).collect(),
            claim: claim.clone(),
            desk: self.runs.desk.clone(),
            client: self.client.clone(),
            proofs: self.proofs.clone(),
            states: self.states.clone(),
        }
    }

    /// Lets those purges go on on whose mailboxes nobody works any more.
    pub fn let_purge(&mut self) {
        for (mailbox, back) in std::mem::take(&mut self.runs.quiets) {
            if self.snapshots.wish(mailbox).is_some() {
                // It waits for a turn that does not come.
                self.snapshots.forget(mailbox);
            }
            let making = self.snapshots.running() == Some(mailbox);
            if making || self.agenda.has_turn(mailbox) || self.rehearsals.is_at(mailbox) {
                self.runs.quiets.push((mailbox, back));
                continue;
            }
            self.agenda.forget(mailbox);
            self.snapshots.forget(mailbox);
            self.keeper.forget(mailbox);
            self.forget_rehearsals(mailbox);
            self.known.remove(&mailbox);
            self.troubles.forget(mailbox);
            // Whoever does not wait any more was stopped.
            let _ = back.send(());
        }
    }
}
