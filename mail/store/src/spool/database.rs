//! The tables of spool.sqlite and every statement on them. Blocking; one connection, one caller at a time.
//!
//! Every transaction that changes the file goes through [`write`], or raises `usage.commits` by one itself: whoever archives
//! the file counts commits in its WAL.

use std::path::Path;
use std::time::Instant;

use files::fault;
use jiff::Timestamp;
use model::{DeliveryId, TxId};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, params};

use super::{Aside, FINGERPRINT_LIFE, Inserted, NewWaiting, SpoolState, Taken, Waiting};
use crate::StoreError;
use crate::open::is_there;

/// Each brings the file from its index to the next version, which `user_version` counts. `usage` has one row; counters live
/// there because a sum over `waiting` would walk rows that carry whole messages. A row that the mailbox has taken has
/// `taken_by`, the number of the commit that took it, until that commit is archived.
const MIGRATIONS: [&str; 2] = [
    "
    CREATE TABLE waiting(
        id INTEGER PRIMARY KEY AUTOINCREMENT, delivery BLOB NOT NULL UNIQUE, txid BLOB NOT NULL, fp BLOB,
        settled INTEGER NOT NULL DEFAULT 0, began INTEGER NOT NULL, size INTEGER NOT NULL, at INTEGER NOT NULL, drained_at INTEGER,
        sealed BLOB NOT NULL);
    CREATE INDEX waiting_fp ON waiting(fp) WHERE fp IS NOT NULL;
    CREATE INDEX waiting_txid ON waiting(txid);
    CREATE TABLE aside(
        id INTEGER PRIMARY KEY, delivery BLOB NOT NULL UNIQUE, size INTEGER NOT NULL, reason TEXT NOT NULL,
        received INTEGER NOT NULL, at INTEGER NOT NULL, sealed BLOB NOT NULL);
    CREATE TABLE settle(txid BLOB PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE usage(
        id INTEGER PRIMARY KEY CHECK(id = 0), mailbox_bytes INTEGER NOT NULL, mailbox_messages INTEGER NOT NULL,
        waiting INTEGER NOT NULL, bytes INTEGER NOT NULL);
    INSERT INTO usage VALUES(0, 0, 0, 0, 0);",
    "
    ALTER TABLE usage ADD COLUMN commits INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE waiting ADD COLUMN taken_by INTEGER;
    CREATE INDEX waiting_next ON waiting(id) WHERE taken_by IS NULL;
    CREATE INDEX waiting_taken ON waiting(taken_by) WHERE taken_by IS NOT NULL;",
];
/// The newest version this code knows.
pub(crate) const VERSION: i64 = MIGRATIONS.len() as i64;
/// Rows removed per transaction.
const REMOVED: i64 = 200;
/// Fault points around the commit by which rows that the mailbox has taken leave, or are marked.
const REMOVE: [&str; 2] = ["spool.remove.before", "spool.remove.after"];

/// Opens the file, which is made if it is missing. Its folder must exist.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    sys::sqlite::start()?;
    // Made here and not by SQLite, so that it has our mode and its name is durable.
    if !is_there(path)? {
        files::durable::create(path, b"")?;
    }
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    sys::sqlite::no_checkpoint_on_close(&connection)?;
    connection.execute_batch(
        "PRAGMA busy_timeout = 5000;
         PRAGMA wal_autocheckpoint = 0;
         PRAGMA synchronous = FULL;
         PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -256;",
    )?;
    Ok(connection)
}

/// Brings the file to [`VERSION`], all steps in one transaction, and refuses one from the future.
pub(super) fn migrate(connection: &Connection) -> Result<(), StoreError> {
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found == VERSION {
        return Ok(());
    }
    let missing = usize::try_from(found).ok().and_then(|found| MIGRATIONS.get(found..));
    let missing = missing.ok_or(StoreError::Format { what: "spool.sqlite", found, known: VERSION })?.concat();
    if found == 0 {
        // On a file that has tables the first of them would write, without being counted.
        connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;")?;
    }
    Ok(connection.execute_batch(&format!(
        "BEGIN IMMEDIATE; {missing} UPDATE usage SET commits = commits + 1; PRAGMA user_version = {VERSION}; COMMIT;"
    ))?)
}

/// One transaction, counted if it changed anything.
pub(super) fn write<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    write_between(connection, ["spool.commit.before", "spool.commit.after"], work)
}

