//! Signed documents: markers and manifests.
//!
//! ```text
//! {"body":"{\"format\":1,...}","signer":"<base64>","signature":"<base64>"}
//! ```
//!
//! `body` is a JSON document as text; the signature is Ed25519 over SHA-256(`SPAR1 <kind>\n` | the bytes of that text).
//! The hash of a document is the same SHA-256.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Damage, FORMAT, Fault, Sha256, Signature, Signer, SignerKey};

#[derive(Serialize, Deserialize)]
struct Signed {
    body: String,
    signer: SignerKey,
    signature: Signature,
}

/// Something that is signed as a document.
pub trait Document: Serialize + DeserializeOwned {
    /// One word that no other kind of document has: a signature is good for one kind only.
    const KIND: &'static str;
}

/// A document that was read, and whose signature is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read<D> {
    /// What it says.
    pub document: D,
    /// Who signed it. Whether that is somebody to trust is for the caller to know.
    pub signer: SignerKey,
    /// Its hash.
    pub hash: Sha256,
}

/// The bytes of an object that holds `document`, and its hash.
pub fn write<D: Document>(document: &D, signer: &Signer) -> (Vec<u8>, Sha256) {
    // Documents are plain structs with text keys.
    let body = serde_json::to_string(document).unwrap_or_default();
    let hash = hash::<D>(&body);
    let object = Signed { body, signer: signer.public(), signature: signer.sign(hash) };
    (serde_json::to_vec(&object).unwrap_or_default(), hash)
}

/// Reads one and checks its signature. `object` is its key, for the error.
pub fn read<D: Document>(object: &str, bytes: &[u8]) -> Result<Read<D>, Damage> {
    let signed: Signed = serde_json::from_slice(bytes).map_err(|_| Fault::Foreign.of(object))?;
    let hash = hash::<D>(&signed.body);
    if !signed.signer.verifies(hash, &signed.signature) {
        return Err(Fault::Signature.of(object));
    }
    let version = serde_json::from_str::<Version>(&signed.body);
    let version = version.map_err(|error| Fault::Header(error.to_string()).of(object))?;
    if version.format != FORMAT {
        return Err(Fault::Version(version.format).of(object));
    }
    let document = serde_json::from_str(&signed.body).map_err(|error| Fault::Header(error.to_string()).of(object))?;
    Ok(Read { document, signer: signed.signer, hash })
}

#[derive(Deserialize)]
struct Version {
    format: u32,
}

fn hash<D: Document>(body: &str) -> Sha256 {
    Sha256::of_parts(&[b"SPAR1 ", D::KIND.as_bytes(), b"\n", body.as_bytes()])
}

#[cfg(test)]
mod tests;
