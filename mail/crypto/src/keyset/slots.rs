//! Adding, changing and removing slots.

use std::collections::BTreeSet;

use ed25519_dalek::SigningKey;
use jiff::Timestamp;
use model::SlotId;
use model::verbs::Scope;

use super::format::{Blob, Kdf, Keyset, Slot, SlotKind, Under, Wrap};
use super::recovery;
use super::unlock::{Root, kdf_for};
use crate::random::Entropy;
use crate::{CryptoError, Dek, Secret, aead};

/// A slot to be added.
#[derive(Debug, Clone)]
pub struct NewSlot<'a> {
    /// What will open it.
    pub secret: &'a Secret,
    /// What it is for.
    pub kind: SlotKind,
    /// What its secret may do.
    pub scopes: BTreeSet<Scope>,
    /// Now.
    pub created: Timestamp,
}

impl Keyset {
    /// Adds a slot; the DEK shows that a slot was opened. App passwords are minted; of password and recovery phrase at
    /// most one each is chosen. Stretches a chosen secret: one run of Argon2id.
    pub fn add_slot(&mut self, dek: &Dek, new: &NewSlot<'_>) -> Result<SlotId, CryptoError> {
        self.add_slot_with(dek, new, &mut Entropy::System)
    }

    pub(crate) fn add_slot_with(
        &mut self,
        dek: &Dek,
        new: &NewSlot<'_>,
        entropy: &mut Entropy,
    ) -> Result<SlotId, CryptoError> {
        self.verify_mac(dek)?;
        // Before the expensive step.
        self.admits(new.secret, new.kind, None)?;
        let root = self.root(new.secret)?;
        let id = self.insert_slot(dek, new, &root, entropy)?;
        self.version += 1;
        Ok(id)
    }

    /// Replaces the secret of a slot; its id, kind and scopes stay, so sessions do too. One small write, whatever the size
    /// of the mailbox.
    pub fn change_password(
        &mut self,
        dek: &Dek,
        slot: SlotId,
        new: &Secret,
        now: Timestamp,
    ) -> Result<(), CryptoError> {
        self.verify_mac(dek)?;
        let at = self.slots.iter().position(|other| other.id == slot).ok_or(CryptoError::NoSuchSlot)?;
        let old = &self.slots[at];
        self.admits(new, old.kind, Some(slot))?;
        let root = self.root(new)?;
        let unwrapped = Slot {
            id: slot,
            tag: new.tag().map(str::to_owned),
            kind: old.kind,
            scopes: old.scopes.clone(),
            created: now,
            changed: Some(self.version + 1),
            kdf: kdf_for(new),
            wrap: None,
            verifier: root.verifier(slot).into(),
        };
        self.slots[at] = self.wrapped(dek, unwrapped, &root, &mut Entropy::System)?;
        self.version += 1;
        Ok(())
    }

    /// Removes a slot; needs no key. The last way in stays. Revocation is not cryptographic: copies of the old file still
    /// open with the old secret.
    pub fn remove_slot(&mut self, slot: SlotId) -> Result<(), CryptoError> {
        let removed = self.slot(slot).ok_or(CryptoError::NoSuchSlot)?;
        let is_way_in = |slot: &Slot| slot.kind != SlotKind::AppPassword;
        if is_way_in(removed) && self.slots.iter().filter(|slot| is_way_in(slot)).count() == 1 {
            return Err(CryptoError::Slot("this is the last password of the mailbox: add another one first"));
        }
        self.slots.retain(|other| other.id != slot);
        self.version += 1;
        Ok(())
    }

    /// Wraps the DEK for one more secret, whose root was computed already. Leaves `version` alone.
    pub(super) fn insert_slot(
        &mut self,
        dek: &Dek,
        new: &NewSlot<'_>,
        root: &Root,
        entropy: &mut Entropy,
    ) -> Result<SlotId, CryptoError> {
        self.admits(new.secret, new.kind, None)?;
        let id = self.fresh_id(entropy);
        let unwrapped = Slot {
            id,
            tag: new.secret.tag().map(str::to_owned),
            kind: new.kind,
            scopes: new.scopes.clone(),
            created: new.created,
            changed: None,
            kdf: kdf_for(new.secret),
            wrap: None,
            verifier: root.verifier(id).into(),
        };
        let slot = self.wrapped(dek, unwrapped, root, entropy)?;
        self.slots.push(slot);
        Ok(id)
    }

    fn wrapped(&self, dek: &Dek, mut slot: Slot, root: &Root, entropy: &mut Entropy) -> Result<Slot, CryptoError> {
        slot.wrap = Some(if slot.kind == SlotKind::Recovery {
            let lineage = self.open_under_dek(dek, Under::Lineage, &self.lineage.secret_wrapped)?;
            let lineage = SigningKey::from_bytes(&lineage);
            Wrap::Recovery(recovery::wrap(&slot, self.keyset_id, &lineage, root, dek, entropy)?)
        } else {
            let key = root.derive("sealpost/slot-key/v1", slot.id);
            let aad = slot.aad(self.keyset_id);
            Wrap::Box(Blob(aead::seal(&key, aad.as_bytes(), dek.bytes(), entropy)))
        });
        Ok(slot)
    }

    /// Whether a slot of that kind may have that secret; `replacing` is the slot that would go.
    fn admits(&self, secret: &Secret, kind: SlotKind, replacing: Option<SlotId>) -> Result<(), CryptoError> {
        let mut others = self.slots.iter().filter(|slot| Some(slot.id) != replacing);
        if let Some(tag) = secret.tag() {
            let taken = others.any(|slot| slot.tag.as_deref() == Some(tag));
            return if taken { Err(CryptoError::Slot("another slot has this tag: make a new key")) } else { Ok(()) };
        }
        if secret.bytes().is_empty() {
            return Err(CryptoError::Slot("an empty password is none"));
        }
        match kind {
            SlotKind::AppPassword => Err(CryptoError::Slot("app passwords are made, not chosen")),
            SlotKind::Password | SlotKind::Recovery => {
                let taken = others.any(|slot| slot.kind == kind && slot.kdf == Kdf::Argon2id);
                if taken {
                    Err(CryptoError::Slot("there is a chosen secret of this kind: change that one"))
                } else {
                    Ok(())
                }
            }
        }
    }

    /// Random, because a counter would need to remember removed slots. Kept positive for SQLite and for people.
    fn fresh_id(&self, entropy: &mut Entropy) -> SlotId {
        loop {
            let id = SlotId(u32::from_le_bytes(entropy.array()) >> 1);
            if id.0 != 0 && self.slot(id).is_none() {
                return id;
            }
        }
    }
}