/// The same, between fault points of its own.
fn write_between<T>(
    connection: &mut Connection,
    [before, after]: [&'static str; 2],
    work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let tx = begin(connection)?;
    let changes = tx.total_changes();
    let made = work(&tx)?;
    if tx.total_changes() > changes {
        count(&tx)?;
        fault::point(before);
        tx.commit()?;
        fault::point(after);
    }
    Ok(made)
}

fn begin(connection: &mut Connection) -> Result<Transaction<'_>, StoreError> {
    Ok(connection.transaction_with_behavior(TransactionBehavior::Immediate)?)
}

fn count(tx: &Transaction<'_>) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE usage SET commits = commits + 1")?.execute([])?;
    Ok(())
}

/// Transactions committed since the file was made.
pub(super) fn commits(connection: &Connection) -> Result<u64, StoreError> {
    let commits = connection.prepare_cached("SELECT commits FROM usage")?.query_row([], |row| row.get::<_, i64>(0));
    Ok(commits? as u64)
}

/// Inserts all rows in one commit. Where that fails, nothing of it is there.
pub(super) fn insert(connection: &mut Connection, rows: &[NewWaiting]) -> Result<Vec<Inserted>, StoreError> {
    write(connection, |tx| rows.iter().map(|row| insert_one(tx, row)).collect())
}

fn insert_one(tx: &Transaction<'_>, row: &NewWaiting) -> Result<Inserted, StoreError> {
    if is_known(tx, row)? {
        return Ok(Inserted::Duplicate);
    }
    if row.until.is_some_and(|until| Instant::now() >= until) {
        return Ok(Inserted::TooLate);
    }
    if let Some(limit) = row.limit {
        let used: i64 = tx.prepare_cached("SELECT mailbox_bytes + bytes FROM usage")?.query_row([], |r| r.get(0))?;
        if (used as u64).saturating_add(row.size) > limit {
            return Ok(Inserted::OverQuota);
        }
    }
    tx.prepare_cached("INSERT INTO waiting(delivery, txid, fp, began, size, at, sealed) VALUES(?, ?, ?, ?, ?, ?, ?)")?
        .execute(params![
            row.delivery.0,
            row.txid.0,
            row.fp,
            row.began.as_millisecond(),
            row.size as i64,
            row.at.as_millisecond(),
            &row.sealed[..],
        ])?;
    tx.prepare_cached("UPDATE usage SET waiting = waiting + 1, bytes = bytes + ?")?.execute([row.size as i64])?;
    Ok(Inserted::Stored)
}

fn is_known(tx: &Transaction<'_>, row: &NewWaiting) -> Result<bool, StoreError> {
    let mut by_id = tx.prepare_cached(
        "SELECT 1 FROM waiting WHERE delivery = ?1 UNION ALL SELECT 1 FROM aside WHERE delivery = ?1",
    )?;
    if by_id.exists([row.delivery.0])? {
        return Ok(true);
    }
    let Some(fp) = row.fp else { return Ok(false) };
    let (began, oldest) = (row.began.as_millisecond(), row.at.as_millisecond() - FINGERPRINT_LIFE.as_millis() as i64);
    // For what the mailbox has taken it is the mailbox that suppresses.
    let mut passed =
        tx.prepare_cached("SELECT 1 FROM waiting WHERE fp = ? AND taken_by IS NULL AND (began > ? OR txid = ?)")?;
    if passed.exists(params![fp, began, row.txid.0])? {
        return Ok(true);
    }
    // The suppression belongs to the last transaction that brought the message: its sender may still read the 250.
    let known = tx
        .prepare_cached(
            "UPDATE waiting SET txid = ?, began = ? WHERE fp = ? AND at > ? AND settled = 0 AND taken_by IS NULL",
        )?
        .execute(params![row.txid.0, began, fp, oldest])?;
    Ok(known > 0)
}

