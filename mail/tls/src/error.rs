//! The one error of this crate.

use std::io;
use std::path::{Path, PathBuf};

use files::FilesError;
use model::Class;

use crate::PeerError;

/// Certificates or keys that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is missing or unreadable.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A file is not what its name says.
    #[error("{} holds no usable {what}", path.display())]
    Pem {
        /// Which one.
        path: PathBuf,
        /// `certificate` or `private key`.
        what: &'static str,
        /// What the reader said.
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    /// Certificate and key do not belong together, or are of a kind rustls does not take.
    #[error("{} cannot be used", path.display())]
    Certificate {
        /// The certificate's file.
        path: PathBuf,
        /// What rustls said.
        #[source]
        source: rustls::Error,
    },
    /// No trust anchor could be made of the CA's file.
    #[error("{} holds no usable CA", path.display())]
    NoAuthority {
        /// The CA's file.
        path: PathBuf,
    },
    /// A certificate of ours that names no role.
    #[error("{} names no role of a server", path.display())]
    Peer {
        /// The certificate's file.
        path: PathBuf,
        /// What is wrong with its names.
        #[source]
        source: PeerError,
    },
    /// A configuration that rustls refuses.
    #[error("a TLS configuration was refused")]
    Config(#[source] rustls::Error),
    /// A certificate could not be made.
    #[error("cannot issue a certificate")]
    Issue(#[from] rcgen::Error),
    /// A certificate could not be stored.
    #[error(transparent)]
    Files(#[from] FilesError),
}

impl TlsError {
    pub(crate) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Read { path: path.to_owned(), source }
    }

    pub(crate) fn pem(path: &Path, what: &'static str) -> impl Fn(rustls_pki_types::pem::Error) -> Self {
        move |source| Self::Pem { path: path.to_owned(), what, source }
    }

    /// What should happen next.
    pub fn class(&self) -> Class {
        match self {
            Self::Read { .. }
            | Self::Pem { .. }
            | Self::Certificate { .. }
            | Self::NoAuthority { .. }
            | Self::Peer { .. } => Class::Blocked,
            Self::Config(_) | Self::Issue(_) => Class::Bug,
            Self::Files(error) => error.class(),
        }
    }

    /// What a person can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Read { path, .. } => Some(format!("make {} readable for this user", path.display())),
            Self::Pem { path, what, .. } => Some(format!("put a {what} in PEM form into {}", path.display())),
            Self::Certificate { path, .. } => Some(format!("check that {} and its key are a pair", path.display())),
            Self::NoAuthority { path } | Self::Peer { path, .. } => {
                Some(format!("issue {} again from the internal CA", path.display()))
            }
            Self::Config(_) | Self::Issue(_) => None,
            Self::Files(error) => error.hint(),
        }
    }
}
