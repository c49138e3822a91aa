//! Mail for an owner who is away: sealed to the mailbox's public key, opened after the next login.
//!
//! Format 1 of a sealed message:
//!
//! ```text
//! "SPSM" | format u8 = 1 | sealing key id u32 | head length u32 | head | chunk | chunk ...
//! head  = HPKE-sealed (content key 32 | metadata), AAD {keysetId, spool id, sealing key id}
//! chunk = length u32 | XChaCha20-Poly1305 (codec u8 | data), AAD {keysetId, spool id, index, final}
//! ```
//!
//! Integers are little endian. A chunk holds up to 64 KiB of the body; codec 0 stores it as it is, codec 1 as one zstd
//! frame. The content key is fresh for each message, so a chunk's nonce is its index (u64, then zeros). The last chunk, and
//! only it, is sealed as final, also where the body is empty: a message that was cut, extended or reordered does not open.
//!
//! Keys are wiped here. The text of messages is wiped by the executable's allocator, as everywhere else.

use std::fmt;

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use model::{DeliveryId, KeysetId};
use zeroize::Zeroizing;

use crate::hybrid::{HybridPublic, HybridSecret};
use crate::random::Entropy;
use crate::{Canonical, CryptoError};

/// Bytes of body per chunk; the same as in the mailbox file, so that memory per message stays small.
const CHUNK: usize = 64 * 1024;
/// Leaves about 41 % of real mail; higher levels gain little.
const ZSTD_LEVEL: i32 = 3;
const MAGIC: &[u8; 4] = b"SPSM";
const FORMAT: u8 = 1;
const INFO: &[u8] = b"sealpost/sealed-mail/v1";
const TAG: usize = 16;
const RAW: u8 = 0;
const ZSTD: u8 = 1;
const WHAT: &str = "a sealed message";

/// What mail for a mailbox is sealed to; comes from [`crate::Keyset::sealing_public`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealingPublic {
    pub(crate) keyset: KeysetId,
    pub(crate) key_id: u32,
    pub(crate) public: HybridPublic,
}

/// What opens it; comes from [`crate::Keyset::unwrap_sealing_key`].
pub struct SealingKey {
    pub(crate) keyset: KeysetId,
    pub(crate) key_id: u32,
    pub(crate) secret: HybridSecret,
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealingKey").field("keyset", &self.keyset).field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// A message that was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// What the sealer gave as metadata.
    pub meta: Vec<u8>,
    /// The body, byte for byte.
    pub body: Vec<u8>,
}

/// Seals a whole message for spool row `delivery`.
pub fn seal(to: &SealingPublic, delivery: DeliveryId, meta: &[u8], body: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let mut sealer = Sealer::new(to, delivery, meta)?;
    sealer.push(body)?;
    sealer.finish()
}

/// Opens a whole message that was sealed for spool row `delivery`.
pub fn open(key: &SealingKey, delivery: DeliveryId, sealed: &[u8]) -> Result<Opened, CryptoError> {
    let mut chunks = open_chunks(key, delivery, sealed)?;
    let mut body = Vec::with_capacity(sealed.len());
    for chunk in &mut chunks {
        body.extend_from_slice(&chunk?);
    }
    Ok(Opened { meta: chunks.into_meta(), body })
}

/// Seals a message that comes in pieces.
pub struct Sealer {
    chunks: Chunks,
    compressor: zstd::bulk::Compressor<'static>,
    /// Body bytes of the chunk that is being filled.
    pending: Vec<u8>,
    out: Vec<u8>,
}

impl Sealer {
    /// Begins a message for spool row `delivery`. `meta` comes back as it is; it is as secret as the body.
    pub fn new(to: &SealingPublic, delivery: DeliveryId, meta: &[u8]) -> Result<Self, CryptoError> {
        Self::with_entropy(to, delivery, meta, &mut Entropy::System)
    }

