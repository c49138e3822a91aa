//! A restored spool beside the live one: the mail of both waits, each message once.

use std::path::Path;

use rusqlite::{Connection, params};

use super::database;
use crate::StoreError;
use crate::open::is_there;

/// What waits in the restored file, or was taken by a commit of the mailbox that the restored mailbox does not have.
const WAITING: &str = "FROM restored.waiting r WHERE (r.taken_by IS NULL OR r.taken_by > ?1)
    AND NOT EXISTS(SELECT 1 FROM main.waiting w WHERE w.delivery = r.delivery)
    AND NOT EXISTS(SELECT 1 FROM main.aside a WHERE a.delivery = r.delivery)";

/// Opens a live spool that nobody else has open; it is made where it is missing. Blocking.
pub(crate) fn open(path: &Path) -> Result<Connection, StoreError> {
    let connection = database::open(path)?;
    database::migrate(&connection)?;
    Ok(connection)
}

/// Puts what waits in the restored spool, if there is one, into the live one. The mailbox is as it was after `commit`: what it
/// took later waits again. Doing it twice is as good as once. Blocking.
pub(crate) fn merge(live: &mut Connection, restored: &Path, commit: u64) -> Result<(), StoreError> {
    let there = is_there(restored)?;
    if there {
        // Of an older version, perhaps.
        drop(open(restored)?);
        live.execute("ATTACH ? AS restored", [restored.to_string_lossy()])?;
    }
    let merged = database::write(live, |tx| {
        untake(tx, commit)?;
        if there { take_over(tx, commit) } else { Ok(()) }
    });
    if there {
        live.execute_batch("DETACH restored")?;
    }
    merged
}

fn untake(tx: &Connection, commit: u64) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE usage SET waiting = waiting + (SELECT count(*) FROM waiting WHERE taken_by > ?1),
            bytes = bytes + (SELECT coalesce(sum(size), 0) FROM waiting WHERE taken_by > ?1)
         WHERE EXISTS(SELECT 1 FROM waiting WHERE taken_by > ?1)",
        [commit as i64],
    )?;
    tx.execute("UPDATE waiting SET taken_by = NULL, drained_at = NULL WHERE taken_by > ?1", [commit as i64])?;
    Ok(())
}

fn take_over(tx: &Connection, commit: u64) -> Result<(), StoreError> {
    let counted = format!("SELECT count(*), coalesce(sum(size), 0) {WAITING}");
    let (rows, octets): (i64, i64) = tx.query_row(&counted, [commit as i64], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if rows > 0 {
        let columns = "delivery, txid, fp, settled, began, size, at, sealed";
        let insert = format!("INSERT INTO main.waiting({columns}) SELECT {columns} {WAITING} ORDER BY r.id");
        tx.execute(&insert, [commit as i64])?;
        tx.execute("UPDATE usage SET waiting = waiting + ?, bytes = bytes + ?", params![rows, octets])?;
    }
    tx.execute(
        "INSERT INTO main.aside(delivery, size, reason, received, at, sealed)
         SELECT delivery, size, reason, received, at, sealed FROM restored.aside r
         WHERE NOT EXISTS(SELECT 1 FROM main.aside a WHERE a.delivery = r.delivery)
            AND NOT EXISTS(SELECT 1 FROM main.waiting w WHERE w.delivery = r.delivery)",
        [],
    )?;
    tx.execute("INSERT OR IGNORE INTO main.settle(txid) SELECT txid FROM restored.settle", [])?;
    Ok(())
}
