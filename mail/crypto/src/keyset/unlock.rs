//! From a secret to the DEK.
//!
//! A minted secret goes through HKDF to the slot with its tag. Any other secret costs exactly one run of Argon2id, also
//! where no slot could take it: whether a mailbox exists, and how its owner logs in, is not to be told from the time.

use std::collections::BTreeSet;

use model::SlotId;
use model::verbs::Scope;
use zeroize::Zeroizing;

use super::format::{Kdf, Keyset, Slot, SlotKind, Wrap};
use crate::hash::{hkdf_sha256, same, sha256};
use crate::{Canonical, CryptoError, Dek, Secret, aead};

/// A keyset opened.
#[derive(Debug)]
pub struct Unlocked {
    /// The mailbox's key.
    pub dek: Dek,
    /// Which slot opened it.
    pub slot: SlotId,
    /// What that slot is for.
    pub kind: SlotKind,
    /// What its secret may do.
    pub scopes: BTreeSet<Scope>,
    /// Version of the keyset that was opened; an attach carries it.
    pub keys_version: u64,
}

/// A secret found right, without opening anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Whose secret it is.
    pub slot: SlotId,
    /// What it may do.
    pub scopes: BTreeSet<Scope>,
    /// Version of the keyset that said so.
    pub keys_version: u64,
}

impl Keyset {
    /// Opens the keyset. At most one run of Argon2id (run it where that is bounded); none for a minted secret.
    pub fn unlock(&self, secret: &Secret) -> Result<Unlocked, CryptoError> {
        let (slot, root) = self.find(secret)?;
        let dek = match slot.wrap.as_ref() {
            Some(Wrap::Box(wrapped)) if slot.kind != SlotKind::Recovery => {
                let aad = slot.aad(self.keyset_id);
                let key = root.derive("sealpost/slot-key/v1", slot.id);
                Dek::from_box(aead::open_key(&key, aad.as_bytes(), &wrapped.0, "a key slot")?)
            }
            Some(Wrap::Recovery(wrap)) if slot.kind == SlotKind::Recovery => self.open_recovery(slot, wrap, &root)?,
            _ => return Err(CryptoError::Tampered("a key slot")),
        };
        self.verify_mac(&dek)?;
        let scopes = slot.scopes.clone();
        Ok(Unlocked { dek, slot: slot.id, kind: slot.kind, scopes, keys_version: self.version })
    }

    /// Checks a secret against the verifiers only; works on a keyset without wraps, at the cost of an unlock.
    pub fn verify_only(&self, secret: &Secret) -> Result<Verified, CryptoError> {
        let (slot, _) = self.find(secret)?;
        Ok(Verified { slot: slot.id, scopes: slot.scopes.clone(), keys_version: self.version })
    }

    /// The slot whose secret this is, and what its keys derive from.
    fn find(&self, secret: &Secret) -> Result<(&Slot, Root), CryptoError> {
        let root = self.root(secret)?;
        let kdf = kdf_for(secret);
        let mut found = None;
        for slot in self.slots.iter().filter(|slot| slot.kdf == kdf && slot.tag.as_deref() == secret.tag()) {
            if same(&slot.verifier.0, &root.verifier(slot.id)) {
                found = Some(slot);
            }
        }
        found.map(|slot| (slot, root)).ok_or(CryptoError::WrongSecret)
    }

    pub(super) fn root(&self, secret: &Secret) -> Result<Root, CryptoError> {
        let salt = self.argon2.salt.0.clone();
        let material = match kdf_for(secret) {
            Kdf::Hkdf => hkdf_sha256(&salt, secret.bytes(), b"sealpost/minted-root/v1"),
            Kdf::Argon2id => self.argon2.stretch(secret)?,
        };
        Ok(Root { salt, material })
    }
}

/// Minted secrets are strong enough for HKDF alone; all others are not.
pub(super) fn kdf_for(secret: &Secret) -> Kdf {
    if secret.is_minted() { Kdf::Hkdf } else { Kdf::Argon2id }
}

/// What all keys of a secret derive from. Independent of `keysetId`, so that a recovery key outlives a rekey; what is made
/// with the keys is bound to it instead.
pub(super) struct Root {
    salt: Vec<u8>,
    material: Zeroizing<[u8; 32]>,
}

impl Root {
    pub(super) fn from_material(salt: &[u8], material: Zeroizing<[u8; 32]>) -> Self {
        Self { salt: salt.to_vec(), material }
    }

    pub(super) fn derive(&self, purpose: &str, slot: SlotId) -> Zeroizing<[u8; 32]> {
        let info = Canonical::new(purpose).number(u64::from(slot.0));
        hkdf_sha256(&self.salt, self.material.as_slice(), info.as_bytes())
    }

    /// Hash of a key that nothing is encrypted with: shows the secret right, opens nothing.
    pub(super) fn verifier(&self, slot: SlotId) -> [u8; 32] {
        sha256(self.derive("sealpost/slot-verifier/v1", slot).as_slice())
    }
}
