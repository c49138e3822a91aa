//! The one error of this crate.

use model::Class;

/// Why a cryptographic operation failed. None of these says anything about the secret that was tried.
#[derive(Debug, thiserror::Error)]
pub enum CryptoError {
    /// No slot opens with this secret.
    #[error("wrong password")]
    WrongSecret,
    /// Something that should open does not: it was damaged, exchanged, or made for another place. Names what.
    #[error("{0} is damaged or does not belong here")]
    Tampered(&'static str),
    /// Not the bytes of a value of that kind.
    #[error("not a valid {what}: {why}")]
    Malformed {
        /// What it was read as.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// Written by a version that knows more.
    #[error("{what} has format {found}, but this version reads format {known}")]
    Format {
        /// Which kind of value.
        what: &'static str,
        /// The format it has.
        found: u32,
        /// The format that can be read.
        known: u32,
    },
    /// The Argon2id parameters of a keyset are beyond what a login may cost.
    #[error(
        "the keyset asks for an Argon2id run of {memory_kib} KiB, {passes} passes, {lanes} lanes, beyond the limits"
    )]
    CostTooHigh {
        /// Memory, in KiB.
        memory_kib: u32,
        /// Passes over it.
        passes: u32,
        /// Parallelism.
        lanes: u32,
    },
    /// Argon2id refused its parameters or found no memory.
    #[error("Argon2id failed: {0}")]
    Argon2(String),
    /// A slot cannot be added or changed in that way.
    #[error("{0}")]
    Slot(&'static str),
    /// No slot has that id.
    #[error("no such key slot")]
    NoSuchSlot,
    /// A body could not be compressed.
    #[error("compression failed")]
    Compression(#[source] std::io::Error),
}

impl CryptoError {
    /// What should happen next.
    pub fn class(&self) -> Class {
        match self {
            Self::WrongSecret | Self::Slot(_) | Self::NoSuchSlot | Self::Malformed { .. } => Class::Invalid,
            // A person must look at the file, or upgrade.
            Self::Tampered(_) | Self::Format { .. } | Self::CostTooHigh { .. } => Class::Blocked,
            Self::Argon2(_) => Class::Transient,
            Self::Compression(_) => Class::Bug,
        }
    }

    /// What a person can do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Tampered(_) => Some("restore keys.json from its previous version or from a backup"),
            Self::Format { .. } => Some("upgrade this component"),
            Self::CostTooHigh { .. } => Some("change the password with a current version: it writes sound parameters"),
            _ => None,
        }
    }

    pub(crate) fn malformed(what: &'static str, why: impl Into<String>) -> Self {
        Self::Malformed { what, why: why.into() }
    }
}
