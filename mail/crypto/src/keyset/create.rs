//! Making a keyset.

use std::collections::BTreeSet;

use ed25519_dalek::SigningKey;
use jiff::Timestamp;
use model::verbs::Scope;
use model::{Address, KeysetId};
use zeroize::Zeroizing;

use super::argon2::{Argon2Cost, Argon2Params};
use super::format::{AddressTag, Blob, FORMAT, Keyset, Lineage, Sealing, SlotKind, Under, address_hash};
use super::slots::NewSlot;
use crate::hybrid::HybridSecret;
use crate::random::Entropy;
use crate::{CryptoError, Dek, Secret, aead};

/// Number of the first sealing key.
const FIRST_SEALING_KEY: u32 = 1;

/// What a keyset is made from.
#[derive(Debug, Clone)]
pub struct NewKeyset<'a> {
    /// Whose mailbox; only a salted hash of it is kept.
    pub address: &'a Address,
    /// The owner's password, minted or chosen.
    pub password: &'a Secret,
    /// The recovery key, where the owner wants one.
    pub recovery: Option<&'a Secret>,
    /// Cost of chosen secrets.
    pub cost: Argon2Cost,
    /// Now.
    pub created: Timestamp,
}

impl Keyset {
    /// Makes DEK, password slot, sealing and lineage keys. The result has version 1 and is all that may be stored; the DEK
    /// is for whoever goes on to use the mailbox at once.
    pub fn create(new: &NewKeyset<'_>) -> Result<(Self, Dek), CryptoError> {
        Self::create_with(new, &mut Entropy::System)
    }

    pub(crate) fn create_with(new: &NewKeyset<'_>, entropy: &mut Entropy) -> Result<(Self, Dek), CryptoError> {
        new.cost.check()?;
        let (mut keyset, dek) = Self::without_slots(new.address, new.cost, entropy)?;
        let password = NewSlot {
            secret: new.password,
            kind: SlotKind::Password,
            scopes: BTreeSet::from([Scope::Imap, Scope::Pop3, Scope::Submission, Scope::Owner]),
            created: new.created,
        };
        keyset.insert_slot(&dek, &password, &keyset.root(new.password)?, entropy)?;
        if let Some(secret) = new.recovery {
            let scopes = BTreeSet::from([Scope::Owner]);
            let recovery = NewSlot { secret, kind: SlotKind::Recovery, scopes, created: new.created };
            keyset.insert_slot(&dek, &recovery, &keyset.root(secret)?, entropy)?;
        }
        Ok((keyset, dek))
    }

    /// Everything but the slots.
    pub(super) fn without_slots(
        address: &Address,
        cost: Argon2Cost,
        entropy: &mut Entropy,
    ) -> Result<(Self, Dek), CryptoError> {
        let dek = Dek::generate(entropy);
        let keyset_id = KeysetId(entropy.array());
        let salt: [u8; 16] = entropy.array();
        let sealing_seed = Zeroizing::new(entropy.array());
        let lineage_seed = Zeroizing::new(entropy.array());
        let sealing_public = HybridSecret::from_seed(&sealing_seed)?.public();
        let lineage_public = SigningKey::from_bytes(&lineage_seed).verifying_key();
        let mut wrap = |under: Under, secret: &[u8; 32]| {
            let aad = under.aad(keyset_id);
            Blob(aead::seal(&dek.derive(aad.as_bytes()), aad.as_bytes(), secret, entropy))
        };
        let sealing = Sealing {
            key_id: FIRST_SEALING_KEY,
            public: sealing_public.as_bytes().into(),
            secret_wrapped: wrap(Under::Sealing(FIRST_SEALING_KEY), &sealing_seed),
        };
        let lineage =
            Lineage { public: lineage_public.as_bytes().into(), secret_wrapped: wrap(Under::Lineage, &lineage_seed) };
        let mut keyset = Self {
            format: FORMAT,
            version: 1,
            keyset_id,
            address_tag: AddressTag { salt: salt.into(), hash: address_hash(&salt, address).into() },
            argon2: Argon2Params::new(cost, entropy.array()),
            slots: Vec::new(),
            sealing,
            archive_signers: Vec::new(),
            lineage,
            previous_deks: Vec::new(),
            mac: Blob::default(),
        };
        keyset.mac = keyset.mac_under(&dek).into();
        Ok((keyset, dek))
    }
}
