//! Snapshots: what is restored where bases and segments do not reach, before the window and inside gaps.
//!
//! A snapshot is whole, so it needs nothing else. The mail that waited is taken as of the moment that the snapshot has
//! everything of (`since`): what had left the spool by then is in the mailbox. Before the window there is no spool.

use std::path::Path;

use files::durable;
use jiff::Timestamp;
use model::backup::ArchiveId;

use super::apply::Refused;
use super::run::{CommitPlan, Work, blocking, planned};
use super::{AssembleError, Inventory, Progress, SnapshotName, Source, Target};
use crate::format::{DataFile, Manifest, SnapshotRecord};

/// Puts the newest snapshot of an archive into `folder`, as `mailbox.sqlite`, and says what it is; none where there is none.
pub async fn newest_snapshot(
    source: &Source<'_>,
    archive: &ArchiveId,
    folder: &Path,
) -> Result<Option<SnapshotRecord>, AssembleError> {
    let inventory = source.inventory(archive).await?;
    let Some(newest) = inventory.snapshots.iter().rfind(|snapshot| snapshot.note.is_some()) else { return Ok(None) };
    let mut progress = |_: Progress| {};
    Work::new(source, folder, &mut progress).lay_snapshot(archive, newest).await.map(Some)
}

impl Work<'_> {
    /// Puts the newest snapshot into the folder that serves the target better than `reached`, the commit that bases and
    /// segments come to. One that is damaged is left out where an older one does it too.
    pub(super) async fn snapshot(
        &mut self,
        inventory: &Inventory,
        archive: &ArchiveId,
        target: Target,
        reached: Option<u64>,
    ) -> Result<Option<SnapshotRecord>, AssembleError> {
        let mut all: Vec<&SnapshotName> =
            inventory.snapshots.iter().filter(|name| serves(name, target, reached)).collect();
        while let Some(name) = all.pop() {
            match self.lay_snapshot(archive, name).await {
                Ok(record) => return Ok(Some(record)),
                Err(AssembleError::Damaged { damage, .. }) if !all.is_empty() || reached.is_some() => {
                    self.damages.push(*damage);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    async fn lay_snapshot(
        &mut self,
        archive: &ArchiveId,
        name: &SnapshotName,
    ) -> Result<SnapshotRecord, AssembleError> {
        let record = self.source.objects.snapshot(archive, name).await?;
        self.total += record.size;
        let (partial, whole) = (self.folder.join("mailbox.sqlite.partial"), self.folder.join("mailbox.sqlite"));
        self.source.objects.plain(&name.entry, record.sha256, &partial).await?;
        blocking(name.entry.key.clone(), move || {
            durable::sync_file(&partial).and_then(|()| durable::rename(&partial, &whole)).map_err(Refused::Files)
        })
        .await?;
        self.advance(record.size);
        Ok(record)
    }

    /// What the spool is made from beside a snapshot; nothing where the archive does not reach back so far.
    pub(super) async fn waiting(
        &mut self,
        inventory: &Inventory,
        manifest: Option<&Manifest>,
        since: Timestamp,
    ) -> Result<Vec<(DataFile, CommitPlan)>, AssembleError> {
        let file = DataFile::Spool;
        let Some(names) = inventory.databases.get(&file) else { return Ok(Vec::new()) };
        match self.commit_of(file, names, manifest, Target::Time(since)).await {
            Ok((commit, _)) => Ok(vec![(file, CommitPlan { plan: planned(file, names, commit)?, commit })]),
            Err(AssembleError::Gone { .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

/// Where bases and segments reach, they are nearer to the target; only in a gap a snapshot may have more.
fn serves(snapshot: &SnapshotName, target: Target, reached: Option<u64>) -> bool {
    let fits = match target {
        Target::Latest => reached.is_none(),
        Target::Commit(commit) => reached.is_none() && snapshot.commit == commit,
        Target::Time(time) => snapshot.time <= time && reached.is_none_or(|reached| snapshot.commit > reached),
    };
    fits && snapshot.note.is_some()
}
