//! Everything of an archive, read and checked.

use jiff::Timestamp;
use model::backup::ArchiveId;
use serde::Serialize;

use super::chain::Chain;
use super::listing::{bytes_of, text, texts, tolerate};
use super::reach::{Restorable, restorable};
use crate::assemble::{AssembleError, Inventory, Names, Source};
use crate::bucket::Entry;
use crate::format::envelope::{FRONT, Front};
use crate::format::{Damage, DataFile, Fault, Hashing, Header, Manifest, Sha256, mailbox_prefix};

/// Read at a time.
const PIECE: u64 = 8 << 20;

/// How much is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Manifests and headers: that nothing is missing, moved, or made by somebody else.
    Headers,
    /// Every byte.
    Everything,
}

/// What an archive is worth. As JSON: `{"id", "objects", "bytes", "damages": [text], "restorable": [{"database", "firstCommit",
/// "firstTime", "lastCommit", "lastTime"}]}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verified {
    /// Which archive.
    #[serde(serialize_with = "text")]
    pub id: ArchiveId,
    /// Objects that were looked at.
    pub objects: usize,
    /// Their bytes.
    pub bytes: u64,
    /// What is wrong.
    #[serde(serialize_with = "texts")]
    pub damages: Vec<Damage>,
    /// What can be restored without what is damaged; with neither damage nor gap one range for each database.
    pub restorable: Vec<Restorable>,
}

/// Checks an archive. What is damaged is told in the answer; an error is a bucket that cannot be read at all.
pub async fn verify(source: &Source<'_>, archive: &ArchiveId, depth: Depth) -> Result<Verified, AssembleError> {
    let inventory = source.inventory(archive).await?;
    let mut work = Work { source, depth, damages: source.damages.clone() };
    let strangers = inventory.strangers.iter().map(|key| Fault::Foreign.of(key));
    work.damages.extend(strangers);
    let manifest = work.manifests(&inventory).await?;
    let mut ranges = Vec::new();
    for file in DataFile::ALL {
        let names = inventory.databases.get(&file).cloned().unwrap_or_default();
        let chain = work.headers(file, &names).await?;
        let (document, key) = manifest.as_ref().map_or((None, ""), |(document, key)| (Some(document), key.as_str()));
        work.damages.extend(chain.damages(document, key));
        let damaged = work.damages.iter().map(|damage| damage.object.as_str()).collect();
        ranges.extend(restorable(&chain, &damaged));
    }
    work.snapshots(archive, &inventory, manifest.as_ref()).await?;
    let (keys, damages) = source.keys(archive).await?;
    work.damages.extend(damages);
    if keys.is_none() {
        work.damages.push(Fault::Missing.of(format!("{}keys/", mailbox_prefix(source.root(), archive.mailbox))));
    }
    let named = |names: &Names| names.bases.len() + names.segments.len();
    let objects = inventory.databases.values().map(named).sum::<usize>() + inventory.manifests.len();
    let objects = objects + inventory.snapshots.len();
    Ok(Verified {
        id: archive.clone(),
        objects,
        bytes: bytes_of(&inventory),
        damages: work.damages,
        restorable: ranges,
    })
}

struct Work<'a> {
    source: &'a Source<'a>,
    depth: Depth,
    damages: Vec<Damage>,
}

impl Work<'_> {
    /// Reads every manifest; the newest one that is sound, with its key.
    async fn manifests(&mut self, inventory: &Inventory) -> Result<Option<(Manifest, String)>, AssembleError> {
        let mut newest: Option<(Manifest, String)> = None;
        let mut before: Option<(u64, Option<Sha256>)> = None;
        for (number, entry) in &inventory.manifests {
            let read = tolerate(self.source.objects.manifest_at(*number, entry).await, &mut self.damages)?;
            let hash = read.as_ref().map(|read| read.hash);
            if let Some((last, known)) = before {
                let missing = last + 1 != *number;
                let linked = read.as_ref().zip(known).is_none_or(|(read, hash)| read.document.previous == Some(hash));
                if missing || !linked {
                    let what = if missing { "one is missing between them" } else { "it is not the one it names" };
                    self.damages.push(Fault::Link(format!("manifest {last}: {what}")).of(&entry.key));
                }
            }
            before = Some((*number, hash));
            newest = read.map(|read| (read.document, entry.key.clone())).or(newest);
        }
        if inventory.manifests.is_empty() && !inventory.databases.is_empty() {
            let any = inventory.databases.values().find_map(|names| names.bases.first());
            let key = any.map(|base| base.entry.key.clone()).unwrap_or_default();
            self.damages.push(Fault::Link("any manifest: all of them are missing".to_owned()).of(key));
        }
        Ok(newest)
    }

    /// Reads every base and segment of a database.
    async fn headers(&mut self, file: DataFile, names: &Names) -> Result<Chain, AssembleError> {
        let mut chain = Chain { file, bases: Vec::new(), segments: Vec::new() };
        let bases = names.bases.iter().map(|base| &base.entry);
        for entry in bases.chain(names.segments.iter().map(|segment| &segment.entry)) {
            let Some(front) = tolerate(self.object(entry).await, &mut self.damages)? else { continue };
            match front.header {
                Header::Base(base) => chain.bases.push((entry.key.clone(), front.hash, base)),
                Header::Segment(segment) => chain.segments.push((entry.key.clone(), front.hash, segment)),
            }
        }
        Ok(chain)
    }

    async fn object(&self, entry: &Entry) -> Result<Front, AssembleError> {
        let (front, _) = self.source.objects.front(entry, FRONT).await?;
        if self.depth == Depth::Everything {
            let (_, payload) = front.header.payload();
            self.content(entry, front.payload_at, payload.sha256).await?;
        }
        Ok(front)
    }

    /// Checks the hash of an object from some byte on.
    async fn content(&self, entry: &Entry, from: u64, want: Sha256) -> Result<(), AssembleError> {
        let (mut hashing, mut at) = (Hashing::default(), from);
        while at < entry.size {
            let to = entry.size.min(at + PIECE);
            hashing.update(&self.source.objects.range(&entry.key, at, to).await?);
            at = to;
        }
        let have = hashing.finish();
        if have == want { Ok(()) } else { Err(Fault::Content { have, want }.of(&entry.key).into()) }
    }

    /// Checks snapshots against their notes, and that those that the manifest lists are there.
    async fn snapshots(
        &mut self,
        archive: &ArchiveId,
        inventory: &Inventory,
        manifest: Option<&(Manifest, String)>,
    ) -> Result<(), AssembleError> {
        // One without a note is on its way, or is missed by the manifest.
        let whole: Vec<_> = inventory.snapshots.iter().filter(|snapshot| snapshot.note.is_some()).collect();
        for snapshot in &whole {
            let record = tolerate(self.source.objects.snapshot(archive, snapshot).await, &mut self.damages)?;
            if let Some(record) = record.filter(|_| self.depth == Depth::Everything) {
                let read = self.content(&snapshot.entry, 0, record.sha256).await;
                tolerate(read, &mut self.damages)?;
            }
        }
        let Some((manifest, key)) = manifest else { return Ok(()) };
        let there = |commit, time: Timestamp| {
            whole.iter().any(|known| (known.commit, known.time.as_second()) == (commit, time.as_second()))
        };
        let missing = manifest.snapshots.iter().filter(|record| !there(record.commit, record.time));
        let what = missing.map(|record| format!("the snapshot of commit {}, which is missing", record.commit));
        self.damages.extend(what.map(|what| Fault::Link(what).of(key)));
        Ok(())
    }
}
