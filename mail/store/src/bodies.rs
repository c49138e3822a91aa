//! Contents: the bytes of messages, and what is known about them.
//!
//! A message is a sequence of [`Piece`]s: own bytes, and base64 bodies whose decoded form is an attachment shared inside
//! the mailbox. The own bytes of all pieces, put together, are the *stream*: its first bytes (the header, up to
//! [`HEAD`]) lie in `hdr`, the rest in chunks of [`CHUNK`].
//!
//! ```text
//! message:   header | text ....... | base64 of attachment 7 | closing boundary
//! pieces:    Own(12,000)           | Att{7, ..}             | Own(40)
//! stream:    hdr    | chunk 0 ...                           ...
//! ```
//!
//! Invariants:
//! * Content never changes and its id is never reused, so it may be read in any number of transactions.
//! * A base64 body is cut out only where its layout was proved to give every byte back.

mod brief;
mod chunks;
mod contexts;
mod pieces;
mod read;

use model::verbs::Code;
use serde::{Deserialize, Serialize};

use crate::StoreError;
use crate::error::refuse;

pub(crate) use brief::{Brief, covers};
pub(crate) use chunks::{Packed, delete_chunks, forget_contexts, insert_chunks, unpack};
pub(crate) use pieces::{Attachment, Piece, cut};
pub(crate) use read::Content;

/// Uncompressed size of a chunk, so that partial fetches touch little.
pub(crate) const CHUNK: usize = 64 << 10;
/// Of a longer header the rest lies in the chunks.
pub(crate) const HEAD: usize = 64 << 10;
/// Bits of a chunk's number below the content id.
const NUMBER_BITS: u32 = 20;

/// What IMAP says about a message: `mail.meta`, a MessagePack array of these fields.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Meta<'a> {
    /// ENVELOPE as rev1 writes it.
    #[serde(with = "serde_bytes")]
    pub envelope: &'a [u8],
    /// BODY.
    #[serde(with = "serde_bytes")]
    pub body: &'a [u8],
    /// BODYSTRUCTURE.
    #[serde(with = "serde_bytes")]
    pub body_structure: &'a [u8],
    /// PREVIEW (RFC 8970).
    pub preview: &'a str,
    /// Where everything is.
    pub skeleton: mime::Skeleton,
}

impl<'a> Meta<'a> {
    /// Reads the column.
    pub fn read(bytes: &'a [u8]) -> Result<Self, StoreError> {
        rmp_serde::from_slice(bytes).map_err(|_| StoreError::Corrupt("the structure of a message"))
    }

    /// The column.
    pub fn to_bytes(&self) -> Result<Vec<u8>, StoreError> {
        rmp_serde::to_vec(self).map_err(|_| StoreError::Corrupt("the structure of a message"))
    }
}

/// EMAILID (RFC 8474): content ids are never reused, and copies share them.
pub(crate) fn email_id(content: i64) -> String {
    format!("M{content}")
}

/// Content that is gone: its last placement was expunged more than a minute ago.
pub(crate) fn gone<T>() -> Result<T, StoreError> {
    refuse(Code::ExpungeIssued, "the message is gone")
}

#[cfg(test)]
mod tests;
