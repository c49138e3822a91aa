//! The one error of this crate.

use std::io;
use std::path::{Path, PathBuf};

use model::Class;

/// What went wrong with a file or folder, and which.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The operating system refused one step of a durable operation.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// The step, as a verb: `write`, `sync`, `rename`, ...
        action: &'static str,
        /// What it was applied to.
        path: PathBuf,
        /// The refusal.
        #[source]
        source: io::Error,
    },
    /// A path without a parent or a file name cannot be replaced or synced.
    #[error("{} does not name a file in a folder", path.display())]
    NotAFile {
        /// The path as it was given.
        path: PathBuf,
    },
    /// Another process holds the lock.
    #[error("{} is in use by {holder}", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// Who holds it, as it wrote itself into the file.
        holder: String,
    },
}

impl FilesError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// True where another process holds a lock.
    pub fn is_held(&self) -> bool {
        matches!(self, Self::Locked { .. })
    }

    /// What should happen next.
    pub fn class(&self) -> Class {
        match self {
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock | io::ErrorKind::ResourceBusy => {
                    Class::Transient
                }
                _ => Class::Blocked,
            },
            Self::NotAFile { .. } => Class::Bug,
            Self::Locked { .. } => Class::Blocked,
        }
    }

    /// What a person can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Locked { holder, .. } => Some(format!("stop {holder}, or choose another folder")),
            Self::Io { source, path, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    Some(format!("make {} writable for this user", path.display()))
                }
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    Some("free space on that volume, or make it larger".to_owned())
                }
                _ => None,
            },
            Self::NotAFile { .. } => None,
        }
    }
}
