//! An archive at a glance.

use jiff::Timestamp;
use model::backup::ArchiveId;
use serde::Serialize;

use crate::assemble::{AssembleError, Inventory, Names, Source};
use crate::format::envelope::FRONT;
use crate::format::{Damage, DataFile, Gap, Header, Manifest};

/// An archive. As JSON: `{"id", "firstTime", "lastTime", "commits", "gaps", "snapshots", "bytes", "damages"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    /// `<serverId>/<mailboxId>/t<timeline>`
    #[serde(serialize_with = "text")]
    pub id: ArchiveId,
    /// The first moment that can be restored.
    pub first_time: Option<Timestamp>,
    /// The last one.
    pub last_time: Option<Timestamp>,
    /// Commits of the mailbox since the timeline began; of the spool where nobody ever logged in.
    pub commits: u64,
    /// What was lost in between.
    pub gaps: Vec<Gap>,
    /// How many snapshots there are.
    pub snapshots: usize,
    /// Bytes of all objects.
    pub bytes: u64,
    /// What could not be read on the way; `verify` looks at the rest.
    #[serde(serialize_with = "texts")]
    pub damages: Vec<Damage>,
}

/// An archive, looked at.
pub async fn listed(source: &Source<'_>, id: ArchiveId) -> Result<Listed, AssembleError> {
    let inventory = source.inventory(&id).await?;
    let mut damages = Vec::new();
    let manifest = tolerate(source.objects.manifest(&inventory).await, &mut damages)?.flatten();
    let manifest = manifest.map(|read| read.document);
    let mut last_time = None;
    for names in inventory.databases.values() {
        let time = tolerate(last_moment(source, names).await, &mut damages)?.flatten();
        last_time = last_time.max(time);
    }
    let first_time = match first_of(manifest.as_ref()) {
        Some(time) => Some(time),
        None => tolerate(first_moment(source, &inventory).await, &mut damages)?.flatten(),
    };
    let commits = DataFile::ALL.iter().find_map(|file| inventory.databases.get(file)?.last_commit());
    Ok(Listed {
        id,
        first_time,
        last_time: last_time.max(first_time),
        commits: commits.unwrap_or_default(),
        gaps: manifest.map(|manifest| manifest.gaps).unwrap_or_default(),
        snapshots: inventory.snapshots.len(),
        bytes: bytes_of(&inventory),
        damages,
    })
}

/// What was read, or the damage on the list.
pub(super) fn tolerate<T>(
    read: Result<T, AssembleError>,
    damages: &mut Vec<Damage>,
) -> Result<Option<T>, AssembleError> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(AssembleError::Damaged { damage, .. }) => {
            damages.push(*damage);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn first_of(manifest: Option<&Manifest>) -> Option<Timestamp> {
    manifest?.bases.iter().map(|base| base.time).min()
}

/// The time of the oldest base, where no manifest tells it.
async fn first_moment(source: &Source<'_>, inventory: &Inventory) -> Result<Option<Timestamp>, AssembleError> {
    let mut first = None;
    for names in inventory.databases.values() {
        let Some(base) = names.bases.first() else { continue };
        if let Header::Base(header) = source.objects.front(&base.entry, FRONT).await?.0.header {
            first = Some(first.map_or(header.time, |first: Timestamp| first.min(header.time)));
        }
    }
    Ok(first)
}

/// The time of the last commit.
async fn last_moment(source: &Source<'_>, names: &Names) -> Result<Option<Timestamp>, AssembleError> {
    let base = names.bases.last();
    let Some(segment) = names.segments.last() else {
        let Some(base) = base else { return Ok(None) };
        return Ok(match source.objects.front(&base.entry, FRONT).await?.0.header {
            Header::Base(header) => Some(header.time),
            Header::Segment(_) => None,
        });
    };
    Ok(match source.objects.front(&segment.entry, FRONT).await?.0.header {
        Header::Segment(header) => header.commits.last().map(|point| point.time),
        Header::Base(_) => None,
    })
}

pub(super) fn bytes_of(inventory: &Inventory) -> u64 {
    let bases = inventory.databases.values().flat_map(|names| &names.bases).map(|base| base.entry.size);
    let segments = inventory.databases.values().flat_map(|names| &names.segments).map(|segment| segment.entry.size);
    let snapshots = inventory.snapshots.iter().map(|snapshot| snapshot.entry.size);
    bases.chain(segments).chain(snapshots).chain(inventory.manifests.values().map(|entry| entry.size)).sum()
}

pub(super) fn text<S: serde::Serializer>(value: &impl std::fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

pub(super) fn texts<S: serde::Serializer>(values: &[Damage], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().map(ToString::to_string))
}
