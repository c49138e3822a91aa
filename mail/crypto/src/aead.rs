//! XChaCha20-Poly1305 with random nonces, committed to its key.
//!
//! Format of a box: nonce (24) | commitment (32) | ciphertext and tag (plaintext + 16). From the given key, the nonce and
//! HKDF come the cipher key and the commitment; the commitment is compared first, so that one box cannot be made to open
//! under two keys (which Poly1305 alone does not prevent, and which would let a store test many passwords with one answer).

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use zeroize::Zeroizing;

use crate::CryptoError;
use crate::hash::{hkdf_sha256, same};
use crate::random::Entropy;

const NONCE: usize = 24;
const COMMITMENT: usize = 32;
const TAG: usize = 16;
/// Bytes that a box is longer than what it holds.
pub(crate) const OVERHEAD: usize = NONCE + COMMITMENT + TAG;

/// Boxes `plaintext`, bound to `aad`.
#[expect(clippy::expect_used, reason = "the cipher refuses only texts beyond 256 GiB")]
pub(crate) fn seal(key: &[u8; 32], aad: &[u8], plaintext: &[u8], entropy: &mut Entropy) -> Vec<u8> {
    let nonce: [u8; NONCE] = entropy.array();
    let mut sealed = Vec::with_capacity(plaintext.len() + OVERHEAD);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(commitment(key, &nonce).as_slice());
    sealed.extend_from_slice(plaintext);
    let body = &mut sealed[NONCE + COMMITMENT..];
    let tag = cipher(key, &nonce).encrypt_inout_detached(&nonce.into(), aad, body.into());
    sealed.extend_from_slice(&tag.expect("a short text"));
    sealed
}

/// Opens a box made for `aad`; `what` names it in the error.
pub(crate) fn open(
    key: &[u8; 32],
    aad: &[u8],
    sealed: &[u8],
    what: &'static str,
) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    let tampered = || CryptoError::Tampered(what);
    let (nonce, rest) = sealed.split_first_chunk::<NONCE>().ok_or_else(tampered)?;
    let (committed, rest) = rest.split_first_chunk::<COMMITMENT>().ok_or_else(tampered)?;
    let (body, tag) = rest.split_last_chunk::<TAG>().ok_or_else(tampered)?;
    if !same(committed, commitment(key, nonce).as_slice()) {
        return Err(tampered());
    }
    let mut plaintext = Zeroizing::new(body.to_vec());
    let opened =
        cipher(key, nonce).decrypt_inout_detached(nonce.into(), aad, plaintext.as_mut_slice().into(), tag.into());
    opened.map_err(|_| tampered())?;
    Ok(plaintext)
}

/// Opens a box that must hold exactly 32 bytes.
pub(crate) fn open_key(
    key: &[u8; 32],
    aad: &[u8],
    sealed: &[u8],
    what: &'static str,
) -> Result<Box<Zeroizing<[u8; 32]>>, CryptoError> {
    let plaintext = open(key, aad, sealed, what)?;
    let mut bytes = Box::new(Zeroizing::new([0; 32]));
    if plaintext.len() != bytes.len() {
        return Err(CryptoError::Tampered(what));
    }
    bytes.copy_from_slice(&plaintext);
    Ok(bytes)
}

fn cipher(key: &[u8; 32], nonce: &[u8; NONCE]) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new((&*hkdf_sha256(nonce, key, b"sealpost/box-key/v1")).into())
}

fn commitment(key: &[u8; 32], nonce: &[u8; NONCE]) -> Zeroizing<[u8; COMMITMENT]> {
    hkdf_sha256(nonce, key, b"sealpost/box-commitment/v1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_opens_only_whole_with_its_key_and_its_place() {
        let sealed = seal(&[1; 32], b"here", b"content", &mut Entropy::System);
        assert_eq!(open(&[1; 32], b"here", &sealed, "box").unwrap().as_slice(), b"content");
        assert_eq!(sealed.len(), 7 + OVERHEAD);
        assert!(open(&[2; 32], b"here", &sealed, "box").is_err());
        assert!(open(&[1; 32], b"there", &sealed, "box").is_err());
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert!(open(&[1; 32], b"here", &damaged, "box").is_err(), "byte {at}");
            assert!(open(&[1; 32], b"here", &sealed[..at], "box").is_err(), "cut at {at}");
        }
    }
}
