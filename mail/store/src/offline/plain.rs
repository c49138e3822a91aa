//! The mailbox as a plain SQLite file, for any SQLite tool.
//!
//! The tables are those of `mailbox.sqlite`, except that nothing in them is packed: `codec` is 0 everywhere, which the
//! schema allows, so that headers and texts can be read with `CAST(data AS TEXT)`.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, params};

use super::Offline;
use crate::StoreError;
use crate::bodies::unpack;
use crate::schema;

/// Rows unpacked at a time; a chunk has 64 KiB.
const ROWS: i64 = 256;

impl Offline {
    /// Writes the whole mailbox, waiting mail included, to a file that must not exist yet.
    pub fn write_plain(&self, path: &Path) -> Result<(), StoreError> {
        files::durable::create(path, b"")?;
        let name = path.to_str().ok_or(StoreError::Refused(model::verbs::Failure::new(
            model::verbs::Code::Cannot,
            "the path of a plain SQLite file has to be UTF-8",
        )))?;
        self.connection.execute_batch("PRAGMA query_only = OFF;")?;
        self.connection.execute("ATTACH ? AS plain KEY ''", [name])?;
        // Nobody looks at the file before it is whole.
        self.connection.execute_batch("PRAGMA plain.journal_mode = OFF; PRAGMA plain.synchronous = OFF;")?;
        self.connection.query_row("SELECT sqlcipher_export('plain')", [], |_| Ok(()))?;
        self.connection.execute_batch(&format!("PRAGMA plain.user_version = {};", schema::VERSION))?;
        self.connection.execute_batch("DETACH plain; PRAGMA query_only = ON;")?;
        unpack_all(path)?;
        Ok(files::durable::sync_file(path)?)
    }
}

fn unpack_all(path: &Path) -> Result<(), StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN;")?;
    for (table, key) in [("hdr", "mail"), ("chunk", "k")] {
        let mut after = i64::MIN;
        while let Some(last) = unpack_some(&connection, table, key, after)? {
            after = last;
        }
    }
    connection.execute_batch("COMMIT;")?;
    Ok(connection.close().map_err(|(_, error)| error)?)
}

/// Unpacks the next rows; the key of the last one, none where there are no more.
fn unpack_some(connection: &Connection, table: &str, key: &str, after: i64) -> Result<Option<i64>, StoreError> {
    let rows = {
        let sql = format!("SELECT {key}, len, data FROM {table} WHERE {key} > ? AND codec = 1 ORDER BY {key} LIMIT ?");
        let mut select = connection.prepare_cached(&sql)?;
        let rows = select.query_map(params![after, ROWS], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)? as usize, row.get::<_, Vec<u8>>(2)?))
        })?;
        rows.collect::<Result<Vec<_>, _>>()?
    };
    let mut update = connection.prepare_cached(&format!("UPDATE {table} SET codec = 0, data = ? WHERE {key} = ?"))?;
    for (id, len, data) in &rows {
        // A damaged row stays packed: its message is reported by whoever reads it.
        if let Ok(bytes) = unpack(1, *len, data) {
            update.execute(params![bytes, id])?;
        }
    }
    Ok(rows.last().map(|(id, ..)| *id))
}
