//! The one error of this crate. Callers of verbs see [`Failure`] instead; this one is for links and listeners.

use std::io;

use model::Class;
use model::verbs::Failure;

/// A link that cannot be made or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The network, or the TLS handshake.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The WebSocket at the other end of TLS.
    #[error("the WebSocket broke")]
    WebSocket(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A message that cannot be read.
    #[error("a message cannot be read")]
    Decode(#[from] rmp_serde::decode::Error),
    /// A message that cannot be written.
    #[error("a message cannot be written")]
    Encode(#[from] rmp_serde::encode::Error),
    /// A message that may not come here.
    #[error("the peer broke the protocol: {0}")]
    Protocol(&'static str),
    /// A message over the limit.
    #[error("a message of {size} bytes is over the limit of {limit}")]
    TooBig {
        /// Its size.
        size: usize,
        /// The limit for its kind.
        limit: usize,
    },
    /// The primary does not want us.
    #[error("the primary refused: {0}")]
    Refused(#[source] Failure),
    /// Nothing came for too long.
    #[error("the peer is silent")]
    Silent,
    /// The peer closed the link.
    #[error("the peer closed the link")]
    Closed,
    /// No TLS configuration could be made.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
}

impl WireError {
    pub(crate) fn web_socket(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::WebSocket(error.into())
    }

    /// What should happen next.
    pub fn class(&self) -> Class {
        match self {
            Self::Io(_) | Self::WebSocket(_) | Self::Silent | Self::Closed => Class::Transient,
            Self::Decode(_) | Self::Protocol(_) | Self::TooBig { .. } => Class::Invalid,
            Self::Encode(_) => Class::Bug,
            Self::Refused(failure) => failure.class,
            Self::Tls(error) => error.class(),
        }
    }
}
