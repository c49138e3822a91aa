//! The data key of a mailbox, and how it rests in memory.
//!
//! A [`Dek`] is in clear and lives as briefly as possible. A [`ShieldedDek`] is what sessions, caches and leases hold: the
//! same key, encrypted under a random key of this process that exists once, in a locked page which no core file contains.
//! This protects against swap, dumps and leaked memory, not against whoever controls the running process.

use std::fmt;
use std::sync::OnceLock;

use sys::{ArenaReport, LockedKey, SysError};
use zeroize::Zeroizing;

use crate::CryptoError;
use crate::aead;
use crate::hash::{hkdf_sha256, same};
use crate::random::{Entropy, random};

/// The 32 random bytes that open a mailbox: SQLCipher's raw key and the root of everything wrapped beside it. On the heap,
/// so that moving the value leaves no copy behind.
pub struct Dek(Box<Zeroizing<[u8; 32]>>);

impl Dek {
    /// A fresh one.
    pub(crate) fn generate(entropy: &mut Entropy) -> Self {
        let mut bytes = Box::new(Zeroizing::new([0; 32]));
        entropy.fill(bytes.as_mut_slice());
        Self(bytes)
    }

    /// From bytes that came out of a wrap.
    pub(crate) fn from_box(bytes: Box<Zeroizing<[u8; 32]>>) -> Self {
        Self(bytes)
    }

    /// From bytes, which the caller wipes. For tests and for tools of the owner.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        let mut own = Box::new(Zeroizing::new([0; 32]));
        own.copy_from_slice(bytes);
        Self(own)
    }

    /// The bytes, for SQLCipher.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A key for one purpose, derived from this one.
    pub fn derive(&self, info: &[u8]) -> Zeroizing<[u8; 32]> {
        hkdf_sha256(b"sealpost/dek/v1", self.bytes(), info)
    }

    /// True for the same key; constant time.
    pub fn is_same(&self, other: &Self) -> bool {
        same(self.bytes(), other.bytes())
    }
}

impl fmt::Debug for Dek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dek(..)")
    }
}

/// A [`Dek`] at rest in memory. A clone is another copy of the ciphertext.
#[derive(Clone)]
pub struct ShieldedDek(Vec<u8>);

const SHIELD_AAD: &[u8] = b"sealpost/shield/v1";

impl ShieldedDek {
    /// Encrypts a key under this process's.
    pub fn new(dek: &Dek) -> Self {
        Self(aead::seal(shield().bytes(), SHIELD_AAD, dek.bytes(), &mut Entropy::System))
    }

    /// Lends the key for one operation; it is wiped when `use_it` returns.
    pub fn with<T>(&self, use_it: impl FnOnce(&Dek) -> T) -> T {
        use_it(&self.lift())
    }

    #[expect(clippy::expect_used, reason = "made by this process, under a key that lives and stays as long as it does")]
    fn lift(&self) -> Dek {
        let opened: Result<_, CryptoError> = aead::open_key(shield().bytes(), SHIELD_AAD, &self.0, "a shielded key");
        Dek::from_box(opened.expect("memory is not changed from outside"))
    }
}

impl fmt::Debug for ShieldedDek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ShieldedDek(..)")
    }
}

/// How well this process's key is protected; for the log of the start.
pub fn shield_report() -> ArenaReport {
    shield().report()
}

/// The key of this process, made at first use.
#[expect(clippy::expect_used, reason = "a process that cannot map three pages cannot do anything else either")]
pub(crate) fn shield() -> &'static LockedKey {
    static SHIELD: OnceLock<LockedKey> = OnceLock::new();
    SHIELD.get_or_init(|| {
        let made = LockedKey::new(|bytes| -> Result<(), SysError> {
            *bytes = *Zeroizing::new(random());
            Ok(())
        });
        made.expect("three pages of memory")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shielded_key_comes_back_and_is_not_shown() {
        let dek = Dek::generate(&mut Entropy::System);
        let shielded = ShieldedDek::new(&dek);
        assert!(shielded.clone().with(|lifted| lifted.is_same(&dek)));
        assert!(!shielded.0.windows(8).any(|w| dek.bytes().windows(8).any(|d| w == d)));
        assert_eq!(format!("{dek:?} {shielded:?}"), "Dek(..) ShieldedDek(..)");
    }

    #[test]
    fn derived_keys_depend_on_key_and_purpose() {
        let (one, other) = (Dek::from_bytes(&[1; 32]), Dek::from_bytes(&[2; 32]));
        assert_eq!(one.derive(b"a"), one.derive(b"a"));
        assert_ne!(one.derive(b"a"), one.derive(b"b"));
        assert_ne!(one.derive(b"a"), other.derive(b"a"));
        assert!(!one.is_same(&other));
    }
}
