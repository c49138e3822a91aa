//! The fields of `keys.json`, reading, writing, and what can be said about a keyset without any secret.

use std::collections::BTreeSet;

use data_encoding::BASE64;
use jiff::Timestamp;
use model::verbs::Scope;
use model::{Address, KeysetId, SlotId};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::argon2::Argon2Params;
use super::recovery::RecoveryWrap;
use crate::hash::{hmac_sha256, same};
use crate::hybrid::HybridPublic;
use crate::{Canonical, CryptoError, Dek, SealingKey, SealingPublic};

/// The format this version reads and writes.
pub(super) const FORMAT: u32 = 1;
/// More slots than anybody has devices; bounds what a forged file can cost.
const MAX_SLOTS: usize = 256;

/// A mailbox's keys, see the module. Made by [`Keyset::create`] or read by [`Keyset::from_json`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "the fields of the file, by their names there")]
pub struct Keyset {
    pub(super) format: u32,
    pub(super) version: u64,
    pub(super) keyset_id: KeysetId,
    pub(super) address_tag: AddressTag,
    pub(super) argon2: Argon2Params,
    pub(super) slots: Vec<Slot>,
    pub(super) sealing: Sealing,
    #[serde(default)]
    pub(super) archive_signers: Vec<Blob>,
    pub(super) lineage: Lineage,
    #[serde(default)]
    pub(super) previous_deks: Vec<PreviousDek>,
    pub(super) mac: Blob,
}

/// Tells whether a keyset belongs to an address, without naming it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AddressTag {
    pub(super) salt: Blob,
    pub(super) hash: Blob,
}

/// One secret that opens the mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slot {
    pub(super) id: SlotId,
    /// Which minted secret it belongs to; none for a chosen one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tag: Option<String>,
    pub(super) kind: SlotKind,
    pub(super) scopes: BTreeSet<Scope>,
    pub(super) created: Timestamp,
    /// Version of the keyset in which its secret was replaced; absent where it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) changed: Option<u64>,
    pub(super) kdf: Kdf,
    /// Absent where a keyset was stripped for a role that only verifies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) wrap: Option<Wrap>,
    pub(super) verifier: Blob,
}

/// What a slot is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SlotKind {
    /// The owner's password.
    Password,
    /// A password of one device, minted, limited to its scopes.
    AppPassword,
    /// The sheet of paper.
    Recovery,
}

/// From secret to key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kdf {
    /// For minted secrets.
    Hkdf,
    /// For chosen ones.
    Argon2id,
}

/// The DEK, for whoever has the slot's secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Wrap {
    /// A box under a key derived from the secret.
    Box(Blob),
    /// Sealed to a public key derived from it.
    Recovery(RecoveryWrap),
}

/// The key pair that waiting mail is sealed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Sealing {
    pub(super) key_id: u32,
    pub(super) public: Blob,
    pub(super) secret_wrapped: Blob,
}

/// The Ed25519 pair that vouches for seals to recovery keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Lineage {
    pub(super) public: Blob,
    pub(super) secret_wrapped: Blob,
}

/// The DEK before a rekey, for backups of that time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PreviousDek {
    pub(super) keyset_id: KeysetId,
    pub(super) wrapped: Blob,
}

impl Keyset {
    /// Reads `keys.json`, refusing what this version does not know or must not run.
    pub fn from_json(json: &[u8]) -> Result<Self, CryptoError> {
        /// Enough to tell a newer format from damage.
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let malformed = |e: serde_json::Error| CryptoError::malformed("keyset", e.to_string());
        let Format { format: found } = serde_json::from_slice(json).map_err(malformed)?;
        if found != FORMAT {
            return Err(CryptoError::Format { what: "keyset", found, known: FORMAT });
        }
        let keyset: Self = serde_json::from_slice(json).map_err(malformed)?;
        keyset.argon2.cost().check()?;
        if keyset.slots.len() > MAX_SLOTS {
            return Err(CryptoError::malformed("keyset", format!("{} slots", keyset.slots.len())));
        }
        Ok(keyset)
    }

