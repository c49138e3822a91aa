//! From a copied spool into the copied mailbox, by the rules of a drain.

use std::path::Path;

use crypto::SealingKey;
use jiff::{SignedDuration, Timestamp};
use model::{DeliveryId, TxId};
use rusqlite::{Connection, OpenFlags, params};

use super::Report;
use crate::open::is_there;
use crate::spool::database::VERSION;
use crate::{Delivered, Delivery, FINGERPRINT_LIFE, Mailbox, Room, StoreError, sealed};

/// Messages per commit.
const ROWS: i64 = 100;
/// Octets of messages held at a time, unless one alone has more.
const BYTES: u64 = 32 << 20;

/// A row of the spool, maybe marked as drained.
struct Row {
    id: i64,
    delivery: DeliveryId,
    txid: TxId,
    fp: Option<[u8; 32]>,
    settled: bool,
    began: Timestamp,
    at: Timestamp,
    sealed: Vec<u8>,
}

/// Takes all that waits into the mailbox. A mailbox that never got mail while its owner was away has no spool.
pub(super) async fn take(spool: &Path, mailbox: &Mailbox, key: &SealingKey) -> Result<Report, StoreError> {
    let mut report = Report::default();
    let Some(connection) = open(spool)? else { return Ok(report) };
    mailbox.settle(settled(&connection)?).await?;
    let mut after = 0;
    loop {
        let rows = batch(&connection, after)?;
        let Some(last) = rows.last() else { break };
        after = last.id;
        take_batch(rows, mailbox, key, &mut report).await?;
    }
    report.set_aside.extend(asides(&connection)?);
    Ok(report)
}

fn open(spool: &Path) -> Result<Option<Connection>, StoreError> {
    if !is_there(spool)? {
        return Ok(None);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(spool, flags)?;
    match connection.query_row("PRAGMA user_version", [], |row| row.get(0))? {
        // Made, and lost before its tables were.
        0 => Ok(None),
        found if found > VERSION => Err(StoreError::Format { what: "spool.sqlite", found, known: VERSION }),
        _ => Ok(Some(connection)),
    }
}

fn settled(connection: &Connection) -> Result<Vec<TxId>, StoreError> {
    let mut statement = connection.prepare("SELECT txid FROM settle")?;
    let rows = statement.query_map([], |row| row.get(0).map(TxId))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The next rows in their order: at least one if there is any.
fn batch(connection: &Connection, after: i64) -> Result<Vec<Row>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, delivery, txid, fp, settled, at, sealed, size, began FROM waiting WHERE id > ? ORDER BY id LIMIT ?",
    )?;
    let mut cursor = statement.query(params![after, ROWS])?;
    let (mut rows, mut total) = (Vec::new(), 0_u64);
    while let Some(row) = cursor.next()? {
        let found = Row {
            id: row.get(0)?,
            delivery: DeliveryId(row.get(1)?),
            txid: TxId(row.get(2)?),
            fp: row.get(3)?,
            settled: row.get(4)?,
            began: Timestamp::from_millisecond(row.get(8)?).unwrap_or_default(),
            at: Timestamp::from_millisecond(row.get(5)?).unwrap_or_default(),
            sealed: row.get(6)?,
        };
        total += row.get::<_, i64>(7)?.max(found.sealed.len() as i64) as u64;
        if total > BYTES && !rows.is_empty() {
            break;
        }
        rows.push(found);
    }
    Ok(rows)
}

async fn take_batch(
    rows: Vec<Row>,
    mailbox: &Mailbox,
    key: &SealingKey,
    report: &mut Report,
) -> Result<(), StoreError> {
    let mut deliveries = Vec::with_capacity(rows.len());
    for row in rows {
        match sealed::unseal(key, row.delivery, &row.sealed) {
            Ok(unsealed) => deliveries.push(delivery(&row, unsealed)),
            Err(error) => report.set_aside.push((row.delivery, error.to_string())),
        }
    }
    let ids: Vec<_> = deliveries.iter().map(|delivery| delivery.id).collect();
    for (id, outcome) in ids.into_iter().zip(mailbox.deliver_many(deliveries).await) {
        match outcome {
            Ok(Delivered::Stored(_)) => report.waiting += 1,
            Ok(Delivered::Duplicate) => report.known += 1,
            Err(failure) if matches!(failure.class, model::Class::Invalid | model::Class::Bug) => {
                report.set_aside.push((id, failure.text));
            }
            Err(failure) => return Err(failure.into()),
        }
    }
    Ok(())
}

fn delivery(row: &Row, unsealed: sealed::Unsealed) -> Delivery {
    let life = SignedDuration::try_from(FINGERPRINT_LIFE).unwrap_or_default();
    Delivery {
        id: row.delivery,
        txid: row.txid,
        fp: row.fp.filter(|_| Timestamp::now().duration_since(row.at) < life),
        settled: row.settled,
        began: row.began,
        received: unsealed.received,
        until: None,
        trace: unsealed.trace,
        body: unsealed.body,
        room: Room::Reserved,
    }
}

/// What a server could not store either.
fn asides(connection: &Connection) -> Result<Vec<(DeliveryId, String)>, StoreError> {
    let mut statement = connection.prepare("SELECT delivery, reason FROM aside ORDER BY id")?;
    let rows = statement.query_map([], |row| Ok((DeliveryId(row.get(0)?), row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
