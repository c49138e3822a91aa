//! Cutting a message into own bytes and shared attachments.

use std::ops::Range;

use mime::{Kind, Layout, Skeleton};
use serde::{Deserialize, Serialize};

use super::Packed;

/// Smaller attachments are not worth a row of their own.
const MIN_ATTACHMENT: usize = 32 << 10;

/// A run of a message's bytes; `hdr.layout` is a MessagePack array of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Piece {
    /// So many bytes of the stream.
    Own(u64),
    /// A base64 body: an attachment, and how it was written.
    Att(i64, Layout),
}

impl Piece {
    /// Octets of the message.
    pub fn len(&self) -> u64 {
        match self {
            Self::Own(len) => *len,
            Self::Att(_, layout) => layout.encoded_len(),
        }
    }
}

/// A decoded attachment on its way into the store.
#[derive(Debug, Clone)]
pub(crate) struct Attachment {
    /// Keyed hash of the decoded bytes.
    pub sha: [u8; 32],
    /// Decoded octets.
    pub size: u64,
    /// The decoded bytes, packed.
    pub chunks: Vec<Packed>,
    /// Where its base64 body is in the message.
    pub place: Range<usize>,
    /// How that body is written.
    pub layout: Layout,
}

/// Finds the base64 bodies that can be shared. Their order is that of the message, and they do not overlap.
pub(crate) fn cut(raw: &[u8], skeleton: &Skeleton, key: &[u8]) -> Vec<Attachment> {
    let parts = skeleton.parts();
    let mut found: Vec<Attachment> = Vec::new();
    for part in parts.iter().filter(|part| part.kind == Kind::Leaf) {
        let place = part.body_range();
        // Leaves never overlap, but what is stored for ever is not built on another crate's promise.
        let is_behind = found.last().is_none_or(|before| before.place.end <= place.start);
        if place.len() < MIN_ATTACHMENT || !is_behind || !is_base64(raw, part.header_range()) {
            continue;
        }
        let Some(body) = raw.get(place.clone()) else { continue };
        if let Some((layout, decoded)) = Layout::decode(body) {
            let all = 0..layout.encoded_len();
            // The proof: what cannot be given back is not cut out.
            if layout.encode_range(&decoded, all) == body {
                let (sha, size) = (crypto::hmac_sha256(key, &decoded), decoded.len() as u64);
                found.push(Attachment { sha, size, chunks: Packed::chunks(&decoded), place, layout });
            }
        }
    }
    found
}

fn is_base64(raw: &[u8], header: Range<usize>) -> bool {
    let block = raw.get(header).unwrap_or_default();
    let encoding = mime::header_value(block, "content-transfer-encoding").unwrap_or_default();
    encoding.trim_ascii().eq_ignore_ascii_case(b"base64")
}
