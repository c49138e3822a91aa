//! What can stop a secondary.

use std::net::SocketAddr;

use model::Class;

/// A secondary cannot start. Later faults are answered to clients, and logged.
#[derive(Debug, thiserror::Error)]
pub enum SecondaryError {
    /// A listener's address is taken or not ours.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The clear-text listener was asked for elsewhere than on loopback.
    #[error("{0} is not a loopback address: passwords in clear text never leave the machine")]
    PlainNotLoopback(SocketAddr),
    /// Certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// The wires cannot be made.
    #[error(transparent)]
    Wire(#[from] wire::WireError),
}

impl SecondaryError {
    /// What should happen next.
    pub fn class(&self) -> Class {
        match self {
            Self::Bind { .. } => Class::Blocked,
            Self::PlainNotLoopback(_) => Class::Invalid,
            Self::Tls(error) => error.class(),
            Self::Wire(error) => error.class(),
        }
    }
}
