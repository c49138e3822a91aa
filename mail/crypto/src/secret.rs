//! Secrets people type: those we mint, and those they choose.
//!
//! A minted secret reads `k7m-x2v9q-...` (a tag, then six groups of five): 15 bits of tag, which picks the slot and is no
//! secret; 140 random bits; 10 bits of checksum. Its alphabet is Crockford's base32 (no `i`, `l`, `o`, `u`), and reading it
//! back forgives case, spaces, missing dashes, and `o`, `i`, `l` for the digits they look like. Strong enough for a fast key
//! derivation: a login with it costs microseconds.
//!
//! Everything else is a chosen secret: taken as the bytes that were typed, and stretched by Argon2id.

use std::fmt;

use zeroize::{Zeroize, Zeroizing};

use crate::hash::sha256;
use crate::random::Entropy;

/// Crockford's base32, in lower case: 32 characters that are hard to mistake for one another.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Characters of a minted secret: tag, random part, checksum.
const TAG: usize = 3;
const RANDOM: usize = 28;
const CHECK: usize = 2;
const LENGTH: usize = TAG + RANDOM + CHECK;
const GROUP: usize = 5;

/// Why a text is not a minted secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Another length or alphabet.
    #[error("this does not look like a key we made: it has three characters and then six groups of five")]
    Form,
    /// The right form, but mistyped.
    #[error("this key is mistyped: compare it with what was shown")]
    Check,
}

/// What opens a slot. Never shown by `Debug`, wiped when dropped.
pub struct Secret {
    /// Canonical text of a minted secret (no dashes), or a chosen one as typed.
    text: Zeroizing<Vec<u8>>,
    minted: bool,
}

impl Secret {
    /// A new random secret whose tag is none of `taken` (see [`crate::Keyset::tags`]).
    pub fn mint(taken: &[String]) -> Self {
        Self::mint_with(taken, &mut Entropy::System)
    }

    pub(crate) fn mint_with(taken: &[String], entropy: &mut Entropy) -> Self {
        loop {
            let mut text = Zeroizing::new(vec![0; LENGTH - CHECK]);
            entropy.fill(&mut text);
            for byte in text.iter_mut() {
                // 256 is a multiple of 32: no character is likelier than another.
                *byte = ALPHABET[usize::from(*byte % 32)];
            }
            let check = checksum(&text);
            text.extend_from_slice(&check);
            let secret = Self { text, minted: true };
            if !taken.iter().any(|tag| Some(tag.as_str()) == secret.tag()) {
                return secret;
            }
        }
    }

    /// Whatever a person typed: minted if it reads as such, checksum included, otherwise chosen.
    pub fn new(typed: &str) -> Self {
        Self::parse_minted(typed)
            .unwrap_or_else(|_| Self { text: Zeroizing::new(typed.as_bytes().to_vec()), minted: false })
    }

    /// Reads a minted secret, or says what is wrong with it: for prompts that expect one.
    pub fn parse_minted(typed: &str) -> Result<Self, SecretError> {
        let mut text = Zeroizing::new(Vec::with_capacity(LENGTH));
        for typed in typed.bytes().filter(|b| !matches!(b, b'-' | b' ')) {
            if text.len() == LENGTH {
                return Err(SecretError::Form);
            }
            text.push(canonical_character(typed).ok_or(SecretError::Form)?);
        }
        if text.len() != LENGTH {
            return Err(SecretError::Form);
        }
        let (head, check) = text.split_at(LENGTH - CHECK);
        if checksum(head) != check {
            return Err(SecretError::Check);
        }
        Ok(Self { text, minted: true })
    }

    /// The tag of a minted secret; none for a chosen one.
    pub fn tag(&self) -> Option<&str> {
        if !self.minted {
            return None;
        }
        std::str::from_utf8(&self.text[..TAG]).ok()
    }

    /// True for a secret made by [`Secret::mint`].
    pub fn is_minted(&self) -> bool {
        self.minted
    }

    /// The text to show to its owner, once.
    pub fn reveal(&self) -> Zeroizing<String> {
        let mut shown = Zeroizing::new(String::with_capacity(LENGTH + 8));
        if !self.minted {
            shown.push_str(&String::from_utf8_lossy(&self.text));
            return shown;
        }
        for (at, byte) in self.text.iter().enumerate() {
            if at >= TAG && (at - TAG).is_multiple_of(GROUP) {
                shown.push('-');
            }
            shown.push(char::from(*byte));
        }
        shown
    }

    /// What key derivation works on.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.text
    }
}

impl Clone for Secret {
    fn clone(&self) -> Self {
        Self { text: self.text.clone(), minted: self.minted }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.minted { "Secret(minted)" } else { "Secret(chosen)" })
    }
}

/// The character that was meant.
fn canonical_character(typed: u8) -> Option<u8> {
    let meant = match typed.to_ascii_lowercase() {
        b'o' => b'0',
        b'i' | b'l' => b'1',
        other => other,
    };
    ALPHABET.contains(&meant).then_some(meant)
}

/// Two characters over the ones before them. A hash, so that neither a swap of neighbours nor a chosen password that
/// happens to have the form is likely to pass.
fn checksum(head: &[u8]) -> [u8; CHECK] {
    let mut material = Zeroizing::new(b"sealpost/minted-secret/v1".to_vec());
    material.extend_from_slice(head);
    let mut hash = sha256(&material);
    let check = [ALPHABET[usize::from(hash[0] % 32)], ALPHABET[usize::from(hash[1] % 32)]];
    hash.zeroize();
    check
}

#[cfg(test)]
mod tests;
