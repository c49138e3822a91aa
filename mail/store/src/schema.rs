//! The tables of mailbox.sqlite, and the numbered, forward-only migrations that make them.
//!
//! `user_version` counts the migrations applied. What the tables hold:
//!
//! * `state`: one row; counters that every transaction reads and most raise. `commits` is the commit number: every
//!   transaction that changes the file raises it by one, so that whoever counts commits in the WAL knows which is which.
//! * `folder`: names are full paths, `/` between levels. `hms` is the modseq of its last change, `fms` that of the last
//!   change to flags of messages already there, `reset_ms` the one below which a client must be told everything again.
//! * `msg`: placements. The only table a listing reads, so it is narrow. Times are seconds since 1970, `sent` the day of
//!   the Date header in days since 1970.
//! * `mail`: what IMAP says about a content (`bodies::Meta`). `hdr`: its first bytes and its layout (`bodies::Piece`).
//! * `brief`: what lists and header searches need of a header (`bodies::Brief`). Not every content has a row.
//! * `chunk`: bytes, 64 KiB each, at `content << 20 | n`; `codec` 0 = as they are, 1 = zstd.
//! * `att`: decoded attachments shared by contents; ids come from the same counter as `mail`.
//! * `gone`: what was expunged, one row per EXPUNGE. `grave`: contents without placements. `pending`: contents being
//!   written by several transactions.
//! * `done`: answers of non-repeatable verbs. `taken`, `fp`: deliveries that must not come twice.

use rusqlite::{Connection, params};

use crate::StoreError;

/// Each brings the file from its index to the next version.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE state(
        id INTEGER PRIMARY KEY CHECK(id = 0), commits INTEGER NOT NULL, modseq INTEGER NOT NULL,
        ceiling INTEGER NOT NULL, unsynced INTEGER NOT NULL, next_content INTEGER NOT NULL,
        next_uidvalidity INTEGER NOT NULL, bytes INTEGER NOT NULL, messages INTEGER NOT NULL);
    CREATE TABLE folder(
        id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, uidvalidity INTEGER NOT NULL,
        uidnext INTEGER NOT NULL DEFAULT 1, hms INTEGER NOT NULL, fms INTEGER NOT NULL DEFAULT 0,
        reset_ms INTEGER NOT NULL DEFAULT 0, msgs INTEGER NOT NULL DEFAULT 0, unseen INTEGER NOT NULL DEFAULT 0,
        deleted INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0, special TEXT);
    CREATE TABLE sub(name TEXT PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE msg(
        folder INTEGER NOT NULL, uid INTEGER NOT NULL, mail INTEGER NOT NULL, size INTEGER NOT NULL,
        idate INTEGER NOT NULL, saved INTEGER NOT NULL, sent INTEGER, flags INTEGER NOT NULL, modseq INTEGER NOT NULL,
        PRIMARY KEY(folder, uid)) WITHOUT ROWID;
    CREATE INDEX msg_mail ON msg(mail);
    CREATE TABLE mail(id INTEGER PRIMARY KEY, meta BLOB NOT NULL);
    CREATE TABLE hdr(
        mail INTEGER PRIMARY KEY, codec INTEGER NOT NULL, len INTEGER NOT NULL, data BLOB NOT NULL, layout BLOB);
    CREATE TABLE brief(mail INTEGER PRIMARY KEY, fields BLOB NOT NULL, others BLOB NOT NULL);
    CREATE TABLE chunk(k INTEGER PRIMARY KEY, codec INTEGER NOT NULL, len INTEGER NOT NULL, data BLOB NOT NULL);
    CREATE TABLE att(id INTEGER PRIMARY KEY, sha BLOB NOT NULL UNIQUE, size INTEGER NOT NULL, refs INTEGER NOT NULL);
    CREATE TABLE gone(folder INTEGER, modseq INTEGER, uids TEXT NOT NULL, PRIMARY KEY(folder, modseq)) WITHOUT ROWID;
    CREATE TABLE grave(mail INTEGER PRIMARY KEY, at INTEGER NOT NULL);
    CREATE TABLE pending(content INTEGER PRIMARY KEY);
    CREATE TABLE kw(bit INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
    CREATE TABLE done(
        session BLOB, seq INTEGER, at INTEGER NOT NULL, result BLOB NOT NULL, PRIMARY KEY(session, seq)) WITHOUT ROWID;
    CREATE TABLE taken(delivery BLOB PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE fp(
        fp BLOB PRIMARY KEY, txid BLOB NOT NULL, at INTEGER NOT NULL, began INTEGER NOT NULL,
        settled INTEGER NOT NULL) WITHOUT ROWID;
    CREATE INDEX fp_txid ON fp(txid) WHERE settled = 0;"];

/// Folders every mailbox is born with, and their special use (RFC 6154).
const STANDARD: [(&str, Option<&str>); 6] = [
    ("INBOX", None),
    ("Drafts", Some("\\Drafts")),
    ("Sent", Some("\\Sent")),
    ("Junk", Some("\\Junk")),
    ("Trash", Some("\\Trash")),
    ("Archive", Some("\\Archive")),
];

/// The newest version this code knows.
pub(crate) const VERSION: i64 = MIGRATIONS.len() as i64;

/// Brings a file to [`VERSION`], all steps in one transaction, and refuses one from the future.
pub(crate) fn migrate(connection: &Connection) -> Result<(), StoreError> {
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found == VERSION {
        return Ok(());
    }
    let missing = usize::try_from(found).ok().and_then(|found| MIGRATIONS.get(found..));
    let missing = missing.ok_or(StoreError::Format { what: "mailbox.sqlite", found, known: VERSION })?;
    // A transaction like any other: it raises the number that tells whoever archives the file how many there were.
    let counted = if found > 0 { "UPDATE state SET commits = commits + 1;" } else { "" };
    let steps = missing.concat();
    connection
        .execute_batch(&format!("BEGIN IMMEDIATE; {steps} {counted} PRAGMA user_version = {VERSION}; COMMIT;"))?;
    if found > 0 {
        tracing::info!(from = found, to = VERSION, "migrated a mailbox");
    }
    Ok(())
}

/// Fills a file that [`migrate`] has just made. `now` is in seconds since 1970 and starts UIDVALIDITY, so that a mailbox made
/// again under an old address does not look like the old one.
pub(crate) fn populate(connection: &Connection, now: i64) -> Result<(), StoreError> {
    let first = now.clamp(1, i64::from(u32::MAX / 2));
    let next = first + STANDARD.len() as i64;
    connection.execute("INSERT INTO state VALUES(0, 1, 1, 1, 0, 1, ?, 0, 0)", [next])?;
    for (n, (name, special)) in (0..).zip(STANDARD) {
        connection.execute(
            "INSERT INTO folder(name, uidvalidity, hms, special) VALUES(?, ?, 1, ?)",
            params![name, first + n, special],
        )?;
        connection.execute("INSERT INTO sub(name) VALUES(?)", [name])?;
    }
    Ok(())
}
