//! Why an object of an archive cannot be used, and which one.

use model::Class;

use super::{Sha256, SignerKey};

/// An object of an archive that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{object}: {fault}")]
pub struct Damage {
    /// Its key in the bucket.
    pub object: String,
    /// What is wrong.
    pub fault: Fault,
}

/// What can be wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It does not begin as one of ours.
    #[error("is not an object of an archive")]
    Foreign,
    /// A later release wrote it.
    #[error("has format {0}, which this release does not know")]
    Version(u32),
    /// Fewer bytes than it says.
    #[error("is cut short: {have} of {want} bytes")]
    Truncated {
        /// Bytes there are.
        have: u64,
        /// Bytes there should be.
        want: u64,
    },
    /// More bytes than it says.
    #[error("is {have} bytes long instead of {want}")]
    TooLong {
        /// Bytes there are.
        have: u64,
        /// Bytes there should be.
        want: u64,
    },
    /// What it says of itself cannot be read, or cannot be.
    #[error("says of itself what cannot be: {0}")]
    Header(String),
    /// Its signature does not fit its bytes.
    #[error("is not what was signed")]
    Signature,
    /// Its signature is good, but of somebody else.
    #[error("is signed by {0}, which is not a key of this archive")]
    Signer(SignerKey),
    /// The payload has another hash than the header says.
    #[error("is changed: its content has SHA-256 {have} instead of {want}")]
    Content {
        /// Hash of the bytes there are.
        have: Sha256,
        /// Hash that was signed.
        want: Sha256,
    },
    /// A good object under a name that is not its own: moved or replayed.
    #[error("is in the wrong place: it calls itself {0}")]
    Place(String),
    /// It does not follow the object before it.
    #[error("does not continue {0}")]
    Link(String),
    /// It is not there.
    #[error("is missing")]
    Missing,
}

impl Fault {
    /// The same, of a certain object.
    pub fn of(self, object: impl Into<String>) -> Damage {
        Damage { object: object.into(), fault: self }
    }
}

impl Damage {
    /// A person has to look: waiting repairs nothing.
    pub fn class(&self) -> Class {
        Class::Blocked
    }

    /// What a person can do about it.
    pub fn hint(&self) -> String {
        match &self.fault {
            Fault::Version(_) => "use the release that wrote the archive, or a later one".to_owned(),
            Fault::Signer(_) => "somebody else writes below this prefix: check who may write to the bucket".to_owned(),
            _ => "`sealpost bucket verify` says what can still be restored; if the bucket keeps versions, bring \
                  back the earlier one of this object"
                .to_owned(),
        }
    }
}
