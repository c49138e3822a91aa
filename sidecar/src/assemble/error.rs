//! The one error of assembling.

use control::Database;
use files::FilesError;
use jiff::Timestamp;
use model::Class;
use model::backup::ArchiveId;

use super::Reached;
use crate::bucket::BucketError;
use crate::format::{Damage, Gap};

/// Why a mailbox was not assembled.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// The bucket refused or is away.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// The folder that gets the files refused.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// An object cannot be used.
    #[error("{damage}{}", so_far(restorable.as_ref()))]
    Damaged {
        /// Which, and why.
        damage: Box<Damage>,
        /// Up to here it can be restored without it.
        restorable: Option<Reached>,
    },
    /// Nothing of this archive is in the bucket.
    #[error("there is no archive {archive} in {bucket}")]
    Absent {
        /// Which.
        archive: ArchiveId,
        /// What the bucket calls itself.
        bucket: String,
    },
    /// Nobody is named below this root who could have signed anything.
    #[error("{root} in {bucket} has no owner marker: nothing says who wrote it")]
    Unowned {
        /// The root.
        root: String,
        /// What the bucket calls itself.
        bucket: String,
    },
    /// What was asked for is not in the archive.
    #[error("{}", gone(of, *database))]
    Gone {
        /// Of which database.
        database: Database,
        /// What there is instead.
        of: Gone,
    },
}

/// What there is instead of what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gone {
    /// The archive begins later.
    Before {
        /// With this commit.
        commit: u64,
        /// Its time, where it was found out.
        time: Option<Timestamp>,
    },
    /// The archive ends earlier.
    Beyond {
        /// With this commit.
        commit: u64,
    },
    /// The commit was lost to the archive.
    InGap(Box<Gap>),
}

impl AssembleError {
    /// What should happen next.
    pub fn class(&self) -> Class {
        match self {
            Self::Bucket(error) => error.class(),
            Self::Files(error) => error.class(),
            Self::Damaged { damage, .. } => damage.class(),
            Self::Absent { .. } | Self::Gone { .. } => Class::Invalid,
            Self::Unowned { .. } => Class::Blocked,
        }
    }

    /// What a person can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Bucket(error) => error.hint(),
            Self::Files(error) => error.hint(),
            Self::Damaged { damage, restorable } => Some(match restorable {
                Some(reached) => format!("ask for commit {} ({}), or {}", reached.commit, reached.time, damage.hint()),
                None => damage.hint(),
            }),
            Self::Absent { .. } => Some("`sealpost bucket ls` lists the archives there are".to_owned()),
            Self::Unowned { .. } => {
                Some("look at the URL and its prefix; if the markers were deleted, bring them back".to_owned())
            }
            Self::Gone { of, .. } => Some(match of {
                Gone::Before { time: Some(time), .. } => format!("ask for {time} or later, or for an earlier timeline"),
                Gone::Before { commit, .. } => format!("ask for commit {commit} or later, or for an earlier timeline"),
                Gone::Beyond { commit } => format!("ask for commit {commit} or less, or for the latest"),
                Gone::InGap(gap) => format!("ask for commit {} or less", gap.after),
            }),
        }
    }
}

fn so_far(restorable: Option<&Reached>) -> String {
    restorable.map(|reached| format!("; up to commit {} it can be restored", reached.commit)).unwrap_or_default()
}

fn gone(of: &Gone, database: Database) -> String {
    let name = database.name();
    match of {
        Gone::Before { commit, .. } => format!("the archive of {name} begins with commit {commit}"),
        Gone::Beyond { commit } => format!("the archive of {name} ends with commit {commit}"),
        Gone::InGap(gap) => match gap.until {
            Some(until) => {
                format!(
                    "the commits of {name} between {} and {until} are not in the archive: {}",
                    gap.after, gap.reason
                )
            }
            None => format!("the commits of {name} behind {} are not in the archive: {}", gap.after, gap.reason),
        },
    }
}
