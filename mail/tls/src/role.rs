//! Roles, and the identity a certificate states: `sealpost://<serverId>/<role>[/<shard>]`.

use std::fmt;
use std::str::FromStr;

use model::{ServerId, ShardId};
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

const SCHEME: &str = "sealpost://";

/// What a process does, and so what it may ask of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Pushes the directory, installs first keysets.
    Operator,
    /// Owns the mailboxes of one shard.
    Primary(ShardId),
    /// Speaks IMAP and POP3 to owners.
    Imap,
    /// Takes mail from other servers.
    Mx,
    /// Takes mail from owners.
    Submission,
    /// Delivers mail to other servers.
    Courier,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator => f.write_str("operator"),
            Self::Primary(shard) => write!(f, "primary/{shard}"),
            Self::Imap => f.write_str("imap"),
            Self::Mx => f.write_str("mx"),
            Self::Submission => f.write_str("submission"),
            Self::Courier => f.write_str("courier"),
        }
    }
}

impl FromStr for Role {
    type Err = PeerError;

    fn from_str(text: &str) -> Result<Self, PeerError> {
        match text {
            "operator" => Ok(Self::Operator),
            "imap" => Ok(Self::Imap),
            "mx" => Ok(Self::Mx),
            "submission" => Ok(Self::Submission),
            "courier" => Ok(Self::Courier),
            other => {
                let shard = other.strip_prefix("primary/").and_then(|n| n.parse().ok());
                // One spelling only: `primary/07` and `primary/+7` name nobody.
                let role = shard.map(|n| Self::Primary(ShardId(n))).filter(|role| role.to_string() == other);
                role.ok_or_else(|| PeerError::Role(other.to_owned()))
            }
        }
    }
}

impl Serialize for Role {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Role {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A certificate or URI that states no identity of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// The certificate cannot be read at all.
    #[error("the certificate cannot be read")]
    Unreadable,
    /// No URI of our scheme, or several.
    #[error("the certificate has {0} names of the form {SCHEME}<server>/<role>, not one")]
    Names(usize),
    /// The server part is empty or has characters that a server id never has.
    #[error("`{0}` is not a server id")]
    Server(String),
    /// No such role.
    #[error("`{0}` is not a role")]
    Role(String),
}

/// A process of a server, as its certificate states it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Peer {
    /// Which MailServer it belongs to.
    pub server: ServerId,
    /// What it does there.
    pub role: Role,
}

impl Peer {
    /// That role of that server.
    pub fn new(server: ServerId, role: Role) -> Self {
        Self { server, role }
    }

    /// The identity that a certificate states. Proves nothing: the chain must have been verified.
    pub fn from_certificate(certificate: &CertificateDer<'_>) -> Result<Self, PeerError> {
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| PeerError::Unreadable)?;
        let names = parsed.subject_alternative_name().map_err(|_| PeerError::Unreadable)?;
        let names = names.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
        let ours: Vec<&str> = names
            .iter()
            .filter_map(|name| match name {
                GeneralName::URI(uri) if uri.starts_with(SCHEME) => Some(*uri),
                _ => None,
            })
            .collect();
        match ours.as_slice() {
            [uri] => uri.parse(),
            several => Err(PeerError::Names(several.len())),
        }
    }

    /// The identity at the other end of an established internal connection: rustls has verified the chain.
    pub fn from_chain(chain: Option<&[CertificateDer<'_>]>) -> Result<Self, PeerError> {
        let leaf = chain.and_then(|chain| chain.first()).ok_or(PeerError::Names(0))?;
        Self::from_certificate(leaf)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.server, self.role)
    }
}

impl FromStr for Peer {
    type Err = PeerError;

    fn from_str(uri: &str) -> Result<Self, PeerError> {
        let rest = uri.strip_prefix(SCHEME).ok_or(PeerError::Names(0))?;
        let (server, role) = rest.split_once('/').ok_or_else(|| PeerError::Role(String::new()))?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if server.is_empty() || !server.bytes().all(plain) {
            return Err(PeerError::Server(server.to_owned()));
        }
        Ok(Self { server: ServerId(server.to_owned()), role: role.parse()? })
    }
}

#[cfg(test)]
mod tests;
