//! What is sealed into the spool, and how it comes out again: for the primary, which fills and drains it, and for the
//! owner's tools, which read it without a server.
//!
//! The sealed body is the trace headers followed by the message; the sealed metadata is JSON:
//! `{"v":1,"received":<milliseconds since 1970>,"trace":<octets of the trace headers>}`.

use bytes::Bytes;
use crypto::{CryptoError, Sealer, SealingKey, SealingPublic};
use jiff::Timestamp;
use model::DeliveryId;
use serde::{Deserialize, Serialize};

const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Meta {
    v: u32,
    received: i64,
    trace: usize,
}

/// A message that came out of its seal.
#[derive(Debug)]
pub struct Unsealed {
    /// INTERNALDATE.
    pub received: Timestamp,
    /// Our trace headers.
    pub trace: Bytes,
    /// The message as it was received.
    pub body: Bytes,
}

/// Seals a message for one mailbox. CPU-bound.
pub fn seal(
    to: &SealingPublic,
    id: DeliveryId,
    received: Timestamp,
    trace: &[u8],
    body: &[u8],
) -> Result<Vec<u8>, CryptoError> {
    let meta = Meta { v: FORMAT, received: received.as_millisecond(), trace: trace.len() };
    let meta = serde_json::to_vec(&meta).map_err(|_| CryptoError::Tampered("metadata of a message"))?;
    let mut sealer = Sealer::new(to, id, &meta)?;
    sealer.push(trace)?;
    sealer.push(body)?;
    sealer.finish()
}

/// Opens what [`seal`] made. CPU-bound.
pub fn unseal(key: &SealingKey, id: DeliveryId, sealed: &[u8]) -> Result<Unsealed, CryptoError> {
    let opened = crypto::open(key, id, sealed)?;
    let wrong = || CryptoError::Tampered("metadata of a sealed message");
    let meta: Meta = serde_json::from_slice(&opened.meta).map_err(|_| wrong())?;
    if meta.v != FORMAT {
        return Err(CryptoError::Format { what: "metadata of a sealed message", found: meta.v, known: FORMAT });
    }
    let mut trace = Bytes::from(opened.body);
    if meta.trace > trace.len() {
        return Err(wrong());
    }
    let body = trace.split_off(meta.trace);
    let received = Timestamp::from_millisecond(meta.received).map_err(|_| wrong())?;
    Ok(Unsealed { received, trace, body })
}
