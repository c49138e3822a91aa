//! Hashes and what is built from them: HMAC, HKDF, comparison in constant time. SHA-256 everywhere.

use hmac::{KeyInit, Mac};
use sha2::Digest;
use subtle::ConstantTimeEq;

/// SHA-256 of one byte string.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    sha2::Sha256::digest(bytes).into()
}

/// SHA-256 of what comes in pieces.
#[derive(Debug, Clone, Default)]
pub struct Sha256(sha2::Sha256);

impl Sha256 {
    /// Nothing hashed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Hashes the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of all pieces.
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// HMAC-SHA-256 (RFC 2104) of one byte string.
pub fn hmac_sha256(key: &[u8], bytes: &[u8]) -> [u8; 32] {
    let mut mac = HmacSha256::new(key);
    mac.update(bytes);
    mac.finish()
}

/// HMAC-SHA-256 of what comes in pieces.
#[derive(Debug, Clone)]
pub struct HmacSha256(hmac::Hmac<sha2::Sha256>);

impl HmacSha256 {
    /// With a key of any length.
    #[expect(clippy::expect_used, reason = "HMAC is defined for keys of every length")]
    pub fn new(key: &[u8]) -> Self {
        Self(hmac::Hmac::new_from_slice(key).expect("a key of any length"))
    }

    /// Hashes the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The code of all pieces. Compare it with [`same`].
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into_bytes().into()
    }
}

/// A 32-byte key from key material (HKDF, RFC 5869) for the one purpose that `info` names.
#[expect(clippy::expect_used, reason = "HKDF-SHA-256 gives up to 8,160 bytes")]
pub fn hkdf_sha256(salt: &[u8], material: &[u8], info: &[u8]) -> zeroize::Zeroizing<[u8; 32]> {
    let mut key = zeroize::Zeroizing::new([0; 32]);
    let expanded = hkdf::Hkdf::<sha2::Sha256>::new(Some(salt), material).expand(info, key.as_mut_slice());
    expanded.expect("32 bytes are within HKDF's limit");
    key
}

/// Compares in a time that depends on the lengths only.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    #[test]
    fn published_vectors_hold() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(HEXLOWER.encode(&sha256(b"abc")), abc);
        // RFC 4231 test case 2.
        let code = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(HEXLOWER.encode(&hmac_sha256(b"Jefe", b"what do ya want for nothing?")), code);
        // RFC 5869 test case 1, first 32 of 42 bytes.
        let salt = HEXLOWER.decode(b"000102030405060708090a0b0c").unwrap();
        let info = HEXLOWER.decode(b"f0f1f2f3f4f5f6f7f8f9").unwrap();
        let key = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf";
        assert_eq!(HEXLOWER.encode(hkdf_sha256(&salt, &[0x0b; 22], &info).as_slice()), key);
    }

    #[test]
    fn pieces_hash_as_the_whole() {
        let mut hash = Sha256::new();
        hash.update(b"a");
        hash.update(b"bc");
        assert_eq!(hash.finish(), sha256(b"abc"));
        assert!(same(b"abc", b"abc") && !same(b"abc", b"abd") && !same(b"abc", b"ab"));
    }
}
