//! Which archive: the newest timeline of the source that reaches back to the time asked for.

use jiff::Timestamp;
use model::backup::{ArchiveId, RestoreSource};

use super::{Place, Restore, Trouble, failed};
use crate::assemble::{AssembleError, Source, timelines};
use crate::format::Fault;

/// Whose signatures count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// This volume's.
    Own,
    /// Those of every owner marker: of volumes before this one.
    Markers,
}

impl Restore {
    /// The archive, and where it is.
    pub(super) async fn find(&self) -> Result<(Source<'_>, ArchiveId), Trouble> {
        if let RestoreSource::Archive(archive) = &self.source
            && archive.server != self.server
        {
            let message = format!("{archive} belongs to another server: only that one may restore it");
            return Err(Trouble::Broken(failed("ArchiveNotFound", message)));
        }
        let mut earliest = None;
        for place in &self.places {
            for trust in [Trust::Own, Trust::Markers] {
                // One that is away may have a newer one than the next: it is waited for.
                if let Some(found) = self.find_in(place, trust, &mut earliest).await? {
                    return Ok(found);
                }
            }
        }
        Err(self.none(earliest))
    }

    async fn find_in<'a>(
        &'a self,
        place: &'a Place,
        trust: Trust,
        earliest: &mut Option<Timestamp>,
    ) -> Result<Option<(Source<'a>, ArchiveId)>, AssembleError> {
        let bucket = place.bucket.as_ref();
        let mut known = timelines(bucket, &place.root, self.origin).await?;
        if let RestoreSource::Archive(archive) = &self.source {
            known.retain(|timeline| *timeline == archive.timeline);
        }
        if known.is_empty() {
            return Ok(None);
        }
        let source = match trust {
            Trust::Own => Source::trusting(bucket, &place.root, vec![self.signer]),
            Trust::Markers => Source::open(bucket, &place.root).await?,
        };
        for timeline in known.into_iter().rev() {
            let archive = ArchiveId { server: self.server.clone(), mailbox: self.origin, timeline };
            let begins = match source.begins(&archive).await {
                Ok(Some(begins)) => begins,
                // It has come to nothing yet.
                Ok(None) => continue,
                Err(AssembleError::Damaged { damage, .. }) if matches!(damage.fault, Fault::Signer(_)) => continue,
                // Nothing of the mail is in a manifest: the objects say what they are.
                Err(AssembleError::Damaged { .. }) => return Ok(Some((source, archive))),
                Err(error) => return Err(error),
            };
            if self.at.is_none_or(|at| begins <= at) {
                return Ok(Some((source, archive)));
            }
            *earliest = Some(earliest.map_or(begins, |earliest| earliest.min(begins)));
        }
        Ok(None)
    }

    fn none(&self, earliest: Option<Timestamp>) -> Trouble {
        let message = match (earliest, &self.source, self.places.is_empty()) {
            (Some(earliest), _, _) => {
                format!("the archive of {} begins at {earliest}; ask for that time or a later one", self.origin)
            }
            (None, _, true) => "no BackupPolicy is in force, so there is no bucket to read; declare one".to_owned(),
            (None, RestoreSource::Archive(archive), _) => {
                format!("there is no archive {archive} in any bucket; `sealpost bucket ls` lists those there are")
            }
            (None, RestoreSource::Mailbox(mailbox), _) => {
                format!(
                    "there is no archive of {mailbox} yet: wait until a policy covers it and its first mail is archived"
                )
            }
        };
        Trouble::Broken(failed("ArchiveNotFound", message))
    }
}
