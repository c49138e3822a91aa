//! The work itself: what is asked for, found, fetched, checked, laid down.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use files::durable;
use jiff::Timestamp;
use model::backup::ArchiveId;

use super::apply::{self, Refused};
use super::fetch::io;
use super::{AssembleError, BaseName, Gone, Inventory, Names, Plan, PlanFault, SegmentName, Source, plan};
use crate::bucket::Entry;
use crate::format::envelope::FRONT;
use crate::format::{
    BaseHeader, Damage, DataFile, Fault, Gap, Header, Manifest, SegmentHeader, Sha256, SnapshotRecord,
};

/// What to restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// All there is.
    Latest,
    /// The mailbox right after this commit.
    Commit(u64),
    /// Everything up to this moment.
    Time(Timestamp),
}

/// A point that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// The last commit.
    pub commit: u64,
    /// Its time.
    pub time: Timestamp,
}

/// How far the work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of objects that are done.
    pub done: u64,
    /// Bytes of all of them.
    pub total: u64,
}

/// What is in the folder now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Assembled {
    /// `mailbox.sqlite`; absent where nobody ever logged in.
    pub mailbox: Option<Reached>,
    /// The snapshot that it is, where bases and segments do not reach.
    pub snapshot: Option<SnapshotRecord>,
    /// `spool.sqlite`; absent where no mail ever waited.
    pub spool: Option<Reached>,
    /// Version of `keys.json`; absent where there are no keys in the bucket.
    pub keys: Option<u64>,
    /// What is wrong in the archive and was not needed. Somebody has to look at it.
    pub damages: Vec<Damage>,
}

/// Puts the files of a mailbox into `folder`, which exists. `progress` is told after each object.
pub async fn assemble(
    source: &Source<'_>,
    archive: &ArchiveId,
    target: Target,
    folder: &Path,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Assembled, AssembleError> {
    let inventory = source.inventory(archive).await?;
    let mut work = Work::new(source, folder, progress);
    work.damages.extend(source.damages.iter().cloned());
    let manifest = work.manifest(&inventory).await?;
    let chosen = match work.choose(&inventory, manifest.as_ref(), target).await {
        Err(error) if !a_snapshot_may_help(&error) => return Err(error),
        chosen => chosen,
    };
    let plans = chosen.as_deref().unwrap_or_default();
    let reached = plans.iter().find(|(file, _)| *file == DataFile::Mailbox).map(|(_, plan)| plan.commit);
    let mut assembled = Assembled::default();
    let plans = match work.snapshot(&inventory, archive, target, reached).await? {
        None => chosen?,
        Some(record) => {
            let since = record.since;
            assembled.mailbox = Some(Reached { commit: record.commit, time: record.time });
            assembled.snapshot = Some(record);
            work.waiting(&inventory, manifest.as_ref(), since).await?
        }
    };
    work.total += plans.iter().map(|(_, plan)| plan.size()).sum::<u64>();
    for (file, commit_plan) in plans {
        let reached = work.database(file, &inventory, commit_plan).await?;
        match file {
            DataFile::Mailbox => assembled.mailbox = Some(reached),
            DataFile::Spool => assembled.spool = Some(reached),
        }
    }
    assembled.keys = work.keys(archive).await?;
    assembled.damages = work.damages;
    Ok(assembled)
}

/// True if bases and segments begin too late, or lack what was asked for of the mailbox.
fn a_snapshot_may_help(error: &AssembleError) -> bool {
    let AssembleError::Gone { database, of } = error else { return false };
    matches!(of, Gone::Before { .. }) || *database == DataFile::Mailbox.database()
}

pub(super) struct Work<'a> {
    pub(super) source: &'a Source<'a>,
    pub(super) folder: &'a Path,
    progress: &'a mut (dyn FnMut(Progress) + Send),
    pub(super) damages: Vec<Damage>,
    done: u64,
    pub(super) total: u64,
}

/// A plan, and the commit that is wanted.
pub(super) struct CommitPlan {
    pub(super) plan: Plan,
    pub(super) commit: u64,
}

impl CommitPlan {
    fn size(&self) -> u64 {
        self.plan.size()
    }
}

impl<'a> Work<'a> {
    pub(super) fn new(
        source: &'a Source<'a>,
        folder: &'a Path,
        progress: &'a mut (dyn FnMut(Progress) + Send),
    ) -> Self {
        Self { source, folder, progress, damages: Vec::new(), done: 0, total: 0 }
    }

