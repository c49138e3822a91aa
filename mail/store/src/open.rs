//! Making and opening mailbox.sqlite: the one place where connections are set up.
//!
//! A new database is made in `staging/` and renamed into its folder when it is whole; a crash leaves a file in `staging/`
//! that the next attempt replaces. Nothing checkpoints by itself: see `wal`.

use std::path::Path;

use crypto::Dek;
use model::MailboxId;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::wal::wal_of;
use crate::{Layout, StoreError, schema};

/// Statements a connection keeps prepared.
const STATEMENTS: usize = 96;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// The one that writes.
    Write,
    /// One of those that read.
    Read,
}

/// Opens the file with its key. [`StoreError::WrongKey`] where the key is another one.
pub(crate) fn open(path: &Path, dek: &Dek, use_: Use) -> Result<Connection, StoreError> {
    let connection = connect(path, dek, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    prove(&connection)?;
    sys::sqlite::no_checkpoint_on_close(&connection)?;
    // First of all: the pragma removes a hook (see `wal`), and nothing may checkpoint behind the archive's back.
    connection.execute_batch("PRAGMA wal_autocheckpoint = 0;")?;
    settings(&connection)?;
    if use_ == Use::Read {
        connection.execute_batch("PRAGMA query_only = ON;")?;
    }
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// Makes the mailbox's database if it has none.
pub(crate) fn create(layout: &Layout, id: MailboxId, dek: &Dek, now: i64) -> Result<(), StoreError> {
    let path = layout.mailbox(id);
    if is_there(&path)? {
        return Ok(());
    }
    // The WAL of a database that is lost: a fresh one would take it for its own, and would hide the loss.
    if is_there(&wal_of(&path))? {
        return Err(StoreError::Corrupt("mailbox.sqlite is missing beside its WAL: the mailbox"));
    }
    layout.create_mailbox_dir(id)?;
    files::durable::create_dir_all(&layout.staging())?;
    let staged = layout.staging().join(format!("{id}.sqlite"));
    for leftover in [staged.clone(), with_suffix(&staged, "-wal"), with_suffix(&staged, "-shm")] {
        files::durable::remove(&leftover)?;
    }
    files::durable::create(&staged, b"")?;
    {
        let connection = connect(&staged, dek, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.execute_batch("PRAGMA journal_mode = WAL;")?;
        settings(&connection)?;
        // Nobody sees the file before it is whole, so one sync at the end will do.
        connection.execute_batch("PRAGMA synchronous = OFF;")?;
        schema::migrate(&connection)?;
        schema::populate(&connection, now)?;
        connection.close().map_err(|(_, error)| error)?;
    }
    files::durable::sync_file(&staged)?;
    Ok(files::durable::rename(&staged, &path)?)
}

/// A file that cannot be looked at is an error, not a file that is missing.
pub(crate) fn is_there(path: &Path) -> Result<bool, StoreError> {
    path.try_exists().map_err(|source| files::FilesError::Io { action: "find", path: path.to_owned(), source }.into())
}

/// The path of a file beside a database.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn connect(path: &Path, dek: &Dek, flags: OpenFlags) -> Result<Connection, StoreError> {
    sys::sqlite::start()?;
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    sys::sqlite::key(&connection, dek.bytes())?;
    connection.execute_batch("PRAGMA cipher_log_level = NONE;")?;
    Ok(connection)
}

/// The first read tells whether the key is right.
fn prove(connection: &Connection) -> Result<(), StoreError> {
    match connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0)) {
        Ok(_) => Ok(()),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => Err(StoreError::WrongKey),
        Err(error) => Err(error.into()),
    }
}

/// `synchronous` is set before each write, see `writer`; FULL is for whoever forgets.
fn settings(connection: &Connection) -> Result<(), StoreError> {
    Ok(connection.execute_batch(
        "PRAGMA busy_timeout = 5000;
         PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON;
         PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -2048;",
    )?)
}
