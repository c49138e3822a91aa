//! The one error of this crate.

use std::io;
use std::path::{Path, PathBuf};

use model::Class;

/// Why mail could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum InterchangeError {
    /// The operating system refused something.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// A verb: `write`, `read`, ...
        action: &'static str,
        /// What it was applied to.
        path: PathBuf,
        /// The refusal.
        #[source]
        source: io::Error,
    },
    /// A durable step failed.
    #[error("the result could not be made durable")]
    Files(#[from] files::FilesError),
    /// Something is in the place of the result.
    #[error("{} exists and is not an empty folder", path.display())]
    Occupied {
        /// The place.
        path: PathBuf,
    },
    /// A file is not what its format asks for.
    #[error("{} is not {what}: {why}", path.display())]
    Malformed {
        /// Which file or folder.
        path: PathBuf,
        /// What it was read as.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
}

impl InterchangeError {
    /// What should happen next.
    pub fn class(&self) -> Class {
        match self {
            Self::Io { .. } => Class::Blocked,
            Self::Files(error) => error.class(),
            Self::Occupied { .. } | Self::Malformed { .. } => Class::Invalid,
        }
    }

    /// What a person can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Io { source, path, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    Some("free space there, or choose another place with --out, and run the same command again".into())
                }
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    Some(format!("make {} accessible for this user", path.display()))
                }
                io::ErrorKind::ResourceBusy | io::ErrorKind::CrossesDevices => {
                    Some(format!("choose a folder below {} that does not exist yet", path.display()))
                }
                _ => None,
            },
            Self::Files(error) => error.hint(),
            Self::Occupied { .. } => Some("choose a folder that does not exist yet, or empty that one".into()),
            Self::Malformed { .. } => None,
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    pub(crate) fn malformed(path: &Path, what: &'static str, why: impl Into<String>) -> Self {
        Self::Malformed { path: path.to_owned(), what, why: why.into() }
    }
}