    /// The bytes of `keys.json`.
    #[expect(clippy::expect_used, reason = "plain structs of strings and numbers always have a JSON form")]
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec_pretty(self).expect("a JSON form");
        json.push(b'\n');
        json
    }

    /// Names the DEK and all that wraps it.
    pub fn keyset_id(&self) -> KeysetId {
        self.keyset_id
    }

    /// Raised by one with every change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// All slots, in the order they were made.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The slot with that id.
    pub fn slot(&self, id: SlotId) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.id == id)
    }

    /// Tags in use, for [`crate::Secret::mint`].
    pub fn tags(&self) -> Vec<String> {
        self.slots.iter().filter_map(|slot| slot.tag.clone()).collect()
    }

    /// True where the keyset was made for that address.
    pub fn matches_address(&self, address: &Address) -> bool {
        same(&self.address_tag.hash.0, &address_hash(&self.address_tag.salt.0, address))
    }

    /// What mail for this mailbox is sealed to. Proved to be the owner's only at the next unlock.
    pub fn sealing_public(&self) -> Result<SealingPublic, CryptoError> {
        let public = HybridPublic::from_bytes(&self.sealing.public.0)?;
        Ok(SealingPublic { keyset: self.keyset_id, key_id: self.sealing.key_id, public })
    }

    /// What opens that mail.
    pub fn unwrap_sealing_key(&self, dek: &Dek) -> Result<SealingKey, CryptoError> {
        let seed = self.open_under_dek(dek, Under::Sealing(self.sealing.key_id), &self.sealing.secret_wrapped)?;
        let secret = crate::hybrid::HybridSecret::from_seed(&seed)?;
        if secret.public().as_bytes() != self.sealing.public.0 {
            return Err(CryptoError::Tampered("the sealing key"));
        }
        Ok(SealingKey { keyset: self.keyset_id, key_id: self.sealing.key_id, secret })
    }

    /// Without anything that wraps the DEK: for roles that only check passwords, see [`Keyset::verify_only`].
    #[must_use]
    pub fn strip_wraps(&self) -> Self {
        let mut stripped = self.clone();
        for slot in &mut stripped.slots {
            slot.wrap = None;
        }
        stripped.sealing.secret_wrapped = Blob::default();
        stripped.lineage.secret_wrapped = Blob::default();
        stripped.previous_deks.clear();
        stripped
    }

    /// Checks that sealing, lineage and signer keys are those of the DEK's holder. Part of every unlock.
    pub fn verify_mac(&self, dek: &Dek) -> Result<(), CryptoError> {
        let holds = same(&self.mac.0, &self.mac_under(dek));
        if holds { Ok(()) } else { Err(CryptoError::Tampered("the keyset")) }
    }

    pub(super) fn mac_under(&self, dek: &Dek) -> [u8; 32] {
        let mut fields = Canonical::new("sealpost/keyset-mac/v1")
            .number(u64::from(self.format))
            .bytes(&self.keyset_id.0)
            .number(u64::from(self.sealing.key_id))
            .bytes(&self.sealing.public.0)
            .bytes(&self.sealing.secret_wrapped.0)
            .bytes(&self.lineage.public.0)
            .bytes(&self.lineage.secret_wrapped.0)
            .number(self.archive_signers.len() as u64);
        for signer in &self.archive_signers {
            fields = fields.bytes(&signer.0);
        }
        hmac_sha256(dek.derive(b"sealpost/keyset-mac/v1").as_slice(), fields.as_bytes())
    }
}

/// What is boxed under the DEK.
#[derive(Debug, Clone, Copy)]
pub(super) enum Under {
    Sealing(u32),
    Lineage,
}

impl Under {
    pub(super) fn aad(self, keyset: KeysetId) -> Canonical {
        let (domain, key_id) = match self {
            Self::Sealing(key_id) => ("sealpost/sealing-secret/v1", key_id),
            Self::Lineage => ("sealpost/lineage-secret/v1", 0),
        };
        Canonical::new(domain).number(u64::from(FORMAT)).bytes(&keyset.0).number(u64::from(key_id))
    }

    fn what(self) -> &'static str {
        match self {
            Self::Sealing(_) => "the sealing key",
            Self::Lineage => "the lineage key",
        }
    }
}

impl Keyset {
    pub(super) fn open_under_dek(
        &self,
        dek: &Dek,
        under: Under,
        wrapped: &Blob,
    ) -> Result<Box<zeroize::Zeroizing<[u8; 32]>>, CryptoError> {
        let aad = under.aad(self.keyset_id);
        crate::aead::open_key(&dek.derive(aad.as_bytes()), aad.as_bytes(), &wrapped.0, under.what())
    }
}

impl Slot {
    /// Its id; an attach names it.
    pub fn id(&self) -> SlotId {
        self.id
    }

    /// What it is for.
    pub fn kind(&self) -> SlotKind {
        self.kind
    }

    /// What its secret may do.
    pub fn scopes(&self) -> &BTreeSet<Scope> {
        &self.scopes
    }

    /// True where a login that unlocked the keyset in that version used the secret that the slot has now.
    pub fn is_unchanged_since(&self, version: u64) -> bool {
        // Keysets begin with version 1.
        self.changed.unwrap_or(1) <= version
    }

    /// When it was made, or its secret changed.
    pub fn created(&self) -> Timestamp {
        self.created
    }

    /// The tag of its minted secret; none for a chosen one.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// What its wrap is bound to.
    pub(super) fn aad(&self, keyset: KeysetId) -> Canonical {
        let kind = match self.kind {
            SlotKind::Password => 1,
            SlotKind::AppPassword => 2,
            SlotKind::Recovery => 3,
        };
        let aad = Canonical::new("sealpost/slot-wrap/v1")
            .number(u64::from(FORMAT))
            .bytes(&keyset.0)
            .number(u64::from(self.id.0))
            .number(kind)
            .bytes(self.tag.as_deref().unwrap_or_default().as_bytes())
            .number(match self.kdf {
                Kdf::Hkdf => 1,
                Kdf::Argon2id => 2,
            })
            .number(self.created.as_nanosecond() as u64);
        // As numbers in their own order: neither names nor the order of the type may change what a wrap is bound to.
        let mut scopes: Vec<u8> = self.scopes.iter().map(|scope| scope_number(*scope)).collect();
        scopes.sort_unstable();
        aad.bytes(&scopes)
    }
}

fn scope_number(scope: Scope) -> u8 {
    match scope {
        Scope::Imap => 1,
        Scope::Pop3 => 2,
        Scope::Submission => 3,
        Scope::Owner => 4,
    }
}

pub(super) fn address_hash(salt: &[u8], address: &Address) -> [u8; 32] {
    let field = Canonical::new("sealpost/address-tag/v1").bytes(address.to_string().as_bytes());
    hmac_sha256(salt, field.as_bytes())
}

/// Bytes that read as base64 in the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Blob(pub(super) Vec<u8>);

impl<B: AsRef<[u8]>> From<B> for Blob {
    fn from(bytes: B) -> Self {
        Self(bytes.as_ref().to_vec())
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&BASE64.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        BASE64.decode(text.as_bytes()).map(Self).map_err(serde::de::Error::custom)
    }
}
