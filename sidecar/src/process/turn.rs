//! One mailbox's turn: ship what there is, ask for numbers where they are missing, fold in what is due.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use control::{Archived, Database};
use jiff::Timestamp;
use model::MailboxId;

use super::claim::{Claim, Claimed, claim};
use super::fold::{self, Grounds};
use super::snapshots::Wish;
use super::{Client, Tuning};
use crate::format::{DataFile, SnapshotRecord};
use crate::ship::{MailboxState, Met, Passed, Removed, Rules, ShipError, Shipper, Told};

/// What a turn needs.
pub struct Turn {
    pub mailbox: MailboxId,
    pub folder: PathBuf,
    pub shipper: Arc<Shipper>,
    pub client: Client,
    pub tuning: Tuning,
    pub state: Option<MailboxState>,
    pub told: Told,
    /// How long each WAL has had frames.
    pub ages: HashMap<DataFile, Duration>,
    pub tight: bool,
    pub outbox_full: bool,
    /// What is to be done about its snapshot.
    pub wish: Option<Wish>,
    /// What is kept, where it is to be looked through.
    pub rules: Option<Rules>,
    pub claim: Claim,
}

/// What came of it.
pub struct Ended {
    pub mailbox: MailboxId,
    /// As far as it came, also after an error.
    pub state: Option<MailboxState>,
    /// What was told of commits up to these needs no more keeping.
    pub forgotten: Vec<(Database, u64)>,
    /// See [`Told::unnumbered`].
    pub unnumbered: bool,
    pub result: Result<Done, ShipError>,
}

/// A turn that went well.
#[derive(Debug, Default)]
pub struct Done {
    pub archived: Vec<Archived>,
    pub uploaded: u64,
    pub wal_bytes: HashMap<DataFile, u64>,
    pub troubles: Vec<(&'static str, String)>,
    /// There is more to ship.
    pub more: bool,
    /// The primary did not let a WAL be folded in that is due.
    pub refused: bool,
    /// WALs that were folded in.
    pub folded: u64,
    /// What retention did, where it was due.
    pub retained: Option<Result<Removed, ShipError>>,
    /// What was done about a snapshot.
    pub snapshot: Option<Snapped>,
}

/// What a turn did about a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Snapped {
    /// It is part of the archive.
    Made(SnapshotRecord),
    /// The mailbox is locked; these got bases.
    Based(Vec<Database>),
    /// Nothing had changed.
    Unchanged,
    /// The archive is not the one that it was made for, or has not come to it: it counts for nothing.
    Lost,
}

impl Turn {
    /// Does it.
    pub async fn take(mut self) -> Ended {
        let result = self.work().await;
        let (mailbox, state, unnumbered) = (self.mailbox, self.state, self.told.unnumbered);
        let lines = |state: &MailboxState| {
            let lines = DataFile::ALL.into_iter().filter_map(|file| Some((file.database(), state.line(file)?.commit)));
            lines.collect()
        };
        let forgotten = state.as_ref().filter(|_| result.is_ok()).map_or_else(Vec::new, lines);
        Ended { mailbox, state, forgotten, unnumbered, result }
    }

    /// Ships and folds in; what is remembered stays here.
    pub async fn work(&mut self) -> Result<Done, ShipError> {
        if self.state.is_none() {
            let settled = self.shipper.settled(&self.folder, self.mailbox).await?;
            if let Some(state) = settled {
                let mut done = Done { archived: archived(&state), ..Done::default() };
                self.state = Some(state);
                self.keep(&mut done).await?;
                return Ok(done);
            }
            self.state = Some(self.shipper.load(self.mailbox).await?);
        }
        let mut done = Done::default();
        self.pass(&mut done).await?;
        let due: Vec<DataFile> = DataFile::ALL.into_iter().filter(|file| self.is_due(*file, &done)).collect();
        for file in due {
            let Some(state) = &mut self.state else { break };
            let folded = fold::fold(&self.client, &self.shipper, &self.folder, state, &mut self.told, file).await?;
            done.refused |= !folded;
            done.folded += u64::from(folded);
            self.pass(&mut done).await?;
        }
        self.keep(&mut done).await?;
        Ok(done)
    }

