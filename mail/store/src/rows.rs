//! The rows of folders and placements.

use model::{FolderId, Keywords, SystemFlag, Uid, UidSet};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::StoreError;

/// Sets of more ranges than this are read in one go over the folder.
const RANGES: usize = 64;

/// A row of `folder`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Folder {
    /// Survives RENAME.
    pub id: FolderId,
    /// Full name.
    pub name: String,
    /// RFC 9051 section 2.3.1.1.
    pub uidvalidity: u32,
    /// The next UID.
    pub uidnext: u32,
    /// Modseq of the last change.
    pub hms: u64,
    /// Modseq of the last change to flags.
    pub fms: u64,
    /// Below this modseq a client is told everything again.
    pub reset_ms: u64,
    /// Messages.
    pub msgs: u64,
    /// Without `\Seen`.
    pub unseen: u64,
    /// With `\Deleted`.
    pub deleted: u64,
    /// Octets.
    pub bytes: u64,
    /// Special use, as IMAP writes it.
    pub special: Option<String>,
}

const FOLDER: &str =
    "SELECT id, name, uidvalidity, uidnext, hms, fms, reset_ms, msgs, unseen, deleted, bytes, special FROM folder";

impl Folder {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let number = |n: usize| row.get::<_, i64>(n).map(|v| v as u64);
        Ok(Self {
            id: FolderId(row.get(0)?),
            name: row.get(1)?,
            uidvalidity: row.get(2)?,
            uidnext: row.get(3)?,
            hms: number(4)?,
            fms: number(5)?,
            reset_ms: number(6)?,
            msgs: number(7)?,
            unseen: number(8)?,
            deleted: number(9)?,
            bytes: number(10)?,
            special: row.get(11)?,
        })
    }

    /// The folder with that id.
    pub fn by_id(connection: &Connection, id: FolderId) -> Result<Option<Self>, StoreError> {
        let mut statement = connection.prepare_cached(&format!("{FOLDER} WHERE id = ?"))?;
        Ok(statement.query_row([id.0], Self::read).optional()?)
    }

    /// The folder with that name.
    pub fn by_name(connection: &Connection, name: &str) -> Result<Option<Self>, StoreError> {
        let mut statement = connection.prepare_cached(&format!("{FOLDER} WHERE name = ?"))?;
        Ok(statement.query_row([name], Self::read).optional()?)
    }

    /// All folders.
    pub fn all(connection: &Connection) -> Result<Vec<Self>, StoreError> {
        let mut statement = connection.prepare_cached(FOLDER)?;
        let rows = statement.query_map([], Self::read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Writes what changes with messages.
    pub fn save(&self, connection: &Connection) -> Result<(), StoreError> {
        let mut statement = connection.prepare_cached(
            "UPDATE folder SET uidnext = ?, hms = ?, fms = ?, msgs = ?, unseen = ?, deleted = ?, bytes = ? WHERE id = ?",
        )?;
        statement.execute(params![
            self.uidnext,
            self.hms as i64,
            self.fms as i64,
            self.msgs as i64,
            self.unseen as i64,
            self.deleted as i64,
            self.bytes as i64,
            self.id.0,
        ])?;
        Ok(())
    }

    /// Counts a placement that came.
    pub fn add(&mut self, flags: u64, size: u64) {
        self.msgs += 1;
        self.bytes += size;
        self.unseen += u64::from(flags & SystemFlag::Seen.bit() == 0);
        self.deleted += u64::from(flags & SystemFlag::Deleted.bit() != 0);
    }

    /// Uncounts one that went.
    pub fn remove(&mut self, flags: u64, size: u64) {
        self.msgs = self.msgs.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(size);
        self.unseen = self.unseen.saturating_sub(u64::from(flags & SystemFlag::Seen.bit() == 0));
        self.deleted = self.deleted.saturating_sub(u64::from(flags & SystemFlag::Deleted.bit() != 0));
    }

    /// All UIDs that can be in it.
    pub fn span(&self) -> UidSet {
        UidSet::range(Uid(1), Uid(self.uidnext.saturating_sub(1)))
    }
}

/// A row of `msg`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Placement {
    /// In its folder.
    pub uid: u32,
    /// Its content.
    pub mail: i64,
    /// Octets.
    pub size: u64,
    /// INTERNALDATE, seconds since 1970.
    pub idate: i64,
    /// SAVEDATE, seconds since 1970.
    pub saved: i64,
    /// Day of the Date header, in days since 1970.
    pub sent: Option<i64>,
    /// See `model::FlagSet`.
    pub flags: u64,
    /// Of its last change.
    pub modseq: u64,
}

