//! Whose archives are in a bucket, and whose signatures count.

use bytes::Bytes;
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use model::backup::ArchiveId;
use model::{MailboxId, ServerId};
use serde::Deserialize;

use super::fetch::Objects;
use super::{AssembleError, Inventory};
use crate::bucket::{Bucket, BucketError, Entry, list_all};
use crate::format::{Damage, Fault, Name, Owner, SignerKey, mailbox_prefix, timeline_prefix};

/// Behind every key that has a certain first part: no key has this character.
const BEHIND: char = '~';

/// One root in a bucket: all archives of one MailServer.
#[derive(Debug)]
pub struct Source<'a> {
    pub(crate) objects: Objects<'a>,
    /// Markers that cannot be used.
    pub damages: Vec<Damage>,
    /// Markers that can, by shard and term.
    pub owners: Vec<Owner>,
}

impl<'a> Source<'a> {
    /// Trusts the keys of the owner markers below the root. Each marker is signed with the key it names, so this shows that
    /// one writer made everything, not who it is: whoever knows the key from elsewhere says so, see [`Source::trusting`].
    pub async fn open(bucket: &'a dyn Bucket, root: &str) -> Result<Self, AssembleError> {
        let mut source = Self::trusting(bucket, root, Vec::new());
        for entry in list_all(bucket, &format!("{root}/shard-")).await? {
            match source.marker(&entry.key, entry.size).await {
                Ok(owner) => {
                    source.objects.signers.push(owner.signer);
                    source.owners.push(owner);
                }
                Err(AssembleError::Damaged { damage, .. }) => source.damages.push(*damage),
                Err(error) => return Err(error),
            }
        }
        source.owners.sort_by_key(|owner| (owner.shard, owner.term));
        if source.objects.signers.is_empty() {
            return Err(AssembleError::Unowned { root: root.to_owned(), bucket: bucket.describe() });
        }
        Ok(source)
    }

    /// Trusts these keys and no others.
    pub fn trusting(bucket: &'a dyn Bucket, root: &str, signers: Vec<SignerKey>) -> Self {
        Self { objects: Objects { bucket, root: root.to_owned(), signers }, damages: Vec::new(), owners: Vec::new() }
    }

    /// The root.
    pub fn root(&self) -> &str {
        &self.objects.root
    }

    /// Everything of one timeline.
    pub async fn inventory(&self, archive: &ArchiveId) -> Result<Inventory, AssembleError> {
        let prefix = timeline_prefix(self.root(), archive.mailbox, archive.timeline);
        let inventory = Inventory::of(self.root(), list_all(self.objects.bucket, &prefix).await?);
        let ours = self.root().rsplit('.').next() == Some(&archive.server.0);
        if inventory.is_empty() || !ours {
            let bucket = self.objects.bucket.describe();
            return Err(AssembleError::Absent { archive: archive.clone(), bucket });
        }
        Ok(inventory)
    }