    /// What is due beside shipping.
    async fn keep(&mut self, done: &mut Done) -> Result<(), ShipError> {
        self.snapshot(done).await?;
        self.retain(done).await;
        Ok(())
    }

    /// Gives a snapshot its place in the archive, or does what there is to do instead.
    async fn snapshot(&mut self, done: &mut Done) -> Result<(), ShipError> {
        let (Some(wish), Some(state), false) = (&self.wish, &mut self.state, done.more) else { return Ok(()) };
        let mut owed = false;
        let snapped = match wish {
            Wish::Note(uploaded) if self.shipper.note_snapshot(state, uploaded).await? => {
                Snapped::Made(uploaded.record.clone())
            }
            Wish::Note(_) => Snapped::Lost,
            Wish::Unchanged => Snapped::Unchanged,
            Wish::Base => {
                owed = state.has_news();
                Snapped::Based(self.shipper.base_instead(&self.folder, state, &self.told).await?)
            }
        };
        if snapped != Snapped::Lost {
            state.snapshot = Met { at: Timestamp::now(), owed };
        }
        done.snapshot = Some(snapped);
        self.wish = None;
        Ok(())
    }

    /// Removes what is kept no longer. What is shipped does not depend on it.
    async fn retain(&mut self, done: &mut Done) {
        let (Some(rules), Some(state)) = (&self.rules, &mut self.state) else { return };
        let (bucket, root, ours) = (self.shipper.bucket.clone(), self.shipper.root.clone(), self.claim.clone());
        let owns = async || matches!(claim(bucket.as_ref(), &root, &ours).await, Ok(Claimed::Ours));
        let result = self.shipper.retain(state, rules, owns).await;
        if result.is_ok() {
            state.retained = rules.now;
        }
        done.retained = Some(result);
        self.rules = None;
    }

    async fn pass(&mut self, done: &mut Done) -> Result<(), ShipError> {
        let Some(state) = &mut self.state else { return Ok(()) };
        // Once as it is, once for each database whose numbers had to be asked for.
        for _ in 0..=DataFile::ALL.len() {
            let passed = self.shipper.pass(&self.folder, state, &self.told).await?;
            let unnumbered = passed.unnumbered;
            done.add(passed);
            let Some(file) = unnumbered else { break };
            if let Err(error) = fold::number(&self.client, self.mailbox, file, &mut self.told).await {
                tracing::debug!(mailbox = %self.mailbox, %error, "commits are counted from 0");
                self.told.unnumbered = true;
            }
        }
        Ok(())
    }

    fn is_due(&self, file: DataFile, done: &Done) -> bool {
        let grounds = Grounds {
            bytes: done.wal_bytes.get(&file).copied().unwrap_or(0),
            age: self.ages.get(&file).copied().unwrap_or_default(),
            tight: self.tight,
            outbox_full: self.outbox_full,
        };
        fold::wants(grounds, &self.tuning)
    }
}

impl Done {
    /// What was done before, in the same turn. Of what is archived only the last word counts.
    pub fn join(&mut self, before: Done) {
        self.uploaded += before.uploaded;
        self.folded += before.folded;
        self.more |= before.more;
        self.troubles.splice(0..0, before.troubles);
        self.retained = self.retained.take().or(before.retained);
        self.snapshot = self.snapshot.take().or(before.snapshot);
    }

    fn add(&mut self, passed: Passed) {
        self.archived = passed.archived;
        self.uploaded += passed.uploaded;
        self.wal_bytes.extend(passed.wal_bytes);
        self.troubles.extend(passed.troubles);
        self.more = passed.more;
    }
}

fn archived(state: &MailboxState) -> Vec<Archived> {
    let mailbox = state.archive.mailbox;
    let lines = DataFile::ALL.into_iter().filter_map(|file| Some((file.database(), state.line(file)?.commit)));
    let keys = (state.keys > 0).then_some((Database::Keys, state.keys));
    lines.chain(keys).map(|(database, commit)| Archived { mailbox, database, commit }).collect()
}

/// The oldest of the times at which commits were made that were told of.
pub fn since(commits: &[control::Commit]) -> Option<Timestamp> {
    commits.iter().map(|commit| commit.time).min()
}
