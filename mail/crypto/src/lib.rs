//! Keys, passwords, sealing: everything secret about a mailbox, and nothing else.
//!
//! Start with [`Keyset`]: what is in `keys.json`, how a [`Secret`] opens it, and what the [`Dek`] inside unlocks. Mail for
//! an owner who is away goes through [`seal`] and [`open`]; a DEK travels to a primary through [`HandoverKey`]; in memory
//! it rests as a [`ShieldedDek`].
//!
//! Invariants:
//! * No type here shows a secret by `Debug`, and all of them are wiped when dropped.
//! * Every ciphertext is bound to where it belongs by additional data (see [`Canonical`]): moved elsewhere, it does not open.
//! * At most one run of Argon2id per login, whatever the keyset holds and whatever was typed.
//! * No clock and no I/O: times are parameters, randomness is the operating system's.
//!
//! Other crates need no cryptographic crates of their own: [`hkdf_sha256`], [`hmac_sha256`], [`sha256`], [`random`] and
//! [`same`] cover what they hash and compare.

mod aead;
mod canonical;
mod dek;
mod error;
mod handover;
mod hash;
mod hybrid;
mod keyset;
mod login_cache;
mod random;
mod sealing;
mod secret;

pub use canonical::Canonical;
pub use dek::{Dek, ShieldedDek, shield_report};
pub use error::CryptoError;
pub use handover::{HandoverAad, HandoverKey, HandoverPublic};
pub use hash::{HmacSha256, Sha256, hkdf_sha256, hmac_sha256, same, sha256};
pub use keyset::{Argon2Cost, Keyset, NewKeyset, NewSlot, Slot, SlotKind, Unlocked, Verified, fake_keyset};
pub use login_cache::{CachedLogin, LoginCache};
pub use random::random;
pub use sealing::{Opened, OpenedChunks, Sealer, SealingKey, SealingPublic, open, open_chunks, seal};
pub use secret::{Secret, SecretError};

#[cfg(test)]
mod vectors;
