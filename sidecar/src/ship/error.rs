//! The one error of shipping.

use std::path::PathBuf;

use files::FilesError;
use model::Class;

use crate::assemble::AssembleError;
use crate::bucket::BucketError;

/// Why a mailbox was not shipped.
#[derive(Debug, thiserror::Error)]
pub enum ShipError {
    /// The bucket refused or is away.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// What is in the bucket already cannot be used.
    #[error(transparent)]
    Archive(#[from] AssembleError),
    /// The volume refused.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// Two files that belong together changed at every look.
    #[error("{} changes faster than it can be read", path.display())]
    Restless {
        /// The database.
        path: PathBuf,
    },
    /// A restore replaces the files, or has just done so.
    #[error("{} is being restored", folder.display())]
    Replaced {
        /// The mailbox's folder.
        folder: PathBuf,
    },
    /// A record of a WAL that cannot be read.
    #[error("{} is not a record of a WAL that this version knows", path.display())]
    Record {
        /// The file.
        path: PathBuf,
    },
    /// What this process remembers of an archive cannot be read.
    #[error("{} cannot be read: {reason}", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A staged copy is another one than was announced.
    #[error("{} is not what the primary announced", path.display())]
    Staged {
        /// The copy.
        path: PathBuf,
    },
    /// Somebody else writes this archive.
    #[error("{key} was written by somebody else")]
    Foreign {
        /// The object.
        key: String,
    },
}

impl ShipError {
    /// What should happen next.
    pub fn class(&self) -> Class {
        match self {
            Self::Bucket(error) => error.class(),
            Self::Archive(error) => error.class(),
            Self::Files(error) => error.class(),
            // The next copy is made from scratch.
            Self::Restless { .. } | Self::Replaced { .. } | Self::Staged { .. } => Class::Transient,
            Self::Record { .. } | Self::State { .. } | Self::Foreign { .. } => Class::Blocked,
        }
    }

    /// What a person can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Bucket(error) => error.hint(),
            Self::Archive(error) => error.hint(),
            Self::Files(error) => error.hint(),
            Self::Restless { .. } | Self::Replaced { .. } => None,
            Self::Staged { .. } => Some("if it happens again, check the disk of the volume".to_owned()),
            Self::Record { .. } => Some("use the release that wrote it, or a later one".to_owned()),
            Self::State { path, .. } => {
                Some(format!("remove {}: what it says is found again in the bucket", path.display()))
            }
            Self::Foreign { .. } => {
                Some("find out who else writes below this prefix: two volumes must not share one".to_owned())
            }
        }
    }
}
