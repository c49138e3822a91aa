//! Chunks: compressed pieces of bytes in a row each.

use std::ops::Range;

use rusqlite::{Connection, OptionalExtension, params};
use zstd::bulk::{Compressor, Decompressor};

use super::contexts::Contexts;
use super::{CHUNK, NUMBER_BITS, gone};
use crate::StoreError;

/// Level 3 leaves 41 % of real mail; higher ones cost more than they save.
const LEVEL: i32 = 3;

static COMPRESSORS: Contexts<Compressor<'static>> = Contexts::new();
static DECOMPRESSORS: Contexts<Decompressor<'static>> = Contexts::new();

/// Drops the contexts that were not used for a moment: they hold words of what they saw last.
pub(crate) fn forget_contexts() {
    COMPRESSORS.forget();
    DECOMPRESSORS.forget();
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
        let packed = COMPRESSORS.with(|| Compressor::new(LEVEL), |compressor| compressor.compress(bytes));
        let packed = packed.ok().filter(|packed| packed.len() < bytes.len());
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
pub(crate) fn unpack(codec: u8, len: usize, data: &[u8]) -> Result<Vec<u8>, StoreError> {
    let bytes = match codec {
        0 => Some(data.to_vec()),
        1 => DECOMPRESSORS.with(Decompressor::new, |decompressor| decompressor.decompress(data, len)).ok(),
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