/// The oldest rows, in order: at least one if there is any, at most `rows`, and not more than `bytes`, sealed or opened,
/// unless the first alone has more.
pub(super) fn batch(connection: &mut Connection, rows: usize, bytes: u64) -> Result<Vec<Waiting>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, delivery, txid, fp, size, at, sealed, settled, began FROM waiting INDEXED BY waiting_next
         WHERE taken_by IS NULL ORDER BY id LIMIT ?",
    )?;
    let mut cursor = statement.query([rows as i64])?;
    let (mut found, mut total) = (Vec::new(), 0_u64);
    while let Some(row) = cursor.next()? {
        let waiting = Waiting {
            id: row.get(0)?,
            delivery: DeliveryId(row.get(1)?),
            txid: TxId(row.get(2)?),
            fp: row.get(3)?,
            size: row.get::<_, i64>(4)? as u64,
            at: time(row.get(5)?),
            sealed: row.get(6)?,
            settled: row.get(7)?,
            began: time(row.get(8)?),
        };
        // Sealed bytes are compressed: what comes out of a few of them can be very much.
        total += waiting.size.max(waiting.sealed.len() as u64);
        if total > bytes && !found.is_empty() {
            break;
        }
        found.push(waiting);
    }
    Ok(found)
}

/// Removes rows that the mailbox has taken. Rows that are gone already are as good.
pub(super) fn remove(connection: &mut Connection, ids: &[i64]) -> Result<(), StoreError> {
    write_between(connection, REMOVE, |tx| ids.iter().try_for_each(|id| remove_one(tx, *id)))
}

fn remove_one(tx: &Transaction<'_>, id: i64) -> Result<(), StoreError> {
    let removed: Option<(i64, bool)> = tx
        .prepare_cached("DELETE FROM waiting WHERE id = ? RETURNING size, taken_by IS NULL")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match removed {
        Some((size, true)) => uncount(tx, size),
        _ => Ok(()),
    }
}

/// A row waits no more.
fn uncount(tx: &Transaction<'_>, size: i64) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE usage SET waiting = waiting - 1, bytes = bytes - ?")?.execute([size])?;
    Ok(())
}

/// Marks rows that the mailbox has taken, no later than in that commit of it.
pub(super) fn mark(connection: &mut Connection, ids: &[i64], commit: u64, now: Timestamp) -> Result<(), StoreError> {
    write_between(connection, REMOVE, |tx| {
        let mut mark = tx.prepare_cached(
            "UPDATE waiting SET taken_by = ?, drained_at = ? WHERE id = ? AND taken_by IS NULL RETURNING size",
        )?;
        for id in ids {
            let marked = params![commit as i64, now.as_millisecond(), id];
            let size: Option<i64> = mark.query_row(marked, |row| row.get(0)).optional()?;
            size.map_or(Ok(()), |size| uncount(tx, size))?;
        }
        Ok(())
    })
}

/// Removes one lot of the rows that commits up to that one have taken; answers how many it removed.
pub(super) fn forget_taken(connection: &mut Connection, commit: u64) -> Result<usize, StoreError> {
    write_between(connection, REMOVE, |tx| {
        let mut delete = tx.prepare_cached(
            "DELETE FROM waiting WHERE id IN
                (SELECT id FROM waiting INDEXED BY waiting_taken WHERE taken_by IS NOT NULL AND taken_by <= ? LIMIT ?)",
        )?;
        Ok(delete.execute([commit as i64, REMOVED])?)
    })
}

/// The last commit that rows which are still here were taken by, and how many those are.
pub(super) fn taken(connection: &mut Connection) -> Result<Taken, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT count(*), max(taken_by) FROM waiting INDEXED BY waiting_taken WHERE taken_by IS NOT NULL",
    )?;
    Ok(statement.query_row([], |row| {
        Ok(Taken { rows: row.get::<_, i64>(0)? as u64, last: row.get::<_, Option<i64>>(1)?.unwrap_or(0) as u64 })
    })?)
}

/// Moves a row out of the way of the others.
pub(super) fn set_aside(connection: &mut Connection, id: i64, reason: &str, now: Timestamp) -> Result<(), StoreError> {
    write(connection, |tx| {
        tx.prepare_cached(
            "INSERT OR IGNORE INTO aside(delivery, size, reason, received, at, sealed)
             SELECT delivery, size, ?, at, ?, sealed FROM waiting WHERE id = ?",
        )?
        .execute(params![reason, now.as_millisecond(), id])?;
        remove_one(tx, id)
    })
}

