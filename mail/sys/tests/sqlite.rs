//! SQLCipher opened by raw bytes: the same file as by PRAGMA, and without a key derivation.

#![allow(clippy::unwrap_used, reason = "a test ends where something fails")]

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use sealpost_sys as sys;

const KEY: [u8; 32] = *b"\x00\xffraw key with a quote ' and \x01..";

fn open(path: &Path, key: &[u8; 32]) -> Connection {
    sys::sqlite::install_allocator().unwrap();
    let connection = Connection::open(path).unwrap();
    sys::sqlite::key(&connection, key).unwrap();
    connection
}

fn fill(path: &Path) {
    let connection = open(path, &KEY);
    connection.execute_batch("CREATE TABLE t(x); INSERT INTO t VALUES ('hello');").unwrap();
}

fn read(connection: &Connection) -> rusqlite::Result<String> {
    connection.query_row("SELECT x FROM t", [], |row| row.get(0))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02X}"))
}

#[test]
fn a_file_made_with_raw_bytes_opens_with_the_pragma_and_with_no_other_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mailbox.sqlite");
    fill(&path);
    assert_eq!(read(&open(&path, &KEY)).unwrap(), "hello");

    let by_pragma = Connection::open(&path).unwrap();
    by_pragma.execute_batch(&format!("PRAGMA key = \"x'{}'\"", hex(&KEY))).unwrap();
    assert_eq!(read(&by_pragma).unwrap(), "hello");

    let mut wrong = KEY;
    wrong[31] ^= 1;
    assert!(read(&open(&path, &wrong)).is_err());
    assert!(read(&Connection::open(&path).unwrap()).is_err(), "the file must not open without a key");
    assert!(!std::fs::read(&path).unwrap().windows(5).any(|w| w == b"hello"));
}

#[test]
fn opening_runs_no_key_derivation() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mailbox.sqlite");
    fill(&path);
    // The fastest of many: a derivation (256,000 rounds of PBKDF2) would take tens of milliseconds every time.
    let fastest = (0..20).map(|_| {
        let start = Instant::now();
        read(&open(&path, &KEY)).unwrap();
        start.elapsed()
    });
    assert!(fastest.min().unwrap() < Duration::from_millis(5));
}

#[test]
fn closing_keeps_the_wal_where_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mailbox.sqlite");
    let connection = open(&path, &KEY);
    sys::sqlite::no_checkpoint_on_close(&connection).unwrap();
    connection.execute_batch("PRAGMA journal_mode=WAL; CREATE TABLE t(x);").unwrap();
    drop(connection);
    assert!(folder.path().join("mailbox.sqlite-wal").metadata().unwrap().len() > 0);
}
