//! Retention: removing what no restorable point needs.
//!
//! * A point inside the window is made from the last base that is not behind it, so of each database the newest base at or
//!   before the window's beginning stays, and with it every segment of its life and of those after it. All before it goes.
//! * Of snapshots those stay that [`kept`] says, whichever timeline they are in, and those inside a gap of the window.
//! * An earlier timeline goes as a whole, but for its snapshots, once a later one reaches back to the beginning of the window.
//! * The newest manifest stays, and says first what will not be there any more: what is removed was named by nobody then. A
//!   crash in between leaves objects that the next pass finds by their names. A snapshot's note goes before its file.
//! * What nobody names is left alone for a day: it may be on its way into a manifest.
//! * Who owns the archives is asked again before every batch.
//!
//! Keys and owner markers are not touched here.

use std::collections::BTreeSet;

use files::fault;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use model::backup::{ArchiveId, Retention};

use super::{MailboxState, ShipError, Shipper, kept};
use crate::assemble::{Inventory, Names, SnapshotName, Source, timelines};
use crate::bucket::{Entry, list_all};
use crate::format::{BaseRef, DataFile, Gap, Name, Reason, SnapshotRecord, timeline_prefix};

/// Objects that are removed by one request.
const BATCH: usize = 500;
/// Objects of snapshots that no manifest names are given so long.
const UNNAMED: SignedDuration = SignedDuration::from_hours(24);

/// What is kept, and from when on.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The present.
    pub now: Timestamp,
    /// Every moment from here on can be restored.
    pub window: Timestamp,
    /// Which snapshots are kept.
    pub retention: Retention,
    /// In which zone days are counted.
    pub zone: TimeZone,
    /// Say what would go, and remove nothing.
    pub dry: bool,
}

impl Rules {
    /// Those of a policy at that moment.
    pub fn at(now: Timestamp, retention: Retention, zone: TimeZone, dry: bool) -> Self {
        let days = SignedDuration::from_hours(24 * i64::from(retention.window_days));
        Self { now, window: now.checked_sub(days).unwrap_or(Timestamp::UNIX_EPOCH), retention, zone, dry }
    }
}

/// What retention did, or would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removed {
    /// Objects.
    pub objects: usize,
    /// Their bytes.
    pub bytes: u64,
    /// It broke off because the archives are somebody else's now.
    pub disowned: bool,
}

/// What is to go.
#[derive(Default)]
struct Plan {
    gone: Vec<Entry>,
    /// What the next manifest has.
    bases: Vec<BaseRef>,
    snapshots: Vec<SnapshotRecord>,
}

/// A snapshot in the bucket.
struct Held {
    name: SnapshotName,
    /// False where somebody still names it who cannot be told.
    may_go: bool,
}

impl Shipper {
    /// Removes what is needed for nothing that is kept. `owns` is asked before every batch whether the archives are still
    /// ours.
    pub async fn retain<F: Future<Output = bool>>(
        &self,
        state: &mut MailboxState,
        rules: &Rules,
        owns: impl Fn() -> F,
    ) -> Result<Removed, ShipError> {
        let Plan { gone, bases, snapshots } = self.plan(state, rules).await?;
        let mut removed = Removed::default();
        if rules.dry || gone.is_empty() {
            removed.count(&gone);
            return Ok(removed);
        }
        fault::point("retain.planned.after");
        if (&bases, &snapshots) != (&state.manifest.bases, &state.manifest.snapshots) {
            let less = |manifest: &mut crate::format::Manifest| {
                manifest.bases.clone_from(&bases);
                manifest.snapshots.clone_from(&snapshots);
            };
            self.manifest(state, Reason::Retention, less).await?;
        }
        fault::point("retain.named.after");
        for batch in gone.chunks(BATCH) {
            if !owns().await {
                removed.disowned = true;
                break;
            }
            let keys: Vec<String> = batch.iter().map(|entry| entry.key.clone()).collect();
            self.bucket.delete(&keys).await?;
            fault::point("retain.removed.after");
            removed.count(batch);
        }
        Ok(removed)
    }

