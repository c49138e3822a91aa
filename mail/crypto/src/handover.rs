//! How a DEK travels from a secondary to a primary: sealed to a key of that one process, for that one attach.
//!
//! Format: HPKE (see the sealed value of this crate's hybrid scheme) over the 32 bytes, with [`HandoverAad`] as additional
//! data. The key pair is made at the start of a process and ends with it, so a recorded connection opens to nobody later.

use model::{BootId, MailboxId, SessionId, ShardId, Term};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::hybrid::{HybridPublic, HybridSecret};
use crate::random::Entropy;
use crate::{Canonical, CryptoError, Dek};

const INFO: &[u8] = b"sealpost/handover/v1";
const WHAT: &str = "a handed-over key";

/// What a hand-over is bound to. Sender and receiver build it from what they know themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandoverAad {
    /// The shard that is to open the mailbox.
    pub shard: ShardId,
    /// Under which ownership.
    pub term: Term,
    /// Which start of its primary.
    pub boot: BootId,
    /// Which mailbox.
    pub mailbox: MailboxId,
    /// On whose behalf.
    pub session: SessionId,
    /// Fresh for each attach or key query.
    pub nonce: [u8; 16],
}

impl HandoverAad {
    fn encode(&self) -> Canonical {
        Canonical::new("sealpost/handover/v1")
            .number(u64::from(self.shard.0))
            .number(self.term.0)
            .bytes(&self.boot.0)
            .bytes(self.mailbox.as_str().as_bytes())
            .bytes(&self.session.0)
            .bytes(&self.nonce)
    }
}

/// The public half of a process's hand-over key; travels in `Hello`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HandoverPublic(HybridPublic);

impl HandoverPublic {
    /// Seals a DEK for one attach.
    pub fn seal_dek(&self, dek: &Dek, aad: &HandoverAad) -> Result<Vec<u8>, CryptoError> {
        self.seal_dek_with(dek, aad, &mut Entropy::System)
    }

    pub(crate) fn seal_dek_with(
        &self,
        dek: &Dek,
        aad: &HandoverAad,
        entropy: &mut Entropy,
    ) -> Result<Vec<u8>, CryptoError> {
        self.0.seal(INFO, aad.encode().as_bytes(), dek.bytes(), entropy)
    }

    /// From the bytes of [`HandoverPublic::as_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CryptoError> {
        HybridPublic::from_bytes(bytes).map(Self)
    }

    /// The 1216 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// The hand-over key of this process. Never stored.
#[derive(Debug)]
pub struct HandoverKey(HybridSecret);

impl HandoverKey {
    /// A fresh one, at the start of the process.
    pub fn generate() -> Result<Self, CryptoError> {
        Self::from_seed(&Zeroizing::new(crate::random()))
    }

    pub(crate) fn from_seed(seed: &[u8; 32]) -> Result<Self, CryptoError> {
        HybridSecret::from_seed(seed).map(Self)
    }

    /// What others seal to.
    pub fn public(&self) -> HandoverPublic {
        HandoverPublic(self.0.public())
    }

    /// Opens a DEK that was sealed for exactly this attach.
    pub fn open_dek(&self, sealed: &[u8], aad: &HandoverAad) -> Result<Dek, CryptoError> {
        let bytes = self.0.open(INFO, aad.encode().as_bytes(), sealed, WHAT)?;
        let bytes: &[u8; 32] = bytes.as_slice().try_into().map_err(|_| CryptoError::Tampered(WHAT))?;
        Ok(Dek::from_bytes(bytes))
    }
}

#[cfg(test)]
mod tests;
