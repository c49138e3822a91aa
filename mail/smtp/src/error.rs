//! Why a connection ended other than by QUIT. None of these is about a message: those are replies.

use std::io;

use model::Class;

/// A connection that broke off.
#[derive(Debug, thiserror::Error)]
pub enum SmtpError {
    /// The socket failed, or the client went away in the middle of something.
    #[error("connection failed")]
    Io(#[from] io::Error),
    /// The client was silent, or did not read, for longer than allowed.
    #[error("client too slow")]
    TimedOut,
    /// The TLS handshake failed.
    #[error("TLS handshake failed")]
    Tls(#[source] io::Error),
}

impl SmtpError {
    /// All of them are the peer's or the network's doing: it may come again.
    pub fn class(&self) -> Class {
        Class::Transient
    }
}