    /// The newest `keys.json` of an archive that is what its name says, with its version; and what is wrong with newer ones.
    /// Where a mailbox had several keysets, one after the other, those of the archive's own count.
    pub async fn keys(&self, archive: &ArchiveId) -> Result<(Option<(u64, Bytes)>, Vec<Damage>), AssembleError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Keys {
            version: u64,
            keyset_id: Option<String>,
        }
        let prefix = format!("{}keys/", mailbox_prefix(self.root(), archive.mailbox));
        let entries = list_all(self.objects.bucket, &prefix).await?;
        let mut known: Vec<(u64, Option<String>, Entry)> = Vec::new();
        for entry in entries {
            match Name::of_key(self.root(), &entry.key) {
                Some(Name::Keys { version, .. }) => known.push((version, None, entry)),
                Some(Name::OtherKeys { keyset, version, .. }) => {
                    known.push((version, Some(HEXLOWER.encode(&keyset)), entry));
                }
                _ => {}
            }
        }
        let several = known.iter().any(|(_, keyset, _)| keyset.is_some());
        let wanted = if several { self.keyset(archive).await? } else { None };
        known.retain(|(_, keyset, _)| keyset.is_none() || *keyset == wanted);
        known.sort_by(|a, b| (b.0, &b.1).cmp(&(a.0, &a.1)));
        let mut damages = Vec::new();
        for (version, named, entry) in known {
            let bytes = self.objects.whole(&entry).await?;
            let fault = match serde_json::from_slice::<Keys>(&bytes) {
                Ok(keys) if keys.version != version => Fault::Place(format!("version {}", keys.version)),
                Ok(keys) if named.is_some() && keys.keyset_id != named => {
                    Fault::Place(format!("keyset {}", keys.keyset_id.unwrap_or_default()))
                }
                Ok(keys) if wanted.is_some() && keys.keyset_id != wanted => continue,
                Ok(_) => return Ok((Some((version, bytes)), damages)),
                Err(error) => Fault::Header(error.to_string()),
            };
            damages.push(fault.of(&entry.key));
        }
        Ok((None, damages))
    }

    /// Which keyset opens an archive, where its newest manifest says so.
    async fn keyset(&self, archive: &ArchiveId) -> Result<Option<String>, AssembleError> {
        let inventory = self.inventory(archive).await?;
        match self.objects.manifest(&inventory).await {
            Ok(manifest) => Ok(manifest.and_then(|manifest| manifest.document.keyset)),
            // It is told by whoever looks at manifests.
            Err(AssembleError::Damaged { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn marker(&self, key: &str, size: u64) -> Result<Owner, AssembleError> {
        let read = self.objects.document::<Owner>(key, size).await?;
        let owner = read.document;
        let name = Name::Owner { shard: owner.shard, term: owner.term };
        let fault = if read.signer != owner.signer {
            Some(Fault::Signer(read.signer))
        } else if name.key(self.root()) != key || self.root().rsplit('.').next() != Some(&owner.server.0) {
            Some(Fault::Place(name.to_string()))
        } else {
            None
        };
        fault.map_or(Ok(owner), |fault| Err(fault.of(key).into()))
    }
}

/// Every root in a bucket: `<namespace>.<server>.<serverId>`.
pub async fn roots(bucket: &dyn Bucket) -> Result<Vec<String>, AssembleError> {
    let parts = parts(bucket, "").await?;
    Ok(parts.into_iter().filter(|part| part.split('.').count() == 3).collect())
}

/// Every archive below a root, in order of mailbox and timeline.
pub async fn archives(bucket: &dyn Bucket, root: &str) -> Result<Vec<ArchiveId>, AssembleError> {
    let server = ServerId(root.rsplit('.').next().unwrap_or_default().to_owned());
    let mut found = Vec::new();
    for part in parts(bucket, &format!("{root}/")).await? {
        let Ok(mailbox) = part.parse::<MailboxId>() else { continue };
        let timelines = timelines(bucket, root, mailbox).await?;
        found.extend(timelines.into_iter().map(|timeline| ArchiveId { server: server.clone(), mailbox, timeline }));
    }
    Ok(found)
}

/// The timelines of a mailbox, in order.
pub async fn timelines(bucket: &dyn Bucket, root: &str, mailbox: MailboxId) -> Result<Vec<u32>, AssembleError> {
    let parts = parts(bucket, &mailbox_prefix(root, mailbox)).await?;
    Ok(parts.iter().filter_map(|part| part.strip_prefix('t')?.parse().ok()).collect())
}

/// What stands between `prefix` and the next slash in keys, each once; what lies behind that slash is skipped, not read.
async fn parts(bucket: &dyn Bucket, prefix: &str) -> Result<Vec<String>, BucketError> {
    let mut parts: Vec<String> = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = bucket.list(prefix, after.as_deref()).await?;
        for entry in &page.entries {
            let rest = entry.key.strip_prefix(prefix).unwrap_or_default();
            if let Some((part, _)) = rest.split_once('/')
                && parts.last().is_none_or(|last| last != part)
            {
                parts.push(part.to_owned());
            }
        }
        let Some(last) = page.entries.last().filter(|_| page.more) else { return Ok(parts) };
        let whole = parts.last().map(|part| format!("{prefix}{part}/"));
        let skip = whole.filter(|whole| last.key.starts_with(whole)).map(|whole| format!("{whole}{BEHIND}"));
        after = Some(skip.unwrap_or_else(|| last.key.clone()));
    }
}

impl Source<'_> {
    /// The first time for which an archive has anything, by its bases and snapshots; for choosing among timelines.
    pub async fn begins(&self, archive: &ArchiveId) -> Result<Option<Timestamp>, AssembleError> {
        let inventory = self.inventory(archive).await?;
        let manifest = self.objects.manifest(&inventory).await?;
        let bases = manifest.and_then(|manifest| manifest.document.bases.iter().map(|base| base.time).min());
        let snapshots = inventory.snapshots.iter().filter(|snapshot| snapshot.note.is_some());
        Ok(bases.into_iter().chain(snapshots.map(|snapshot| snapshot.time).min()).min())
    }
}