    async fn plan(&self, state: &mut MailboxState, rules: &Rules) -> Result<Plan, ShipError> {
        let bucket = self.bucket.as_ref();
        let (mailbox, newest) = (state.archive.mailbox, state.archive.timeline);
        let mut plan = Plan::default();
        let mut held = Vec::new();
        let present = self.present(state).await?;
        let reaches =
            state.manifest.bases.iter().map(|base| base.time).min().is_some_and(|begins| begins <= rules.window);
        for timeline in timelines(bucket, &self.root, mailbox).await?.into_iter().filter(|it| *it < newest) {
            let all = list_all(bucket, &timeline_prefix(&self.root, mailbox, timeline)).await?;
            let (snapshots, rest): (Vec<Entry>, Vec<Entry>) =
                all.into_iter().partition(|entry| entry.key.contains("/snapshots/"));
            plan.gone.extend(rest.into_iter().filter(|_| reaches));
            let Inventory { snapshots, notes, .. } = Inventory::of(&self.root, snapshots);
            plan.gone.extend(notes.into_iter().filter(|note| reaches && is_old(note, rules)));
            for name in snapshots {
                match name.note {
                    Some(_) => held.push(Held { name, may_go: reaches }),
                    None => plan.gone.extend(Some(name.entry).filter(|file| reaches && is_old(file, rules))),
                }
            }
        }
        if let Some(inventory) = present {
            plan.gone.extend(removable(&inventory, state, rules.window));
            let named: BTreeSet<(Timestamp, u64)> =
                state.manifest.snapshots.iter().map(|record| (record.time, record.commit)).collect();
            plan.gone.extend(inventory.notes.into_iter().filter(|note| is_old(note, rules)));
            for name in inventory.snapshots {
                if named.contains(&(name.time, name.commit)) {
                    held.push(Held { name, may_go: true });
                } else if is_old(&name.entry, rules) {
                    plan.gone.extend(name.note.into_iter().chain([name.entry]));
                }
            }
        }
        plan.thin(held, state, rules);
        let goes = |key: Option<String>| plan.gone.iter().any(|entry| Some(&entry.key) == key.as_ref());
        plan.bases = state.manifest.bases.iter().filter(|base| !goes(self.key_of(state, base))).cloned().collect();
        Ok(plan)
    }

    /// What there is of the present timeline, and its newest manifest: what is remembered may be older.
    async fn present(&self, state: &mut MailboxState) -> Result<Option<Inventory>, ShipError> {
        if state.manifest.number == 0 {
            return Ok(None);
        }
        let source = Source::trusting(self.bucket.as_ref(), &self.root, vec![self.signer.public()]);
        let inventory = source.inventory(&state.archive).await?;
        if inventory.manifests.keys().next_back().is_some_and(|last| *last > state.manifest.number)
            && let Some(read) = source.objects.manifest(&inventory).await?
        {
            (state.manifest, state.manifest_hash) = (read.document, Some(read.hash));
        }
        Ok(Some(inventory))
    }

    fn key_of(&self, state: &MailboxState, base: &BaseRef) -> Option<String> {
        let file = DataFile::ALL.into_iter().find(|file| file.database() == base.database)?;
        let ArchiveId { mailbox, timeline, .. } = state.archive;
        let (epoch, frame, commit) = (base.epoch, base.frame, base.commit);
        Some(Name::Base { mailbox, timeline, file, epoch, frame, commit }.key(&self.root))
    }
}

impl Plan {
    /// Leaves the snapshots that are kept.
    fn thin(&mut self, mut held: Vec<Held>, state: &MailboxState, rules: &Rules) {
        held.sort_by_key(|held| (held.name.time, held.name.commit));
        let times: Vec<Timestamp> = held.iter().map(|held| held.name.time).collect();
        let stays = kept(&times, &rules.retention, &rules.zone, rules.now);
        let mut dropped = BTreeSet::new();
        for (held, stays) in held.into_iter().zip(stays) {
            if held.may_go && !stays && !state.manifest.gaps.iter().any(|gap| is_in(gap, held.name.time, rules)) {
                dropped.insert((held.name.time, held.name.commit));
                self.gone.extend(held.name.note.into_iter().chain([held.name.entry]));
            }
        }
        let named = state.manifest.snapshots.iter();
        self.snapshots = named.filter(|record| !dropped.contains(&(record.time, record.commit))).cloned().collect();
    }
}

impl Removed {
    fn count(&mut self, entries: &[Entry]) {
        self.objects += entries.len();
        self.bytes += entries.iter().map(|entry| entry.size).sum::<u64>();
    }
}

fn is_old(entry: &Entry, rules: &Rules) -> bool {
    rules.now.duration_since(entry.modified) > UNNAMED
}

/// True if a snapshot is the only way to a point of the window: it was made inside a gap.
fn is_in(gap: &Gap, time: Timestamp, rules: &Rules) -> bool {
    let lasts = gap.to.is_none_or(|to| to >= rules.window && time <= to);
    gap.database == DataFile::Mailbox.database() && lasts && gap.from.is_none_or(|from| from <= time)
}

/// What of the present timeline no point from `window` on needs.
fn removable(inventory: &Inventory, state: &MailboxState, window: Timestamp) -> Vec<Entry> {
    let mut gone = Vec::new();
    for file in DataFile::ALL {
        let Some(names) = inventory.databases.get(&file) else { continue };
        let bases = state.manifest.bases.iter().filter(|base| base.database == file.database() && base.time <= window);
        let Some(first) = bases.max_by_key(|base| (base.epoch, base.frame)) else { continue };
        gone.extend(before(names, first.epoch, first.frame));
    }
    let manifests = inventory.manifests.iter().filter(|(number, _)| **number < state.manifest.number);
    gone.extend(manifests.map(|(_, entry)| entry).filter(|entry| entry.modified < window).cloned());
    gone
}

/// Bases before that one, and segments of lives before it.
fn before(names: &Names, epoch: u64, frame: u32) -> impl Iterator<Item = Entry> + '_ {
    let bases = names.bases.iter().filter(move |base| (base.epoch, base.frame) < (epoch, frame));
    let segments = names.segments.iter().filter(move |segment| segment.epoch < epoch);
    bases.map(|base| base.entry.clone()).chain(segments.map(|segment| segment.entry.clone()))
}