/// What was set aside, oldest first.
pub(super) fn asides(connection: &mut Connection) -> Result<Vec<Aside>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT delivery, size, reason, at FROM aside ORDER BY id")?;
    let rows = statement.query_map([], |row| {
        Ok(Aside {
            delivery: DeliveryId(row.get(0)?),
            size: row.get::<_, i64>(1)? as u64,
            reason: row.get(2)?,
            at: time(row.get(3)?),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Ends the suppression by these transactions' fingerprints here, and, where `remember`, notes that the mailbox still
/// has to be told. The fingerprint itself stays: the mailbox may hold the message from a transaction before. Durable with the
/// next commit that is: a settle that is lost suppresses a repeat once too often, which is no reason for an fsync per message.
pub(super) fn settle(connection: &mut Connection, transactions: &[TxId], remember: bool) -> Result<(), StoreError> {
    connection.execute_batch("PRAGMA synchronous = NORMAL")?;
    let settled = settle_unsynced(connection, transactions, remember);
    connection.execute_batch("PRAGMA synchronous = FULL")?;
    settled
}

fn settle_unsynced(connection: &mut Connection, transactions: &[TxId], remember: bool) -> Result<(), StoreError> {
    write_between(connection, ["spool.settle.before", "spool.settle.after"], |tx| {
        for txid in transactions {
            tx.prepare_cached("UPDATE waiting SET settled = 1 WHERE txid = ?")?.execute([txid.0])?;
            if remember {
                tx.prepare_cached("INSERT OR IGNORE INTO settle(txid) VALUES(?)")?.execute([txid.0])?;
            }
        }
        Ok(())
    })
}

/// Settled transactions that the mailbox has not been told of.
pub(super) fn settled(connection: &mut Connection) -> Result<Vec<TxId>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT txid FROM settle")?;
    let rows = statement.query_map([], |row| row.get(0).map(TxId))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The mailbox has been told of these.
pub(super) fn forget_settled(connection: &mut Connection, transactions: &[TxId]) -> Result<(), StoreError> {
    write(connection, |tx| {
        for txid in transactions {
            tx.prepare_cached("DELETE FROM settle WHERE txid = ?")?.execute([txid.0])?;
        }
        Ok(())
    })
}

/// Keeps what the mailbox holds, for quota while it is locked.
pub(super) fn set_usage(connection: &mut Connection, bytes: u64, messages: u64) -> Result<(), StoreError> {
    let (bytes, messages) = (bytes as i64, messages as i64);
    write(connection, |tx| {
        tx.prepare_cached(
            "UPDATE usage SET mailbox_bytes = ?1, mailbox_messages = ?2
             WHERE mailbox_bytes <> ?1 OR mailbox_messages <> ?2",
        )?
        .execute([bytes, messages])?;
        Ok(())
    })
}

/// What is here.
pub(super) fn state(connection: &mut Connection) -> Result<SpoolState, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT waiting, bytes, mailbox_bytes, mailbox_messages, (SELECT count(*) FROM aside),
            (SELECT count(*) FROM settle) FROM usage",
    )?;
    Ok(statement.query_row([], |row| {
        let number = |n: usize| row.get::<_, i64>(n).map(|v| v as u64);
        Ok(SpoolState {
            waiting: number(0)?,
            bytes: number(1)?,
            mailbox_bytes: number(2)?,
            mailbox_messages: number(3)?,
            aside: number(4)?,
            settles: number(5)?,
        })
    })?)
}

/// True where mail with that fingerprint waits.
pub(super) fn holds(connection: &mut Connection, fp: [u8; 32]) -> Result<bool, StoreError> {
    let mut waiting = connection.prepare_cached("SELECT 1 FROM waiting WHERE fp = ? AND taken_by IS NULL")?;
    Ok(waiting.exists([fp])?)
}

/// Gives the space of rows that are gone back to the file system.
pub(super) fn vacuum(connection: &mut Connection) -> Result<(), StoreError> {
    let free: i64 = connection.query_row("PRAGMA freelist_count", [], |row| row.get(0))?;
    if free == 0 {
        return Ok(());
    }
    let tx = begin(connection)?;
    {
        // A pragma that steps once per page.
        let mut vacuum = tx.prepare("PRAGMA incremental_vacuum")?;
        let mut rows = vacuum.query([])?;
        while rows.next()?.is_some() {}
    }
    count(&tx)?;
    Ok(tx.commit()?)
}

/// Times outside what a `Timestamp` holds cannot have been written by [`insert`].
fn time(millisecond: i64) -> Timestamp {
    Timestamp::from_millisecond(millisecond).unwrap_or_default()
}
