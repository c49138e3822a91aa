//! The one error of buckets.

use files::FilesError;
use model::Class;

use crate::format::Sha256;

/// Why a bucket did not do something.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// There is no such object.
    #[error("{key} is not in the bucket")]
    NotFound {
        /// Which.
        key: String,
    },
    /// The key is taken by an object with other bytes: somebody else writes here, or we did under another truth.
    #[error("{key} is there already with other content (SHA-256 {theirs})")]
    Conflict {
        /// Which.
        key: String,
        /// Hash of what is there.
        theirs: Sha256,
        /// The start of the process that wrote it, where the bucket keeps it.
        run: Option<String>,
    },
    /// Not a key of ours: see [`super::check_key`].
    #[error("`{key}` cannot be the key of an object")]
    Key {
        /// As it was given.
        key: String,
    },
    /// What was to be stored has another hash than was said: the file changed meanwhile.
    #[error("{key} was not stored: its content has SHA-256 {have} instead of {want}")]
    Changed {
        /// Which.
        key: String,
        /// Hash of the bytes that came.
        have: Sha256,
        /// Hash that was promised.
        want: Sha256,
    },
    /// The bucket is away, or the answer was lost: nobody knows whether it was done.
    #[error("the bucket did not answer {action} {key}: {reason}")]
    Unavailable {
        /// What was asked.
        action: &'static str,
        /// For which key or prefix.
        key: String,
        /// Why.
        reason: String,
    },
    /// The bucket is there and refuses: asking again changes nothing.
    #[error("the bucket refuses {action} {key}: {reason}")]
    Refused {
        /// What was asked.
        action: &'static str,
        /// For which key, prefix, or bucket.
        key: String,
        /// What kind of refusal.
        refusal: Refusal,
        /// In its words.
        reason: String,
    },
    /// A file or a folder refused.
    #[error(transparent)]
    Files(#[from] FilesError),
}

/// Why a bucket refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The credentials are missing or wrong, have expired, or may not do this.
    Denied,
    /// There is no bucket of that name.
    NoBucket,
    /// It is full.
    Full,
    /// Its clock and ours differ too much.
    Clock,
    /// The settings do not fit the server: region, endpoint, style of addresses, certificates.
    Other,
}

impl Refusal {
    fn hint(self) -> &'static str {
        match self {
            Self::Denied => "check the credentials, and what they may do: put, get, list and delete below the prefix",
            Self::NoBucket => "make the bucket, or correct its name; it is not made for you",
            Self::Full => "raise its quota, or let retention remove more",
            Self::Clock => "set this machine's clock, and let it be synchronised",
            Self::Other => "check endpoint, region, style of addresses and authorities against what the provider says",
        }
    }
}

impl BucketError {
    /// What should happen next.
    pub fn class(&self) -> Class {
        match self {
            Self::NotFound { .. } => Class::Invalid,
            Self::Conflict { .. } | Self::Refused { .. } => Class::Blocked,
            Self::Key { .. } | Self::Changed { .. } => Class::Bug,
            Self::Unavailable { .. } => Class::Transient,
            Self::Files(error) => error.class(),
        }
    }

    /// What a person can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound { .. } => {
                Some("look at the URL, its prefix, and the lifecycle rules of the bucket".to_owned())
            }
            Self::Conflict { .. } => {
                Some("find out who else writes below this prefix: two volumes must not share one".to_owned())
            }
            Self::Refused { refusal, .. } => Some(refusal.hint().to_owned()),
            Self::Files(error) => error.hint(),
            Self::Key { .. } | Self::Changed { .. } | Self::Unavailable { .. } => None,
        }
    }
}