    /// The newest manifest; what is wrong with it is kept for the caller, for nothing of the mail is in it.
    async fn manifest(&mut self, inventory: &Inventory) -> Result<Option<Manifest>, AssembleError> {
        let numbers: Vec<u64> = inventory.manifests.keys().copied().collect();
        for pair in numbers.windows(2) {
            if let [before, after] = pair
                && before + 1 != *after
            {
                let fault = Fault::Link(format!("manifest {before}: those between them are missing"));
                self.damages.push(fault.of(&inventory.manifests[after].key));
            }
        }
        let manifest = match self.source.objects.manifest(inventory).await {
            Ok(manifest) => manifest.map(|read| read.document),
            Err(AssembleError::Damaged { damage, .. }) => {
                self.damages.push(*damage);
                None
            }
            Err(error) => return Err(error),
        };
        self.damages.extend(manifest.iter().flat_map(|manifest| cut_short(manifest, inventory)));
        Ok(manifest)
    }

    /// What is needed of each database.
    async fn choose(
        &mut self,
        inventory: &Inventory,
        manifest: Option<&Manifest>,
        target: Target,
    ) -> Result<Vec<(DataFile, CommitPlan)>, AssembleError> {
        let mut plans = Vec::new();
        let mut refused = None;
        let mut spool = target;
        if let Target::Commit(_) = target
            && !inventory.databases.contains_key(&DataFile::Mailbox)
        {
            let database = DataFile::Mailbox.database();
            return Err(AssembleError::Gone { database, of: Gone::Beyond { commit: 0 } });
        }
        for file in DataFile::ALL {
            let Some(names) = inventory.databases.get(&file) else { continue };
            let target = if file == DataFile::Spool { spool } else { target };
            match self.commit_of(file, names, manifest, target).await {
                Ok((commit, time)) => {
                    if let (DataFile::Mailbox, Target::Commit(_)) = (file, target) {
                        spool = Target::Time(time);
                    }
                    plans.push((file, CommitPlan { plan: self.planned(file, names, commit).await?, commit }));
                }
                // It began later than what is asked for; the other one may not have.
                Err(error @ AssembleError::Gone { of: Gone::Before { .. }, .. })
                    if !matches!(target, Target::Commit(_)) =>
                {
                    refused = refused.or(Some(error));
                }
                Err(error) => return Err(error),
            }
        }
        match refused {
            Some(error) if plans.is_empty() => Err(error),
            _ => Ok(plans),
        }
    }

    /// The plan for a commit. Where an object is missing on the way, the error says how far it can be restored without.
    async fn planned(&mut self, file: DataFile, names: &Names, commit: u64) -> Result<Plan, AssembleError> {
        let damage = match planned(file, names, commit) {
            Err(AssembleError::Damaged { damage, .. }) => damage,
            other => return other,
        };
        let mut behind = damage.object.clone();
        let reachable = loop {
            let before = names.segments.iter().take_while(|segment| segment.entry.key != behind).last();
            let Some(before) = before.map(|segment| segment.commit) else { break None };
            match planned(file, names, before) {
                Ok(_) => break Some(before),
                Err(AssembleError::Damaged { damage, .. }) if damage.object != behind => behind = damage.object,
                Err(_) => break None,
            }
        };
        let restorable = match reachable {
            Some(commit) => self.time_of(file, names, commit).await.ok().map(|time| Reached { commit, time }),
            None => None,
        };
        Err(AssembleError::Damaged { damage, restorable })
    }

    /// The commit that a target means for a database, and its time; the time is looked up only where it is needed.
    pub(super) async fn commit_of(
        &mut self,
        file: DataFile,
        names: &Names,
        manifest: Option<&Manifest>,
        target: Target,
    ) -> Result<(u64, Timestamp), AssembleError> {
        let database = file.database();
        let gone = |of| AssembleError::Gone { database, of };
        match target {
            Target::Latest => {
                let last = names.last_commit().ok_or_else(|| gone(Gone::Before { commit: 0, time: None }))?;
                Ok((gap_at(manifest, file, last).map_or(last, |gap| gap.after), Timestamp::MAX))
            }
            Target::Commit(commit) => match gap_at(manifest, file, commit) {
                Some(gap) => Err(gone(Gone::InGap(Box::new(gap.clone())))),
                None => Ok((commit, self.time_of(file, names, commit).await?)),
            },
            Target::Time(time) => {
                let first =
                    manifest.iter().flat_map(|manifest| &manifest.bases).filter(|base| base.database == database);
                let first = first.min_by_key(|base| base.commit);
                let before =
                    Gone::Before { commit: first.map_or(0, |base| base.commit), time: first.map(|base| base.time) };
                let found = self.last_until(names, manifest, time).await?;
                // Frames that the first base holds already are there too, but nothing can be made of them before it.
                let found = found.filter(|commit| names.bases.iter().any(|base| base.commit <= *commit));
                let found = found.map(|commit| gap_at(manifest, file, commit).map_or(commit, |gap| gap.after));
                found.map(|commit| (commit, time)).ok_or_else(|| gone(before))
            }
        }
    }

