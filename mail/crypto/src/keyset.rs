//! `keys.json`: everything that opens a mailbox, each piece useless without a secret.
//!
//! Format 1 is JSON; byte strings are base64. The fields are those of [`Keyset`]; how each is protected:
//!
//! | field | protected by |
//! |---|---|
//! | `slots[].wrap` (password, app password) | a box under HKDF(secret), bound to keysetId, id, kind, tag, scopes, kdf, created |
//! | `slots[].wrap` (recovery) | HPKE to a key derived from the secret, bound likewise and signed by the lineage key |
//! | `sealing`, `lineage`, `archiveSigners`, `keysetId` | `mac`, keyed by HKDF(DEK), checked at every unlock |
//! | `sealing.secretWrapped`, `lineage.secretWrapped`, `previousDeks` | boxes under HKDF(DEK) |
//! | `argon2` | the slots: with other parameters none of them opens; and caps when read |
//! | `version` | nothing: whoever holds the volume can roll back, which the archive detects |
//!
//! Invariants:
//! * Every change raises `version` by one; whoever stores the result replaces exactly the version before it.
//! * Slots can be removed without the DEK, and added or changed only with it.
//! * At most one password and one recovery phrase are chosen secrets; they share one run of Argon2id.
//! * A slot id is never used for another slot.

mod argon2;
mod create;
mod fake;
mod format;
mod recovery;
mod slots;
mod unlock;

pub use argon2::Argon2Cost;
pub use create::NewKeyset;
pub use fake::fake_keyset;
pub use format::{Keyset, Slot, SlotKind};
pub use slots::NewSlot;
pub use unlock::{Unlocked, Verified};

#[cfg(test)]
mod tests;
