//! HPKE (RFC 9180) with X-Wing, the hybrid of X25519 and ML-KEM-768, HKDF-SHA-256 and ChaCha20-Poly1305.
//!
//! Format of a sealed value: encapsulated key (1120) | ciphertext and tag (plaintext + 16). What it is for goes in HPKE's
//! `info`, where it belongs in the additional data.

use std::fmt;

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::CryptoError;
use crate::random::Entropy;

/// Length of a public key in bytes.
pub(crate) const PUBLIC_LEN: usize = 1216;
/// Length of an encapsulated key in bytes.
const ENCAPSULATED: usize = 1120;

type PrivateKey = <XWing as Kem>::PrivateKey;

/// A public key. Its bytes are checked when it is used.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct HybridPublic(Box<[u8]>);

impl HybridPublic {
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, CryptoError> {
        if bytes.len() != PUBLIC_LEN {
            return Err(CryptoError::malformed("public key", format!("{} bytes, not {PUBLIC_LEN}", bytes.len())));
        }
        Ok(Self(bytes.into()))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Seals `plaintext` so that only the holder of the secret key opens it.
    pub(crate) fn seal(
        &self,
        info: &[u8],
        aad: &[u8],
        plaintext: &[u8],
        entropy: &mut Entropy,
    ) -> Result<Vec<u8>, CryptoError> {
        let invalid = |e: hpke::HpkeError| CryptoError::malformed("public key", e.to_string());
        let key = <XWing as Kem>::PublicKey::from_bytes(&self.0).map_err(invalid)?;
        let (encapsulated, ciphertext) = hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, XWing>(
            &OpModeS::Base,
            &key,
            info,
            plaintext,
            aad,
            entropy,
        )
        .map_err(invalid)?;
        Ok([encapsulated.to_bytes().as_slice(), &ciphertext].concat())
    }
}

impl fmt::Debug for HybridPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = data_encoding::HEXLOWER.encode(&self.0[..4]);
        write!(f, "HybridPublic({start}..)")
    }
}

impl Serialize for HybridPublic {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        serde_bytes::Bytes::new(&self.0).serialize(s)
    }
}

impl<'de> Deserialize<'de> for HybridPublic {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::from_bytes(&serde_bytes::ByteBuf::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}

/// A secret key. On the heap, wiped when dropped.
pub(crate) struct HybridSecret(Box<PrivateKey>);

impl HybridSecret {
    /// The key pair that a 32-byte seed stands for.
    pub(crate) fn from_seed(seed: &[u8; 32]) -> Result<Self, CryptoError> {
        let key = PrivateKey::from_bytes(seed).map_err(|e| CryptoError::malformed("secret key", e.to_string()))?;
        Ok(Self(Box::new(key)))
    }

    pub(crate) fn public(&self) -> HybridPublic {
        HybridPublic(XWing::sk_to_pk(&self.0).to_bytes().as_slice().into())
    }

    /// Opens what was sealed to [`HybridSecret::public`] with the same `info` and `aad`.
    pub(crate) fn open(
        &self,
        info: &[u8],
        aad: &[u8],
        sealed: &[u8],
        what: &'static str,
    ) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let tampered = || CryptoError::Tampered(what);
        let (encapsulated, ciphertext) = sealed.split_at_checked(ENCAPSULATED).ok_or_else(tampered)?;
        let encapsulated = <XWing as Kem>::EncappedKey::from_bytes(encapsulated).map_err(|_| tampered())?;
        let opened = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, XWing>(
            &OpModeR::Base,
            &self.0,
            &encapsulated,
            info,
            ciphertext,
            aad,
        );
        opened.map(Zeroizing::new).map_err(|_| tampered())
    }
}

impl fmt::Debug for HybridSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HybridSecret(..)")
    }
}