    pub(crate) fn with_entropy(
        to: &SealingPublic,
        delivery: DeliveryId,
        meta: &[u8],
        entropy: &mut Entropy,
    ) -> Result<Self, CryptoError> {
        let mut content = Zeroizing::new(Vec::with_capacity(32 + meta.len()));
        content.resize(32, 0);
        entropy.fill(&mut content);
        let chunks = Chunks::new(to.keyset, delivery, &content);
        content.extend_from_slice(meta);
        let head = to.public.seal(INFO, head_aad(to.keyset, delivery, to.key_id).as_bytes(), &content, entropy)?;
        let mut out = Vec::with_capacity(head.len() + CHUNK);
        out.extend_from_slice(MAGIC);
        out.push(FORMAT);
        out.extend_from_slice(&to.key_id.to_le_bytes());
        out.extend_from_slice(&(head.len() as u32).to_le_bytes());
        out.extend_from_slice(&head);
        let compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL).map_err(CryptoError::Compression)?;
        Ok(Self { chunks, compressor, pending: Vec::with_capacity(CHUNK), out })
    }

    /// Adds the next piece of the body.
    pub fn push(&mut self, mut body: &[u8]) -> Result<(), CryptoError> {
        while !body.is_empty() {
            // A full chunk waits for the next byte: without one it is the final chunk.
            if self.pending.len() == CHUNK {
                self.emit(false)?;
            }
            let (now, later) = body.split_at(body.len().min(CHUNK - self.pending.len()));
            self.pending.extend_from_slice(now);
            body = later;
        }
        Ok(())
    }

    /// Takes the sealed bytes made so far, so that they need not all be held.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// Ends the message; the rest of the sealed bytes.
    pub fn finish(mut self) -> Result<Vec<u8>, CryptoError> {
        self.emit(true)?;
        Ok(self.out)
    }

    fn emit(&mut self, is_final: bool) -> Result<(), CryptoError> {
        let packed = self.compressor.compress(&self.pending).map_err(CryptoError::Compression)?;
        let (codec, data) = if packed.len() < self.pending.len() { (ZSTD, &packed) } else { (RAW, &self.pending) };
        let start = self.out.len();
        self.out.extend_from_slice(&((1 + data.len() + TAG) as u32).to_le_bytes());
        self.out.push(codec);
        self.out.extend_from_slice(data);
        let tag = self.chunks.seal_next(is_final, &mut self.out[start + 4..]);
        self.out.extend_from_slice(&tag);
        self.pending.clear();
        Ok(())
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("next_chunk", &self.chunks.index).finish_non_exhaustive()
    }
}

/// Opens a message chunk by chunk: the metadata at once, then each piece of the body, up to 64 KiB. Nothing of the body is
/// to be relied on before the iteration has ended without an error: only then is it known to be whole.
pub fn open_chunks<'a>(
    key: &SealingKey,
    delivery: DeliveryId,
    sealed: &'a [u8],
) -> Result<OpenedChunks<'a>, CryptoError> {
    let malformed = |why: &str| CryptoError::malformed("sealed message", why);
    let rest = sealed.strip_prefix(MAGIC).ok_or_else(|| malformed("it does not begin with SPSM"))?;
    let (format, rest) = rest.split_first().ok_or_else(|| malformed("cut in its header"))?;
    if *format != FORMAT {
        return Err(CryptoError::Format { what: "sealed message", found: u32::from(*format), known: FORMAT.into() });
    }
    let (key_id, rest) = take_u32(rest).ok_or_else(|| malformed("cut in its header"))?;
    let (length, rest) = take_u32(rest).ok_or_else(|| malformed("cut in its header"))?;
    let (head, rest) = rest.split_at_checked(length as usize).ok_or_else(|| malformed("cut in its head"))?;
    if key_id != key.key_id {
        return Err(CryptoError::Tampered(WHAT));
    }
    let content = key.secret.open(INFO, head_aad(key.keyset, delivery, key_id).as_bytes(), head, WHAT)?;
    let (content_key, meta) = content.split_at_checked(32).ok_or(CryptoError::Tampered(WHAT))?;
    let chunks = Chunks::new(key.keyset, delivery, content_key);
    let decompressor = zstd::bulk::Decompressor::new().map_err(CryptoError::Compression)?;
    Ok(OpenedChunks { meta: meta.to_vec(), chunks, decompressor, rest, done: false })
}

