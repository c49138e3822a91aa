//! Answers of verbs that must not be done twice, committed with what they did.
//!
//! A row is the MessagePack form of what the verb answered. The last [`KEPT`] of each session are kept, and all go after
//! [`LIFE`].

use model::SessionId;
use rusqlite::{OptionalExtension, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::StoreError;
use crate::state::WriteTx;

/// More requests than a session has in flight.
const KEPT: u64 = 32;
/// A session that has not repeated its request by then never will. Seconds.
pub(crate) const LIFE: i64 = 24 * 3600;

/// Names one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticket {
    /// Whose.
    pub session: SessionId,
    /// Which.
    pub seq: u64,
}

/// Does `work` unless this request was done before; then the answer of that time is given again.
pub(crate) fn once<T: Serialize + DeserializeOwned>(
    tx: &mut WriteTx<'_>,
    ticket: Ticket,
    work: impl FnOnce(&mut WriteTx<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    if let Some(answer) = find(tx, ticket)? {
        return Ok(answer);
    }
    let answer = work(tx)?;
    keep(tx, ticket, &answer)?;
    Ok(answer)
}

fn find<T: DeserializeOwned>(tx: &WriteTx<'_>, ticket: Ticket) -> Result<Option<T>, StoreError> {
    let mut statement = tx.connection.prepare_cached("SELECT result FROM done WHERE session = ? AND seq = ?")?;
    let result: Option<Vec<u8>> =
        statement.query_row(params![ticket.session.0, ticket.seq as i64], |row| row.get(0)).optional()?;
    result.map(|bytes| rmp_serde::from_slice(&bytes).map_err(|_| StoreError::Corrupt("an answer"))).transpose()
}

fn keep<T: Serialize>(tx: &WriteTx<'_>, ticket: Ticket, answer: &T) -> Result<(), StoreError> {
    let bytes = rmp_serde::to_vec_named(answer).map_err(|_| StoreError::Corrupt("an answer"))?;
    let (session, seq) = (ticket.session.0, ticket.seq as i64);
    tx.connection
        .prepare_cached("INSERT INTO done(session, seq, at, result) VALUES(?, ?, ?, ?)")?
        .execute(params![session, seq, tx.now, bytes])?;
    tx.connection
        .prepare_cached("DELETE FROM done WHERE session = ? AND seq <= ?")?
        .execute(params![session, seq - KEPT as i64])?;
    Ok(())
}
