//! The one error of this crate.

use model::Class;
use model::verbs::{Code, Failure};
use rusqlite::ErrorCode;

/// What went wrong with a file of the volume, or why a verb was refused.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A verb that cannot be done; this is its answer.
    #[error("{0}")]
    Refused(#[from] Failure),
    /// SQLite failed.
    #[error("the database failed")]
    Sql(#[from] rusqlite::Error),
    /// A file or folder failed.
    #[error("a file of the volume failed")]
    Files(#[from] files::FilesError),
    /// A setting of a connection was refused.
    #[error("a connection could not be set up")]
    Sys(#[from] sys::SysError),
    /// The key does not open the file.
    #[error("the key does not open the mailbox")]
    WrongKey,
    /// A file was written by a version this one does not know.
    #[error("{what} has format {found}, but this version knows formats up to {known}")]
    Format {
        /// Which file.
        what: &'static str,
        /// `user_version` of the file.
        found: i64,
        /// The newest known.
        known: i64,
    },
    /// Bytes on disk are not what was written.
    #[error("{0} is damaged")]
    Corrupt(&'static str),
    /// `keys.json` changed since it was read.
    #[error("the keyset has version {found}, not {expected}")]
    KeysChanged {
        /// The version the caller read.
        expected: u64,
        /// The version on disk.
        found: u64,
    },
    /// `keys.json` is there already.
    #[error("the mailbox has a keyset already")]
    KeysExist,
    /// There is no `keys.json`.
    #[error("the mailbox has no keyset")]
    NoKeys,
    /// The mailbox was given up for good.
    #[error("the mailbox is purged")]
    Purged,
    /// Somebody writes to files that were to be read in peace.
    #[error("the files are being written to")]
    Busy,
    /// The volume lost or refused a write earlier, and has not recovered.
    #[error("the volume failed earlier and is not trusted yet")]
    Distrusted,
    /// Its files are kept closed for repair.
    #[error("the mailbox is closed for repair")]
    Fenced,
    /// Our code failed on it.
    #[error("{0} made the server fail")]
    Panicked(&'static str),
    /// The store is shutting down, or a task of it ended early.
    #[error("the store is stopping")]
    Stopped,
}

impl StoreError {
    /// What should happen next.
    pub fn class(&self) -> Class {
        match self {
            Self::Refused(failure) => failure.class,
            Self::Sql(error) => sql_class(error),
            Self::Files(error) => error.class(),
            Self::Sys(sys::SysError::Version { .. }) => Class::Blocked,
            Self::Sys(_) => Class::Transient,
            Self::Panicked(_) => Class::Bug,
            // Whoever asks has proved the key against the keyset: then it is the file that is another one.
            Self::WrongKey => Class::Blocked,
            Self::KeysChanged { .. } | Self::KeysExist | Self::NoKeys | Self::Purged => Class::Invalid,
            Self::Format { .. } | Self::Corrupt(_) => Class::Blocked,
            Self::Distrusted | Self::Stopped | Self::Busy | Self::Fenced => Class::Transient,
        }
    }

    /// What a client is told. Details stay in the log.
    pub fn into_failure(self) -> Failure {
        match self {
            Self::Refused(failure) => failure,
            Self::Sql(error) if is_full(&error) => no_space(),
            Self::Files(files::FilesError::Io { source, .. }) if is_storage_full(&source) => no_space(),
            other => Failure { class: other.class(), code: Code::Unavailable, text: other.to_string() },
        }
    }

    /// The failure of a task that worked on `what`: a panic will come again, the end of the process will not.
    pub(crate) fn of_task(error: &tokio::task::JoinError, what: &'static str) -> Self {
        if error.is_panic() { Self::Panicked(what) } else { Self::Stopped }
    }

    /// True where there was no room on a disk.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Sql(error) => is_full(error),
            Self::Files(files::FilesError::Io { source, .. }) => source.kind() == std::io::ErrorKind::StorageFull,
            _ => false,
        }
    }

    /// True where the disk could not take or give bytes: nothing may be acknowledged until it has recovered.
    pub(crate) fn is_io(&self) -> bool {
        matches!(self, Self::Sql(error) if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure))
    }
}

/// Shorthand for a verb that is refused.
pub(crate) fn refuse<T>(code: Code, text: &str) -> Result<T, StoreError> {
    Err(StoreError::Refused(Failure::new(code, text)))
}

fn no_space() -> Failure {
    Failure::new(Code::NoSpace, "no space left on the volume")
}

fn is_storage_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}

fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
}

fn sql_class(error: &rusqlite::Error) -> Class {
    match error.sqlite_error_code() {
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::FileLockingProtocolFailed
            | ErrorCode::OperationInterrupted
            | ErrorCode::OutOfMemory,
        ) => Class::Transient,
        Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::ReadOnly) => {
            Class::Blocked
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Class::Blocked,
        _ => Class::Bug,
    }
}