const PLACEMENT: &str = "SELECT uid, mail, size, idate, saved, sent, flags, modseq FROM msg";

impl Placement {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            uid: row.get(0)?,
            mail: row.get(1)?,
            size: row.get::<_, i64>(2)? as u64,
            idate: row.get(3)?,
            saved: row.get(4)?,
            sent: row.get(5)?,
            flags: row.get::<_, i64>(6)? as u64,
            modseq: row.get::<_, i64>(7)? as u64,
        })
    }

    /// Puts it into a folder; the caller counts it.
    pub fn insert(&self, connection: &Connection, folder: FolderId) -> Result<(), StoreError> {
        let mut statement = connection.prepare_cached(
            "INSERT INTO msg(folder, uid, mail, size, idate, saved, sent, flags, modseq) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?;
        statement.execute(params![
            folder.0,
            self.uid,
            self.mail,
            self.size as i64,
            self.idate,
            self.saved,
            self.sent,
            self.flags as i64,
            self.modseq as i64,
        ])?;
        Ok(())
    }
}

/// The placements of a folder whose UIDs are in the set, ascending.
pub(crate) fn placements(
    connection: &Connection,
    folder: FolderId,
    uids: &UidSet,
) -> Result<Vec<Placement>, StoreError> {
    let mut found = Vec::new();
    let mut statement =
        connection.prepare_cached(&format!("{PLACEMENT} WHERE folder = ? AND uid BETWEEN ? AND ? ORDER BY uid"))?;
    let whole;
    let (runs, filter) = match (uids.first(), uids.last()) {
        (Some(first), Some(last)) if uids.runs().len() > RANGES => {
            whole = [(first.0, last.0)];
            (&whole[..], true)
        }
        _ => (uids.runs(), false),
    };
    let mut wanted = uids.runs();
    for &(first, last) in runs {
        let mut rows = statement.query(params![folder.0, first, last])?;
        while let Some(row) = rows.next()? {
            let placement = Placement::read(row)?;
            if filter {
                // Both ascend: what lies below this row is not asked for again.
                while wanted.first().is_some_and(|run| run.1 < placement.uid) {
                    wanted = &wanted[1..];
                }
                if wanted.first().is_none_or(|run| run.0 > placement.uid) {
                    continue;
                }
            }
            found.push(placement);
        }
    }
    Ok(found)
}

/// UIDs of a folder from `first` on.
pub(crate) fn uids_from(connection: &Connection, folder: FolderId, first: Uid) -> Result<UidSet, StoreError> {
    let mut statement = connection.prepare_cached("SELECT uid FROM msg WHERE folder = ? AND uid >= ? ORDER BY uid")?;
    let mut rows = statement.query(params![folder.0, first.0])?;
    let mut uids = UidSet::new();
    while let Some(row) = rows.next()? {
        uids.insert(Uid(row.get(0)?));
    }
    Ok(uids)
}

/// The keywords of the mailbox.
pub(crate) fn keywords(connection: &Connection) -> Result<Keywords, StoreError> {
    let mut statement = connection.prepare_cached("SELECT name FROM kw ORDER BY bit")?;
    let names = statement.query_map([], |row| row.get(0))?;
    Ok(Keywords(names.collect::<Result<_, _>>()?))
}
