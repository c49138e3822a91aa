//! What kind of failure something is: SMTP codes, IMAP response codes, requeues and conditions follow from it.

use serde::{Deserialize, Serialize};

/// The four answers to "what should happen next?".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Class {
    /// It may work when tried again: a peer is away, a disk is busy. SMTP 4xx, `NO [UNAVAILABLE]`.
    Transient,
    /// The request can never work as it is: bad input, no such folder. SMTP 5xx, `NO` or `BAD`.
    Invalid,
    /// It will work once a person has done something: space, a key, a permission.
    Blocked,
    /// We are wrong. Logged as an error; the peer sees a transient failure.
    Bug,
}

impl Class {
    /// True where the same request may succeed later without being changed.
    pub fn is_retryable(self) -> bool {
        !matches!(self, Class::Invalid)
    }
}
