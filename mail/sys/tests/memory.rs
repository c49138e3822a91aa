//! After a mailbox is closed, no word of its mail is left in the process. A process of its own: it reads all its memory.

#![allow(clippy::unwrap_used, reason = "a test ends where something fails")]

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;

use rusqlite::Connection;
use sealpost_sys as sys;

#[global_allocator]
static ALLOCATOR: sys::ZeroOnFree = sys::ZeroOnFree;

/// Written reversed in the executable, so that finding it means that a row was found, not this constant.
const NEEDLE_REVERSED: &[u8] = b"rebmun-elcaro-rednevals-dellepsenu";
const ROWS: i64 = 2_000;

/// Occurrences of the needle in all writable memory of this process. Compares without ever building the needle.
fn occurrences() -> usize {
    let mut maps = String::new();
    File::open("/proc/self/maps").unwrap().read_to_string(&mut maps).unwrap();
    let memory = File::open("/proc/self/mem").unwrap();
    let mut found = 0;
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (from, to) = line.split_whitespace().next().unwrap().split_once('-').unwrap();
        let (from, to) = (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
        found += scan(&memory, from, to);
    }
    found
}

fn scan(memory: &File, from: u64, to: u64) -> usize {
    let len = NEEDLE_REVERSED.len();
    let mut tail: Vec<u8> = Vec::new();
    let mut at = from;
    let mut found = 0;
    while at < to {
        let mut page = [0_u8; 4096];
        if memory.read_exact_at(&mut page, at).is_err() {
            break;
        }
        // Reverse and mask at once, so that no copy made by this function reads as the needle.
        let mut window: Vec<u8> = page.iter().map(|b| b ^ 0x55).collect();
        page.fill(0);
        std::hint::black_box(&mut page);
        let mut joined = std::mem::take(&mut tail);
        joined.append(&mut window);
        found += joined
            .windows(len)
            .filter(|w| w.iter().zip(NEEDLE_REVERSED.iter().rev()).all(|(a, b)| *a == b ^ 0x55))
            .count();
        tail = joined.split_off(joined.len().saturating_sub(len - 1));
        at += 4096;
    }
    found
}

fn needle() -> String {
    NEEDLE_REVERSED.iter().rev().map(|b| char::from(*b)).collect()
}

/// One test, because each of its parts looks at the memory of the whole process.
#[test]
fn what_was_freed_holds_no_words() {
    sys::sqlite::install_allocator().unwrap();
    a_buffer_that_grew_shrank_and_was_dropped();
    a_closed_mailbox();
}

fn a_buffer_that_grew_shrank_and_was_dropped() {
    let mut buffer = Vec::new();
    for _ in 0..500 {
        buffer.extend_from_slice(needle().as_bytes());
    }
    buffer.truncate(2_000);
    buffer.shrink_to_fit();
    let held = occurrences();
    assert!(held >= 2_000 / NEEDLE_REVERSED.len(), "the scan must find what is there; it found {held}");
    drop(buffer);
    assert_eq!(occurrences(), 0, "of {held} while the buffer was held");
}

fn a_closed_mailbox() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mailbox.sqlite");
    let connection = Connection::open(&path).unwrap();
    sys::sqlite::key(&connection, &[9; 32]).unwrap();
    connection.execute_batch("PRAGMA cache_size=-8000; CREATE TABLE t(x, y); CREATE INDEX i ON t(y, x);").unwrap();
    connection.execute_batch("BEGIN").unwrap();
    for row in 0..ROWS {
        connection.execute("INSERT INTO t VALUES (?1 || ?2, ?2)", (needle(), row)).unwrap();
    }
    connection.execute_batch("COMMIT").unwrap();
    let mut read = connection.prepare("SELECT x FROM t ORDER BY x DESC").unwrap();
    let texts: Vec<String> = read.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(texts.len(), 2_000);
    // Grows one string by steps.
    let joined: i64 = connection.query_row("SELECT length(group_concat(x)) FROM t", [], |row| row.get(0)).unwrap();
    assert!(joined > 60_000);
    let open = occurrences();
    assert!(open > 3 * texts.len(), "the scan must find what is there; it found {open}");
    drop(texts);
    drop(read);
    drop(connection);
    let closed = occurrences();
    assert_eq!(closed, 0, "of {open} while the mailbox was open");
}
