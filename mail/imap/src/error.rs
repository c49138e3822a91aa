//! Why a connection ended other than in good order.

use std::io;

use model::Class;

/// A connection that broke. Everything a client did wrong is answered to the client and is no error here.
#[derive(Debug, thiserror::Error)]
pub enum ImapError {
    /// Reading or writing failed.
    #[error("connection failed: {0}")]
    Io(#[from] io::Error),
    /// The client neither took output nor sent what it had announced.
    #[error("the client stalled")]
    Stalled,
    /// A message could not be read on in the middle of a literal that had been announced.
    #[error("a message broke off inside a literal: {0}")]
    BrokenLiteral(#[source] model::verbs::Failure),
    /// The mailbox gave an answer of another kind than was asked for.
    #[error("the mailbox gave an unexpected answer to {0}")]
    Answer(&'static str),
}

impl ImapError {
    /// What should happen next.
    pub fn class(&self) -> Class {
        match self {
            Self::Io(_) | Self::Stalled => Class::Transient,
            Self::BrokenLiteral(failure) => failure.class,
            Self::Answer(_) => Class::Bug,
        }
    }
}