    /// The last commit that is not later than `time`. Times never go back along an archive, so few headers are read. One that
    /// cannot be read is passed over: if what it has is needed, that will be found out.
    async fn last_until(
        &mut self,
        names: &Names,
        manifest: Option<&Manifest>,
        time: Timestamp,
    ) -> Result<Option<u64>, AssembleError> {
        let mut segments: Vec<&SegmentName> = names.segments.iter().collect();
        let (mut low, mut high, mut found) = (0, segments.len(), None);
        while low < high {
            let middle = usize::midpoint(low, high);
            let Some(Header::Segment(segment)) = self.readable(&segments[middle].entry).await? else {
                segments.remove(middle);
                high -= 1;
                continue;
            };
            match segment.commits.iter().rfind(|point| point.time <= time) {
                Some(point) => (low, found) = (middle + 1, Some(point.commit)),
                None => high = middle,
            }
        }
        for base in names.bases.iter().rev().take_while(|base| Some(base.commit) > found) {
            let known = manifest.iter().flat_map(|manifest| &manifest.bases);
            let mut known =
                known.filter(|known| (known.epoch, known.frame, known.commit) == (base.epoch, base.frame, base.commit));
            let since = match known.next() {
                Some(known) => known.time,
                None => match self.readable(&base.entry).await? {
                    Some(Header::Base(header)) => header.time,
                    _ => continue,
                },
            };
            if since <= time {
                return Ok(Some(base.commit));
            }
        }
        Ok(found)
    }