/// A message being opened; see [`open_chunks`].
pub struct OpenedChunks<'a> {
    meta: Vec<u8>,
    chunks: Chunks,
    decompressor: zstd::bulk::Decompressor<'static>,
    rest: &'a [u8],
    done: bool,
}

impl OpenedChunks<'_> {
    /// What the sealer gave as metadata.
    pub fn meta(&self) -> &[u8] {
        &self.meta
    }

    /// The metadata, when the body has been read.
    pub fn into_meta(self) -> Vec<u8> {
        self.meta
    }

    fn next_chunk(&mut self) -> Result<Vec<u8>, CryptoError> {
        let tampered = || CryptoError::Tampered(WHAT);
        let (length, rest) = take_u32(self.rest).ok_or_else(tampered)?;
        let (sealed, rest) = rest.split_at_checked(length as usize).ok_or_else(tampered)?;
        self.rest = rest;
        self.done = rest.is_empty();
        let plain = self.chunks.open_next(self.done, sealed)?;
        match plain.split_first() {
            Some((&RAW, data)) if data.len() <= CHUNK => Ok(data.to_vec()),
            // The capacity bounds what a forged frame can expand to.
            Some((&ZSTD, data)) => self.decompressor.decompress(data, CHUNK).map_err(|_| tampered()),
            _ => Err(tampered()),
        }
    }
}

impl Iterator for OpenedChunks<'_> {
    type Item = Result<Vec<u8>, CryptoError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let chunk = self.next_chunk();
        self.done |= chunk.is_err();
        Some(chunk)
    }
}

impl fmt::Debug for OpenedChunks<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenedChunks").field("next_chunk", &self.chunks.index).finish_non_exhaustive()
    }
}

/// The chunk cipher of one message.
struct Chunks {
    cipher: XChaCha20Poly1305,
    keyset: KeysetId,
    delivery: DeliveryId,
    index: u64,
}

impl Chunks {
    fn new(keyset: KeysetId, delivery: DeliveryId, content_key: &[u8]) -> Self {
        let key = crate::hkdf_sha256(b"", content_key, b"sealpost/sealed-mail-chunks/v1");
        Self { cipher: XChaCha20Poly1305::new((&*key).into()), keyset, delivery, index: 0 }
    }

    /// Nonce and AAD of the next chunk.
    fn advance(&mut self, is_final: bool) -> ([u8; 24], Canonical) {
        let mut nonce = [0; 24];
        nonce[..8].copy_from_slice(&self.index.to_le_bytes());
        let aad = Canonical::new("sealpost/sealed-mail-chunk/v1")
            .bytes(&self.keyset.0)
            .bytes(&self.delivery.0)
            .number(self.index)
            .number(u64::from(is_final));
        self.index += 1;
        (nonce, aad)
    }

    #[expect(clippy::expect_used, reason = "the cipher refuses only texts beyond 256 GiB")]
    fn seal_next(&mut self, is_final: bool, chunk: &mut [u8]) -> [u8; TAG] {
        let (nonce, aad) = self.advance(is_final);
        let tag = self.cipher.encrypt_inout_detached(&nonce.into(), aad.as_bytes(), chunk.into());
        tag.expect("a chunk is short").into()
    }

    fn open_next(&mut self, is_final: bool, sealed: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let tampered = || CryptoError::Tampered(WHAT);
        let (body, tag) = sealed.split_last_chunk::<TAG>().ok_or_else(tampered)?;
        let (nonce, aad) = self.advance(is_final);
        let mut plain = body.to_vec();
        let buffer = plain.as_mut_slice().into();
        let opened = self.cipher.decrypt_inout_detached(&nonce.into(), aad.as_bytes(), buffer, tag.into());
        opened.map_err(|_| tampered())?;
        Ok(plain)
    }
}

fn head_aad(keyset: KeysetId, delivery: DeliveryId, key_id: u32) -> Canonical {
    Canonical::new("sealpost/sealed-mail-head/v1").bytes(&keyset.0).bytes(&delivery.0).number(u64::from(key_id))
}

fn take_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_le_bytes(*number), rest))
}

#[cfg(test)]
mod tests;
