//! Finding out where an archive stands: what is remembered, then what the bucket and the outbox have beyond it.

use std::collections::VecDeque;
use std::path::Path;

use control::WalPosition;
use model::MailboxId;
use model::backup::ArchiveId;

use super::adopted::adopted;
use super::pass::{blocking, keys_of};
use super::step::behind;
use super::{Course, LastBase, Line, MailboxState, ShipError, Shipper, decide, look};
use crate::assemble::{AssembleError, Inventory, Source, timelines};
use crate::bucket::Entry;
use crate::format::envelope::FRONT;
use crate::format::{DataFile, Header, Manifest, SegmentHeader, Sha256, timeline_prefix};

impl Shipper {
    /// Where the archive of a mailbox stands. What cannot be continued gets a new timeline.
    pub async fn resume(
        &self,
        mailbox: MailboxId,
        remembered: Option<MailboxState>,
    ) -> Result<MailboxState, ShipError> {
        let here =
            remembered.filter(|state| state.destination == self.destination() && state.archive.server == self.server);
        let mut state = match here {
            Some(state) if state.term == self.term || !self.is_overtaken(&state).await? => state,
            _ => self.found(mailbox).await?,
        };
        state.term = self.term;
        for file in DataFile::ALL {
            self.catch_up(&mut state, file).await?;
        }
        Ok(state)
    }

    /// True if another owner began a later timeline than the one that is remembered: what goes on in this one would be taken
    /// for older than that.
    async fn is_overtaken(&self, state: &MailboxState) -> Result<bool, ShipError> {
        let mailbox = state.archive.mailbox;
        let last = timelines(self.bucket.as_ref(), &self.root, mailbox).await?.into_iter().max();
        Ok(last > Some(state.archive.timeline))
    }

    /// What is remembered of a mailbox, if all of it is archived: found out without the bucket.
    pub async fn settled(&self, folder: &Path, mailbox: MailboxId) -> Result<Option<MailboxState>, ShipError> {
        let (states, outbox, folder) = (self.states.clone(), self.outbox.clone(), folder.to_owned());
        let (destination, server, term) = (self.destination(), self.server.clone(), self.term);
        blocking(move || {
            let here = |state: &MailboxState| {
                state.destination == destination && state.archive.server == server && state.term == term
            };
            let Some(state) = states.load(mailbox)?.filter(here) else { return Ok(None) };
            let mut whole =
                outbox.tails(mailbox)?.is_empty() && keys_of(&folder)?.is_none_or(|keys| keys.version <= state.keys);
            whole &= adopted(&folder)?.is_none_or(|last| state.manifest.restored.as_ref() == Some(&last.asked.run));
            for file in DataFile::ALL {
                whole &= is_settled(&folder, file, state.line(file))?;
            }
            Ok(whole.then_some(state))
        })
        .await
    }

