//! Keysets of addresses that do not exist: whoever asks cannot tell.

use jiff::Timestamp;
use model::Address;
use model::verbs::Scope;

use super::argon2::Argon2Cost;
use super::format::{Kdf, Keyset, SlotKind};
use super::slots::NewSlot;
use super::unlock::Root;
use crate::hash::hkdf_sha256;
use crate::random::Entropy;
use crate::{Canonical, CryptoError, Secret};

/// Fakes say they were made at some moment of these years; the real ones of a server spread alike.
const FAKE_EPOCH: i64 = 1_767_225_600;
const FAKE_SPREAD_SECONDS: u32 = 30_000_000;

/// The keyset of an address that has none: a function of the server secret (equal on all shards) and the address, so that
/// asking twice gives the same. It looks like one with a password (every other one also has a recovery key), a login costs
/// the same, and nothing opens it: its slots are wrapped under keys that are thrown away.
///
/// Making it takes about as long as sealing a message (0.3 ms). Where that shows, make one for existing addresses too.
pub fn fake_keyset(server_secret: &[u8; 32], address: &Address, cost: Argon2Cost) -> Result<Keyset, CryptoError> {
    let info = Canonical::new("sealpost/fake-keyset/v1").bytes(address.to_string().as_bytes());
    let mut entropy = Entropy::seeded(hkdf_sha256(b"", server_secret, info.as_bytes()));
    let (mut keyset, dek) = Keyset::without_slots(address, cost, &mut entropy)?;
    let created = FAKE_EPOCH + i64::from(u32::from_le_bytes(entropy.array()) % FAKE_SPREAD_SECONDS);
    let created = Timestamp::from_second(created).unwrap_or(Timestamp::UNIX_EPOCH);
    let [has_recovery] = entropy.array();
    let kinds: &[_] =
        if has_recovery % 2 == 0 { &[SlotKind::Password] } else { &[SlotKind::Password, SlotKind::Recovery] };
    for kind in kinds {
        let scopes: &[_] = match kind {
            SlotKind::Recovery => &[Scope::Owner],
            _ => &[Scope::Imap, Scope::Pop3, Scope::Submission, Scope::Owner],
        };
        let secret = Secret::mint_with(&keyset.tags(), &mut entropy);
        // The root is random instead of derived: not even the minted secret above would open the slot.
        let root = Root::from_material(&keyset.argon2.salt.0, entropy.array().into());
        let scopes = scopes.iter().copied().collect();
        keyset.insert_slot(&dek, &NewSlot { secret: &secret, kind: *kind, scopes, created }, &root, &mut entropy)?;
    }
    debug_assert!(keyset.slots.iter().all(|slot| slot.kdf == Kdf::Hkdf));
    Ok(keyset)
}
