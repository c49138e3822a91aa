use super::*;

fn database(folder: &tempfile::TempDir) -> (Connection, std::path::PathBuf) {
    let path = folder.path().join("x.sqlite");
    let connection = Connection::open(&path).unwrap();
    let set = "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t(x); INSERT INTO t VALUES(1);";
    connection.execute_batch(set).unwrap();
    (connection, path)
}

fn recorded(path: &Path) -> WalRecord {
    serde_json::from_slice(&std::fs::read(record_of(path)).unwrap()).unwrap()
}

/// As a reader without SQLite adds them up (the file format of SQLite, section 4.2).
fn checksum(wal: &[u8], frames: u32, page: usize) -> [u32; 2] {
    let big_endian = wal[3] & 1 == 1;
    let mut sums = [0_u32; 2];
    let mut add = |bytes: &[u8]| {
        for pair in bytes.chunks_exact(8) {
            let word = |at: usize| {
                let four: [u8; 4] = pair[at..at + 4].try_into().unwrap();
                if big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
            };
            sums[0] = sums[0].wrapping_add(word(0)).wrapping_add(sums[1]);
            sums[1] = sums[1].wrapping_add(word(4)).wrapping_add(sums[0]);
        }
    };
    add(&wal[..24]);
    for frame in wal[32..].chunks_exact(24 + page).take(frames as usize) {
        add(&frame[..8]);
        add(&frame[24..]);
    }
    sums
}

#[test]
fn the_end_is_where_the_last_commit_ends_also_with_an_older_life_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let (connection, path) = database(&folder);
    let found = end(&connection, &path).unwrap();
    let wal = std::fs::read(wal_of(&path)).unwrap();
    assert_eq!((u64::from(found.frame), found.salts[0]), ((wal.len() as u64 - 32) / 4120, word(&wal, 16)));
    assert_eq!(found.checksum, checksum(&wal, found.frame, 4096));
    // Caught up, so the next writer begins anew over the frames of before.
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
    assert_eq!(progress(&connection).unwrap(), (found.frame, found.frame));
    connection.execute_batch("UPDATE t SET x = 2").unwrap();
    let next = end(&connection, &path).unwrap();
    assert!(next.frame == 1 && next.salts != found.salts);
    let wal = std::fs::read(wal_of(&path)).unwrap();
    assert_eq!(next.checksum, checksum(&wal, 1, 4096));
}

#[test]
fn each_life_is_recorded_before_it_ends_and_an_empty_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (connection, path) = database(&folder);
    let first = end(&connection, &path).unwrap();
    assert!(fold(&connection, &path, 7, true).unwrap());
    assert_eq!(recorded(&path), WalRecord { format: 1, epoch: 1, end: first, commit: 7, copied: true });
    assert_eq!(end(&connection, &path).unwrap(), EMPTY);
    assert!(fold(&connection, &path, 8, false).unwrap());
    assert_eq!(recorded(&path).commit, 7);
    connection.execute_batch("UPDATE t SET x = 3").unwrap();
    assert!(fold(&connection, &path, 9, false).unwrap());
    let second = recorded(&path);
    assert!(second.epoch == 2 && !second.copied && second.end.salts != first.salts);
}

#[test]
fn behind_a_reader_the_life_goes_on_and_the_next_record_replaces_this_one() {
    let folder = tempfile::tempdir().unwrap();
    let (connection, path) = database(&folder);
    let reader = Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM t").unwrap();
    connection.execute_batch("UPDATE t SET x = 4").unwrap();
    assert!(!fold(&connection, &path, 1, true).unwrap());
    connection.execute_batch("UPDATE t SET x = 5").unwrap();
    let goes_on = recorded(&path);
    assert_eq!(goes_on.end.salts, end(&connection, &path).unwrap().salts);
    reader.execute_batch("COMMIT").unwrap();
    assert!(fold(&connection, &path, 2, false).unwrap());
    let ended = recorded(&path);
    assert!(ended.epoch == 1 && ended.end.frame > goes_on.end.frame && !ended.copied);
}

#[test]
fn a_damaged_record_keeps_the_wal_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (connection, path) = database(&folder);
    std::fs::write(record_of(&path), b"{").unwrap();
    assert!(matches!(fold(&connection, &path, 1, false), Err(StoreError::Corrupt(_))));
    assert_eq!(progress(&connection).unwrap().1, 0);
}
