//! Chunks: compressed pieces of bytes in a row each.

use std::cell::RefCell;
use std::ops::Range;

use rusqlite::{Connection, OptionalExtension, params};
use zstd::bulk::{Compressor, Decompressor};

use super::{CHUNK, NUMBER_BITS, gone};
use crate::StoreError;

/// Level 3 leaves 41 % of real mail; higher ones cost more than they save.
const LEVEL: i32 = 3;

thread_local! {
    // A context costs more than a small message.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Bytes as a row holds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packed {
    /// 0 = as they are, 1 = zstd.
    pub codec: u8,
    /// Octets when unpacked.
    pub len: usize,
    /// The packed bytes.
    pub data: Vec<u8>,
}

impl Packed {
    /// Packs bytes; they stay as they are where packing gains nothing.
    pub fn new(bytes: &[u8]) -> Self {
        let packed = COMPRESSOR.with_borrow_mut(|kept| {
            let compressor = match kept {
                Some(compressor) => compressor,
                None => kept.insert(Compressor::new(LEVEL).ok()?),
            };
            compressor.compress(bytes).ok().filter(|packed| packed.len() < bytes.len())
        });
        match packed {
            Some(data) => Self { codec: 1, len: bytes.len(), data },
            None => Self { codec: 0, len: bytes.len(), data: bytes.to_vec() },
        }
    }

    /// Packs bytes of any length.
    pub fn chunks(bytes: &[u8]) -> Vec<Self> {
        bytes.chunks(CHUNK).map(Self::new).collect()
    }
}

/// Unpacks bytes of which the row says that they are `len` long.
pub(super) fn unpack(codec: u8, len: usize, data: &[u8]) -> Result<Vec<u8>, StoreError> {
    let bytes = match codec {
        0 => Some(data.to_vec()),
        1 => DECOMPRESSOR.with_borrow_mut(|kept| {
            let decompressor = match kept {
                Some(decompressor) => decompressor,
                None => kept.insert(Decompressor::new().ok()?),
            };
            decompressor.decompress(data, len).ok()
        }),
        _ => None,
    };
    bytes.filter(|bytes| bytes.len() == len).ok_or(StoreError::Corrupt("a message body"))
}

/// Stores packed bytes as the chunks of a content or attachment, from chunk `first` on.
pub(crate) fn insert_chunks(
    connection: &Connection,
    id: i64,
    first: usize,
    chunks: &[Packed],
) -> Result<(), StoreError> {
    let mut insert = connection.prepare_cached("INSERT INTO chunk(k, codec, len, data) VALUES(?, ?, ?, ?)")?;
    for (n, chunk) in (first..).zip(chunks) {
        insert.execute(params![key(id, n), chunk.codec, chunk.len as i64, chunk.data])?;
    }
    Ok(())
}

/// Removes all chunks of a content or attachment.
pub(crate) fn delete_chunks(connection: &Connection, id: i64) -> Result<(), StoreError> {
    let mut delete = connection.prepare_cached("DELETE FROM chunk WHERE k BETWEEN ? AND ?")?;
    delete.execute([key(id, 0), key(id + 1, 0) - 1])?;
    Ok(())
}

/// Appends a range of the chunked bytes of a content or attachment.
pub(super) fn read_chunks(
    connection: &Connection,
    id: i64,
    range: Range<u64>,
    out: &mut Vec<u8>,
) -> Result<(), StoreError> {
    let mut select = connection.prepare_cached("SELECT codec, len, data FROM chunk WHERE k = ?")?;
    let mut at = range.start;
    while at < range.end {
        let (number, offset) = ((at / CHUNK as u64) as usize, (at % CHUNK as u64) as usize);
        let unpacked = select.query_row([key(id, number)], |row| {
            let data = row.get_ref(2)?.as_blob()?;
            Ok(unpack(row.get(0)?, row.get::<_, i64>(1)? as usize, data))
        });
        let Some(bytes) = unpacked.optional()? else { return gone() };
        let bytes = bytes?;
        let end = bytes.len().min(offset + (range.end - at) as usize);
        let Some(wanted) = bytes.get(offset..end).filter(|wanted| !wanted.is_empty()) else {
            return Err(StoreError::Corrupt("a message body"));
        };
        out.extend_from_slice(wanted);
        at += wanted.len() as u64;
    }
    Ok(())
}

fn key(id: i64, number: usize) -> i64 {
    (id << NUMBER_BITS) + number as i64
}