    /// What an object says of itself; none where it is damaged, which is kept for the caller.
    async fn readable(&mut self, entry: &Entry) -> Result<Option<Header>, AssembleError> {
        match self.source.objects.front(entry, FRONT).await {
            Ok((front, _)) => Ok(Some(front.header)),
            Err(AssembleError::Damaged { damage, .. }) => {
                self.damages.push(*damage);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn time_of(&mut self, file: DataFile, names: &Names, commit: u64) -> Result<Timestamp, AssembleError> {
        let plan = planned(file, names, commit)?;
        let entry = plan.segments.last().map_or(&plan.base.entry, |segment| &segment.entry);
        Ok(match self.source.objects.front(entry, FRONT).await?.0.header {
            Header::Base(base) => base.time,
            Header::Segment(segment) => {
                let point = segment.commits.iter().find(|point| point.commit == commit);
                let point = point.ok_or_else(|| Fault::Link("the commits before it".to_owned()).of(&entry.key))?;
                point.time
            }
        })
    }

    /// Makes one database. A base that is damaged is left out where an older one does it too.
    async fn database(
        &mut self,
        file: DataFile,
        inventory: &Inventory,
        mut wanted: CommitPlan,
    ) -> Result<Reached, AssembleError> {
        let mut names = inventory.databases.get(&file).cloned().unwrap_or_default();
        loop {
            let error = match self.attempt(file, &wanted).await {
                Err(AssembleError::Damaged { damage, restorable }) => (damage, restorable),
                other => return other,
            };
            let (damage, restorable) = error;
            let base = wanted.plan.base.entry.key.clone();
            names.bases.retain(|known| known.entry.key != base);
            match plan(&names, wanted.commit) {
                Ok(other) if damage.object == base => {
                    self.damages.push(*damage);
                    wanted.plan = other;
                }
                _ => return Err(AssembleError::Damaged { damage, restorable }),
            }
        }
    }

    async fn attempt(&mut self, file: DataFile, wanted: &CommitPlan) -> Result<Reached, AssembleError> {
        let name = file.database().name();
        let partial = self.folder.join(format!("{name}.sqlite.partial"));
        let payload = self.folder.join(format!("{name}.object.partial"));
        let base = self.base(&wanted.plan.base, &payload, &partial).await?;
        let mut chain = Chain::new(base);
        for segment in &wanted.plan.segments {
            self.segment(segment, &mut chain, wanted.commit, &payload, &partial).await.map_err(
                |error| match error {
                    AssembleError::Damaged { damage, .. } => {
                        AssembleError::Damaged { damage, restorable: chain.restorable() }
                    }
                    error => error,
                },
            )?;
        }
        chain.whole(wanted)?;
        let length = u64::from(chain.pages) * u64::from(chain.base.page_size);
        let (from, to) = (partial, self.folder.join(format!("{name}.sqlite")));
        let key = wanted.plan.base.entry.key.clone();
        blocking(key, move || {
            apply::finish(&from, length)?;
            durable::rename(&from, &to).map_err(Refused::Files)
        })
        .await?;
        let _ = tokio::fs::remove_file(&payload).await;
        Ok(chain.at)
    }

    async fn base(
        &mut self,
        name: &BaseName,
        payload: &Path,
        partial: &Path,
    ) -> Result<(BaseHeader, Sha256), AssembleError> {
        let front = self.source.objects.payload(&name.entry, payload).await?;
        let Header::Base(header) = front.header else {
            return Err(Fault::Place("a segment".to_owned()).of(&name.entry.key).into());
        };
        let (whole, from, to) = (header.clone(), payload.to_owned(), partial.to_owned());
        blocking(name.entry.key.clone(), move || apply::lay(&whole, &from, &to)).await?;
        self.advance(name.entry.size);
        Ok((header, front.hash))
    }

    async fn segment(
        &mut self,
        name: &SegmentName,
        chain: &mut Chain,
        commit: u64,
        payload: &Path,
        partial: &Path,
    ) -> Result<(), AssembleError> {
        let front = self.source.objects.payload(&name.entry, payload).await?;
        let Header::Segment(header) = front.header else {
            return Err(Fault::Place("a base".to_owned()).of(&name.entry.key).into());
        };
        chain.follows(&header).map_err(|fault| fault.of(&name.entry.key))?;
        let until = header.commits.iter().rfind(|point| point.commit <= commit);
        let frame = until.map_or(0, |point| point.frame);
        let (whole, from, to): (_, PathBuf, PathBuf) = (header.clone(), payload.to_owned(), partial.to_owned());
        let pages = blocking(name.entry.key.clone(), move || apply::apply(&whole, &from, frame, &to)).await?;
        chain.advance(&header, front.hash, &name.entry.key, commit, pages);
        self.advance(name.entry.size);
        Ok(())
    }

    pub(super) fn advance(&mut self, bytes: u64) {
        self.done += bytes;
        (self.progress)(Progress { done: self.done, total: self.total.max(self.done) });
    }

    /// The newest keys that can be read.
    async fn keys(&mut self, archive: &ArchiveId) -> Result<Option<u64>, AssembleError> {
        let (keys, damages) = self.source.keys(archive).await?;
        self.damages.extend(damages);
        let Some((version, bytes)) = keys else { return Ok(None) };
        let path = self.folder.join("keys.json");
        let written = tokio::task::spawn_blocking(move || durable::write(&path, &bytes)).await;
        written.map_err(|error| io("write", self.folder)(error.into()))??;
        Ok(Some(version))
    }
}

/// What was checked of one database so far.
struct Chain {
    base: BaseHeader,
    base_hash: Sha256,
    last: Option<(SegmentHeader, Sha256, String)>,
    /// Hashes among which the base's predecessor must be.
    seen: BTreeSet<Sha256>,
    at: Reached,
    /// Frames of the base's life that were applied.
    frame: u32,
    pages: u32,
}

impl Chain {
    fn new((base, base_hash): (BaseHeader, Sha256)) -> Self {
        let (at, pages) = (Reached { commit: base.commit, time: base.time }, base.pages as u32);
        Self { base, base_hash, last: None, seen: BTreeSet::new(), at, frame: 0, pages }
    }

    /// Checks that a segment is the next one.
    fn follows(&self, next: &SegmentHeader) -> Result<(), Fault> {
        let link = |what: &str| Err(Fault::Link(what.to_owned()));
        let first = next.commits.first().map_or(0, |point| point.commit);
        if next.page_size != self.base.page_size {
            return Err(Fault::Header("pages of another size than its base".to_owned()));
        }
        if next.epoch == self.base.epoch && self.base.frame > 0 {
            let there = next.commits.iter().find(|point| point.frame == self.base.frame);
            if next.salts != self.base.salts || there.is_some_and(|point| point.commit != self.base.commit) {
                return link("the base of its life");
            }
        }
        match &self.last {
            None => {
                let from_base = self.base.previous.is_some() || next.previous == self.base_hash;
                let numbered = self.base.frame > 0 || first == self.base.commit + 1;
                if from_base && numbered { Ok(()) } else { link("its base") }
            }
            Some((before, hash, key)) => {
                let goes_on = next.epoch == before.epoch
                    && (next.salts, next.checksum_before) == (before.salts, before.checksum_after);
                let numbered = before.commits.last().is_some_and(|point| point.commit + 1 == first);
                let linked = next.previous == *hash && (next.epoch != before.epoch || goes_on);
                if linked && numbered { Ok(()) } else { link(key) }
            }
        }
    }

    fn advance(&mut self, next: &SegmentHeader, hash: Sha256, key: &str, commit: u64, pages: Option<u32>) {
        self.seen.extend([next.previous, hash]);
        if let Some(point) = next.commits.iter().rfind(|point| point.commit <= commit) {
            if next.epoch == self.base.epoch {
                self.frame = point.frame;
            }
            if point.commit >= self.base.commit {
                self.at = Reached { commit: point.commit, time: point.time };
            }
        }
        self.pages = pages.unwrap_or(self.pages);
        self.last = Some((next.clone(), hash, key.to_owned()));
    }

    /// Up to where the database could be restored if this were all.
    fn restorable(&self) -> Option<Reached> {
        let moved_on = self.last.as_ref().is_some_and(|(last, ..)| last.epoch > self.base.epoch);
        (moved_on || self.frame >= self.base.frame).then_some(self.at)
    }

    /// Checks that all that was wanted is there.
    fn whole(&self, wanted: &CommitPlan) -> Result<(), AssembleError> {
        let fault = if self.at.commit != wanted.commit || self.restorable().is_none() {
            Fault::Link(format!("commit {}, which is in no segment", wanted.commit))
        } else if self.base.previous.is_some_and(|previous| self.last.is_some() && !self.seen.contains(&previous)) {
            Fault::Link("any segment of its life".to_owned())
        } else {
            return Ok(());
        };
        Err(fault.of(&wanted.plan.base.entry.key).into())
    }
}

/// The gap that a commit lies in.
fn gap_at(manifest: Option<&Manifest>, file: DataFile, commit: u64) -> Option<&Gap> {
    let mut gaps = manifest?.gaps.iter().filter(|gap| gap.database == file.database() && gap.after < commit);
    gaps.find(|gap| gap.until.is_none_or(|until| commit < until))
}

pub(super) fn planned(file: DataFile, names: &Names, commit: u64) -> Result<Plan, AssembleError> {
    let database = file.database();
    plan(names, commit).map_err(|fault| match fault {
        PlanFault::Before(first) => {
            let of = Gone::Before { commit: first.unwrap_or(0), time: None };
            AssembleError::Gone { database, of }
        }
        PlanFault::Beyond(commit) => AssembleError::Gone { database, of: Gone::Beyond { commit } },
        PlanFault::Missing(key) => Fault::Link("any object: those before it are missing".to_owned()).of(key).into(),
    })
}

/// Bases and heads that the manifest has, and the bucket has not.
fn cut_short<'a>(manifest: &'a Manifest, inventory: &'a Inventory) -> impl Iterator<Item = Damage> + 'a {
    let key = inventory.manifests.values().next_back().map_or("", |entry| entry.key.as_str());
    manifest.heads.iter().filter_map(move |head| {
        let file = DataFile::ALL.into_iter().find(|file| file.database() == head.database)?;
        let names = inventory.databases.get(&file);
        let there =
            names.is_some_and(|names| names.segments.iter().any(|s| (s.epoch, s.last) >= (head.epoch, head.frame)));
        let what = format!("the {} segment with commit {}, which is missing", head.database.name(), head.commit);
        (!there && head.frame > 0).then(|| Fault::Link(what).of(key))
    })
}

pub(super) async fn blocking<T: Send + 'static>(
    object: String,
    work: impl FnOnce() -> Result<T, Refused> + Send + 'static,
) -> Result<T, AssembleError> {
    let done = tokio::task::spawn_blocking(work).await;
    match done.map_err(|error| io("write", Path::new(&object))(error.into()))? {
        Ok(value) => Ok(value),
        Err(Refused::Fault(fault)) => Err(fault.of(object).into()),
        Err(Refused::Files(error)) => Err(error.into()),
    }
}
