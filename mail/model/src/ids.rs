//! Newtypes for what must not be mixed. Random ids are minted by callers from random bytes; nothing here draws any.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An id that does not have the form its kind prescribes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid {kind}")]
pub struct IdError {
    /// What the text was read as.
    pub kind: &'static str,
    /// The text as it came.
    pub text: String,
}

/// Names a mailbox for ever: 130 random bits as 26 lower-case base32 characters. Also its folder name on the volume.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailboxId([u8; 26]);

impl MailboxId {
    /// The id spelled by 130 of the given random bits.
    pub fn from_random(bytes: [u8; 17]) -> Self {
        let text = BASE32_NOPAD.encode(&bytes).to_ascii_lowercase();
        let mut id = [0; 26];
        id.copy_from_slice(&text.as_bytes()[..26]);
        Self(id)
    }

    /// The 26 characters.
    pub fn as_str(&self) -> &str {
        // Every constructor admits ASCII only, so the fallback is never taken.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The first two characters: the folder that spreads mailboxes over the volume.
    pub fn prefix(&self) -> &str {
        &self.as_str()[..2]
    }
}

impl FromStr for MailboxId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let fits = text.len() == 26 && text.bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b));
        let id = text.as_bytes().try_into().ok().filter(|_| fits);
        id.map(Self).ok_or_else(|| IdError { kind: "mailbox id", text: text.to_owned() })
    }
}

impl fmt::Display for MailboxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for MailboxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for MailboxId {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for MailboxId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A 128-bit random id, written as 32 lower-case hexadecimal digits.
macro_rules! random_id {
    ($name:ident, $kind:literal, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 16]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let bytes = HEXLOWER.decode(text.as_bytes()).ok().and_then(|b| b.try_into().ok());
                bytes.map(Self).ok_or_else(|| IdError { kind: $kind, text: text.to_owned() })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                std::borrow::Cow::<'de, str>::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

random_id!(KeysetId, "keyset id", "Names a DEK and all that wraps it; every wrap and seal is bound to it.");
random_id!(SessionId, "session id", "One login of one client; kept across reconnects of the wire.");
random_id!(DeliveryId, "delivery id", "One message accepted for one mailbox; taken into the mailbox exactly once.");
random_id!(TxId, "transaction id", "One SMTP transaction, minted by the MX; equal on every internal retry.");
random_id!(BootId, "boot id", "One start of one primary process.");

macro_rules! number {
    ($name:ident, $inner:ty, $doc:literal) => {
        #[doc = $doc]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(Uid, u32, "A message's unique identifier in its folder (RFC 9051 section 2.3.1.1); never 0 for a message.");
number!(ModSeq, u64, "A modification sequence (RFC 7162); one counter per mailbox, and it never goes back.");
number!(UidValidity, u32, "A folder's UIDVALIDITY (RFC 9051 section 2.3.1.1).");
number!(FolderId, i64, "A folder's row; survives RENAME, never reused.");
number!(ContentId, i64, "An immutable stored message; shared by its copies, never reused.");
number!(ShardId, u32, "A primary with its volume, counted from 0.");
number!(Term, u64, "Ownership of a shard; raised only at fail-over.");
number!(SlotId, u32, "A slot of a keyset; kept when its password changes, never reused.");

/// Names a MailServer: the object's UID in Kubernetes, a random id under `sealpost up`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ServerId(pub String);

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Version of the directory, compared by epoch (which leader pushed), then by sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Generation {
    /// Raised by every new leader before its first push.
    pub epoch: u64,
    /// Counts the pushes of one leader.
    pub seq: u64,
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.seq)
    }
}
