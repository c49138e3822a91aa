//! The row that lists and header searches read instead of the header: the fields they ask for, as they stand there, and
//! which other fields there are.
//!
//! A header is some kilobytes of trace fields, packed; these are some hundred octets, and many of them lie on one page.
//! The row only repeats what the header says: without one (its fields are too long, or too many) the header is read.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::StoreError;

/// The fields of `brief.fields`, lower case: what mail programs list, sort and thread by.
const KEPT: [&str; 16] = [
    "from",
    "to",
    "cc",
    "bcc",
    "subject",
    "date",
    "message-id",
    "in-reply-to",
    "references",
    "reply-to",
    "sender",
    "content-type",
    "newsgroups",
    "priority",
    "x-priority",
    "list-id",
];
/// A row with more octets of fields than this would make the table as slow as the headers.
const FIELDS: usize = 2 << 10;
/// Nor does it name more other fields than this.
const OTHERS: usize = 128;

/// Contents that are no further apart are read in one go: a step costs a fraction of a lookup.
const GAP: i64 = 8;

/// A row of `brief`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Brief {
    /// The kept fields, byte for byte and in their order, and an empty line.
    fields: Vec<u8>,
    /// Hashes of the names of all other fields: two octets each, little endian, ascending.
    others: Vec<u8>,
}

impl Brief {
    /// Of a whole header; none if it would not be brief.
    pub fn make(header: &[u8]) -> Option<Self> {
        let fields = mime::header_fields(header, &KEPT, false);
        let mut others: Vec<u16> =
            mime::fields(header).map(|field| &header[field.name]).filter(|name| !keeps(name)).map(hash).collect();
        others.sort_unstable();
        others.dedup();
        let is_brief = fields.len() <= FIELDS && others.len() <= OTHERS;
        is_brief.then(|| Self { fields, others: others.iter().flat_map(|hash| hash.to_le_bytes()).collect() })
    }

    /// The row of a content, if it has one.
    pub fn load(connection: &Connection, content: i64) -> Result<Option<Self>, StoreError> {
        let mut select = connection.prepare_cached("SELECT fields, others FROM brief WHERE mail = ?")?;
        let found = select.query_row([content], |row| Ok(Self { fields: row.get(0)?, others: row.get(1)? }));
        Ok(found.optional()?)
    }

    /// Tells of each of the contents, in this order, with its row if it has one.
    pub fn each(
        connection: &Connection,
        contents: &[i64],
        mut tell: impl FnMut(usize, Option<&Self>),
    ) -> Result<(), StoreError> {
        let mut select = connection
            .prepare_cached("SELECT mail, fields, others FROM brief WHERE mail BETWEEN ? AND ? ORDER BY mail")?;
        let (mut brief, mut told) = (Self::default(), 0);
        for run in contents.chunk_by(|a, b| b.checked_sub(*a).is_some_and(|gap| (1..=GAP).contains(&gap))) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
            let (mut rows, mut here) = (select.query([first, last])?, i64::MIN);
            for content in run {
                while here < *content {
                    here = match rows.next()? {
                        Some(row) => brief.read(row)?,
                        None => i64::MAX,
                    };
                }
                tell(told, (here == *content).then_some(&brief));
                told += 1;
            }
        }
        Ok(())
    }

    /// Takes a row; answers whose it is.
    fn read(&mut self, row: &Row<'_>) -> rusqlite::Result<i64> {
        for (field, column) in [(&mut self.fields, 1), (&mut self.others, 2)] {
            field.clear();
            field.extend_from_slice(row.get_ref(column)?.as_blob()?);
        }
        row.get(0)
    }

    /// Writes the row of a new content.
    pub fn insert(&self, connection: &Connection, content: i64) -> Result<(), StoreError> {
        let mut insert = connection.prepare_cached("INSERT INTO brief(mail, fields, others) VALUES(?, ?, ?)")?;
        insert.execute(params![content, self.fields, self.others])?;
        Ok(())
    }

    /// The answer to `HEADER.FIELDS`, where all of the names are kept.
    pub fn header_fields(&self, names: &[String]) -> Option<Vec<u8>> {
        covers(names).then(|| mime::header_fields(&self.fields, names, false))
    }

    /// What stands in for the header in a search for a field of that name; none where only the header can tell.
    pub fn searched(&self, name: &str) -> Option<&[u8]> {
        let is_absent = || self.others.chunks_exact(2).all(|other| other != hash(name.as_bytes()).to_le_bytes());
        (keeps(name.as_bytes()) || is_absent()).then_some(&self.fields)
    }
}

/// True where a [`Brief`] holds all fields of these names.
pub(crate) fn covers(names: &[String]) -> bool {
    names.iter().all(|name| keeps(name.as_bytes()))
}

fn keeps(name: &[u8]) -> bool {
    KEPT.iter().any(|kept| name.eq_ignore_ascii_case(kept.as_bytes()))
}

/// 32 bit FNV-1a of the lower case name, its halves combined by exclusive or.
fn hash(name: &[u8]) -> u16 {
    let step = |hash: u32, byte: &u8| (hash ^ u32::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0193);
    let hash = name.iter().fold(0x811c_9dc5, step);
    (hash >> 16) as u16 ^ hash as u16
}

#[cfg(test)]
mod tests;
