//! Recovery slots: the DEK sealed to a public key that derives from the recovery secret.
//!
//! Asymmetric, so that a new DEK can be sealed to it without the sheet at hand. That alone would let whoever holds the file
//! seal a DEK of his own, so the keyset's lineage key signs each seal, and the slot holds a MAC of the lineage public key
//! under the recovery secret: the sheet trusts only the lineage it was made for.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use model::KeysetId;
use serde::{Deserialize, Serialize};

use super::format::{Blob, Keyset, Lineage, Slot};
use super::unlock::Root;
use crate::hash::{hmac_sha256, same};
use crate::hybrid::{HybridPublic, HybridSecret};
use crate::random::Entropy;
use crate::{Canonical, CryptoError, Dek};

const INFO: &[u8] = b"sealpost/recovery/v1";
const WHAT: &str = "the recovery slot";

/// The wrap of a recovery slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RecoveryWrap {
    /// X-Wing key of the recovery secret.
    pub(super) public: Blob,
    /// The DEK, sealed to it.
    pub(super) sealed: Blob,
    /// Ed25519 of the lineage key over slot, public key and seal.
    pub(super) signature: Blob,
    /// MAC of the lineage public key under the recovery secret.
    pub(super) lineage_mac: Blob,
}

/// Makes the wrap of a new recovery slot.
pub(super) fn wrap(
    slot: &Slot,
    keyset: KeysetId,
    lineage: &SigningKey,
    root: &Root,
    dek: &Dek,
    entropy: &mut Entropy,
) -> Result<RecoveryWrap, CryptoError> {
    let public = HybridSecret::from_seed(&root.derive("sealpost/recovery-key/v1", slot.id))?.public();
    let lineage_mac = lineage_mac(root, slot, lineage.verifying_key().as_bytes()).into();
    let (sealed, signature) = seal_to(slot, keyset, lineage, &public, dek, entropy)?;
    Ok(RecoveryWrap {
        public: public.as_bytes().into(),
        sealed: sealed.into(),
        signature: signature.into(),
        lineage_mac,
    })
}

/// Seals a DEK to the public key of a recovery slot, and signs that. Needs no recovery secret.
pub(super) fn seal_to(
    slot: &Slot,
    keyset: KeysetId,
    lineage: &SigningKey,
    public: &HybridPublic,
    dek: &Dek,
    entropy: &mut Entropy,
) -> Result<(Vec<u8>, [u8; 64]), CryptoError> {
    let sealed = public.seal(INFO, slot.aad(keyset).as_bytes(), dek.bytes(), entropy)?;
    let signature = lineage.sign(signed(slot, keyset, public, &sealed).as_bytes()).to_bytes();
    Ok((sealed, signature))
}

impl Keyset {
    pub(super) fn open_recovery(&self, slot: &Slot, wrap: &RecoveryWrap, root: &Root) -> Result<Dek, CryptoError> {
        let tampered = || CryptoError::Tampered(WHAT);
        let Lineage { public: lineage, .. } = &self.lineage;
        if !same(&wrap.lineage_mac.0, &lineage_mac(root, slot, &lineage.0)) {
            return Err(tampered());
        }
        let secret = HybridSecret::from_seed(&root.derive("sealpost/recovery-key/v1", slot.id))?;
        let public = secret.public();
        if public.as_bytes() != wrap.public.0 {
            return Err(tampered());
        }
        let lineage: &[u8; 32] = lineage.0.as_slice().try_into().map_err(|_| tampered())?;
        let lineage = VerifyingKey::from_bytes(lineage).map_err(|_| tampered())?;
        let signature = Signature::from_slice(&wrap.signature.0).map_err(|_| tampered())?;
        let message = signed(slot, self.keyset_id, &public, &wrap.sealed.0);
        lineage.verify_strict(message.as_bytes(), &signature).map_err(|_| tampered())?;
        let opened = secret.open(INFO, slot.aad(self.keyset_id).as_bytes(), &wrap.sealed.0, WHAT)?;
        let bytes: &[u8; 32] = opened.as_slice().try_into().map_err(|_| tampered())?;
        Ok(Dek::from_bytes(bytes))
    }
}

fn signed(slot: &Slot, keyset: KeysetId, public: &HybridPublic, sealed: &[u8]) -> Canonical {
    Canonical::new("sealpost/recovery-seal/v1")
        .bytes(slot.aad(keyset).as_bytes())
        .bytes(public.as_bytes())
        .bytes(sealed)
}

fn lineage_mac(root: &Root, slot: &Slot, lineage: &[u8]) -> [u8; 32] {
    hmac_sha256(root.derive("sealpost/lineage-mac/v1", slot.id).as_slice(), lineage)
}
