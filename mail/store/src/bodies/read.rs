//! Reading ranges of a message.

use std::ops::Range;

use rusqlite::{Connection, OptionalExtension};

use super::chunks::{read_chunks, unpack};
use super::{HEAD, Piece, gone};
use crate::StoreError;

/// A content that is about to be read: its first bytes and its layout, but not its chunks.
#[derive(Debug)]
pub(crate) struct Content {
    id: i64,
    head: Vec<u8>,
    /// None where all bytes are its own.
    pieces: Option<Vec<Piece>>,
}

impl Content {
    /// Loads the row of `hdr`.
    pub fn load(connection: &Connection, id: i64) -> Result<Self, StoreError> {
        let mut select = connection.prepare_cached("SELECT codec, len, data, layout FROM hdr WHERE mail = ?")?;
        let found = select.query_row([id], |row| {
            let data = row.get_ref(2)?.as_blob()?;
            Ok((unpack(row.get(0)?, row.get::<_, i64>(1)? as usize, data), row.get::<_, Option<Vec<u8>>>(3)?))
        });
        let Some((head, layout)) = found.optional()? else { return gone() };
        let pieces = layout.map(|bytes| rmp_serde::from_slice(&bytes)).transpose();
        Ok(Self { id, head: head?, pieces: pieces.map_err(|_| StoreError::Corrupt("the layout of a message"))? })
    }

    /// The message's own header, if all of it is at hand.
    pub fn header(&self) -> Option<&[u8]> {
        (self.head.len() < HEAD).then_some(self.head.as_slice())
    }

    /// Appends a range of the message to `out`. The range lies within the message.
    pub fn read(&self, connection: &Connection, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), StoreError> {
        let Some(pieces) = &self.pieces else { return self.stream(connection, range, out) };
        // Where a piece begins in the message, and where its own bytes begin in the stream.
        let (mut start, mut own) = (0, 0);
        for piece in pieces {
            let end = start + piece.len();
            let (from, to) = (range.start.max(start), range.end.min(end));
            if from < to {
                match piece {
                    Piece::Own(_) => self.stream(connection, own + from - start..own + to - start, out)?,
                    Piece::Att(id, layout) => {
                        let encoded = from - start..to - start;
                        let mut decoded = Vec::new();
                        read_chunks(connection, *id, layout.decoded_range_for(encoded.clone()), &mut decoded)?;
                        out.extend_from_slice(&layout.encode_range(&decoded, encoded));
                    }
                }
            }
            if let Piece::Own(len) = piece {
                own += len;
            }
            start = end;
        }
        Ok(())
    }

    /// The attachments it shares.
    pub fn attachments(&self) -> impl Iterator<Item = i64> {
        let pieces = self.pieces.iter().flatten();
        pieces.filter_map(|piece| if let Piece::Att(id, _) = piece { Some(*id) } else { None })
    }

    fn stream(&self, connection: &Connection, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), StoreError> {
        let head = self.head.len() as u64;
        let first = range.start.min(head) as usize..range.end.min(head) as usize;
        out.extend_from_slice(&self.head[first]);
        let rest = range.start.max(head)..range.end.max(head);
        if rest.is_empty() { Ok(()) } else { read_chunks(connection, self.id, rest.start - head..rest.end - head, out) }
    }
}
