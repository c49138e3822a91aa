//! The one error of this crate: what keeps a primary from serving. Failures of single requests are
//! `model::verbs::Failure`.

use std::net::SocketAddr;
use std::path::PathBuf;

use model::Class;

/// A primary cannot start, or has to stop.
#[derive(Debug, thiserror::Error)]
pub enum PrimaryError {
    /// The address is taken or not ours.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// The sidecar's socket cannot be made.
    #[error("cannot listen on {}", path.display())]
    Socket {
        /// Its path.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// A key file is not 32 bytes long.
    #[error("{} is not a key: it has to hold exactly 32 bytes", .0.display())]
    NotAKey(PathBuf),
    /// A file of the volume does not parse.
    #[error("{what} is damaged")]
    Damaged {
        /// Which file.
        what: &'static str,
        /// Where it goes wrong.
        #[source]
        source: serde_json::Error,
    },
    /// Written by a version that knows more.
    #[error("{what} has format {found}, but this version reads format {known}")]
    Format {
        /// Which file.
        what: &'static str,
        /// Its format.
        found: u32,
        /// The format that can be read.
        known: u32,
    },
    /// The volume belongs to someone else.
    #[error("the volume {} holds the mail of {found}, not of {asked}", path.display())]
    ForeignVolume {
        /// The volume.
        path: PathBuf,
        /// Whose mail it holds.
        found: String,
        /// Whose mail was to be served.
        asked: String,
    },
    /// There are mailboxes, but nothing says whose.
    #[error("the volume {} has mailboxes but no identity.json", .0.display())]
    IdentityLost(PathBuf),
    /// A durable write, or the lock of the volume.
    #[error(transparent)]
    Files(#[from] files::FilesError),
    /// The listener.
    #[error(transparent)]
    Wire(#[from] wire::WireError),
    /// A database of the volume.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// Certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// Keys cannot be made.
    #[error(transparent)]
    Crypto(#[from] crypto::CryptoError),
    /// SQLite's allocator or a process attribute.
    #[error(transparent)]
    Sys(#[from] sys::SysError),
}

impl PrimaryError {
    /// What should happen next.
    pub fn class(&self) -> Class {
        match self {
            Self::Bind { .. } | Self::Socket { .. } | Self::Read { .. } | Self::NotAKey(_) | Self::Sys(_) => {
                Class::Blocked
            }
            Self::Damaged { .. } | Self::Format { .. } => Class::Blocked,
            Self::ForeignVolume { .. } | Self::IdentityLost(_) => Class::Blocked,
            Self::Files(error) => error.class(),
            Self::Store(error) => error.class(),
            Self::Tls(error) => error.class(),
            Self::Wire(error) => error.class(),
            Self::Crypto(error) => error.class(),
        }
    }

    /// What a person can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::ForeignVolume { .. } => Some("mount the volume of this shard, or choose another folder".to_owned()),
            Self::IdentityLost(_) => Some("restore identity.json from a backup of the volume".to_owned()),
            Self::Bind { address, .. } => Some(format!("stop what uses {address}, or choose another port")),
            Self::Socket { path, .. } => {
                Some(format!("make the folder of {} writable, or choose a path below 108 bytes", path.display()))
            }
            Self::NotAKey(_) => Some("restore the key file; a new one does not open the volume".to_owned()),
            Self::Files(error) => error.hint(),
            _ => None,
        }
    }
}