    /// What the bucket says of a mailbox that is not remembered.
    async fn found(&self, mailbox: MailboxId) -> Result<MailboxState, ShipError> {
        let bucket = self.bucket.as_ref();
        let of = |timeline| ArchiveId { server: self.server.clone(), mailbox, timeline };
        let Some(last) = timelines(bucket, &self.root, mailbox).await?.into_iter().max() else {
            return Ok(MailboxState::new(self.destination(), of(1), None));
        };
        let empty = MailboxState::new(self.destination(), of(last), None);
        let source = Source::trusting(bucket, &self.root, vec![self.signer.public()]);
        let inventory = source.inventory(&of(last)).await?;
        match source.objects.manifest(&inventory).await {
            Ok(Some(read)) => {
                let (manifest, manifest_hash) = (read.document, Some(read.hash));
                let mut state = MailboxState { manifest, manifest_hash, ..empty };
                for file in DataFile::ALL {
                    *state.line_mut(file) = self.last_of(&source, &inventory, &state.manifest, file).await?;
                }
                Ok(state)
            }
            // A base without a manifest: its upload was the last thing that happened.
            Ok(None) => Ok(empty),
            // Somebody else wrote it, before this volume was made.
            Err(AssembleError::Damaged { damage, .. }) => {
                tracing::warn!(%mailbox, timeline = last, %damage, "the archive is not ours to continue: a new timeline begins");
                Ok(empty.forked())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The line behind the last segment that is in the bucket.
    async fn last_of(
        &self,
        source: &Source<'_>,
        inventory: &Inventory,
        manifest: &Manifest,
        file: DataFile,
    ) -> Result<Option<Line>, ShipError> {
        let segments = inventory.databases.get(&file).map(|names| names.segments.as_slice()).unwrap_or_default();
        let base = manifest.bases.iter().rfind(|base| base.database == file.database());
        let (Some(last), Some(base)) = (segments.iter().max_by_key(|s| (s.epoch, s.last)), base) else {
            return Ok(None);
        };
        let (front, _) = source.objects.front(&last.entry, FRONT).await?;
        let Header::Segment(segment) = front.header else { return Ok(None) };
        let mut line = Line {
            epoch: segment.epoch,
            at: WalPosition { salts: segment.salts, frame: segment.last, checksum: segment.checksum_after },
            page_size: segment.page_size,
            commit: 0,
            time: base.time,
            head: front.hash,
            base: LastBase { time: base.time, size: base.size, shipped: 0 },
        };
        line.advance(&segment, front.hash);
        Ok(Some(line))
    }

    /// Follows the chain through what the bucket and the outbox have behind the line.
    async fn catch_up(&self, state: &mut MailboxState, file: DataFile) -> Result<(), ShipError> {
        let archive = state.archive.clone();
        let Some(line) = state.line_mut(file).as_mut() else { return Ok(()) };
        let prefix = timeline_prefix(&self.root, archive.mailbox, archive.timeline);
        let prefix = format!("{prefix}{}/wal/", file.database().name());
        let after = format!("{prefix}{:010}/{:010}", line.epoch, line.at.frame + 1);
        let mut known: VecDeque<(SegmentHeader, Sha256)> = VecDeque::new();
        for entry in self.behind(&prefix, after).await? {
            let source = Source::trusting(self.bucket.as_ref(), &self.root, vec![self.signer.public()]);
            let (front, _) = source.objects.front(&entry, FRONT).await?;
            if let Header::Segment(segment) = front.header {
                known.push_back((segment, front.hash));
            }
        }
        let tails = self.outbox.tails(archive.mailbox)?;
        let tails = tails.into_iter().filter(|tail| tail.segment.archive == archive);
        known.extend(
            tails.filter(|tail| tail.segment.database == file.database()).map(|tail| (tail.segment, tail.hash)),
        );
        while let Some(next) = known.iter().position(|(segment, _)| line.is_followed_by(segment)) {
            if let Some((segment, hash)) = known.remove(next) {
                line.advance(&segment, hash);
            }
        }
        Ok(())
    }

    async fn behind(&self, prefix: &str, after: String) -> Result<Vec<Entry>, ShipError> {
        let mut found: Vec<Entry> = Vec::new();
        let mut after = Some(after);
        while let Some(last) = after.take() {
            let page = self.bucket.list(prefix, Some(&last)).await?;
            after = page.entries.last().filter(|_| page.more).map(|entry| entry.key.clone());
            found.extend(page.entries);
        }
        Ok(found)
    }
}

/// True if a line has come to the end of its WAL, or there is no database.
fn is_settled(folder: &Path, file: DataFile, line: Option<&Line>) -> Result<bool, ShipError> {
    Ok(match (look(folder, file, line)?, line) {
        (None, None) => true,
        (Some((seen, wal)), Some(line)) if decide(Some(line), &seen) == Course::Continue => {
            let behind = wal.map(|wal| wal.commits_after(&behind(line, &wal), 1)).transpose()?;
            behind.is_none_or(|commits| commits.is_empty())
        }
        _ => false,
    })
}
