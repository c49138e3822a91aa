//! SQLite is the judge: what it finds in a log, however damaged, the reader finds too, and nothing else.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rusqlite::Connection;
use tempfile::TempDir;

use super::checksum::Order;
use super::*;

/// A database whose log is not folded in: every transaction adds one row to `t`.
struct Database {
    dir: TempDir,
    connection: Connection,
}

impl Database {
    fn new(key: Option<&str>, page_size: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let connection = open(&dir.path().join("db"), key);
        let setup = format!(
            "PRAGMA page_size = {page_size}; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
             CREATE TABLE t(n INTEGER PRIMARY KEY, filler BLOB); PRAGMA wal_checkpoint(TRUNCATE);"
        );
        connection.execute_batch(&setup).unwrap();
        Self { dir, connection }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("db-wal")
    }

    fn commit(&self, octets: usize) {
        self.connection.execute("INSERT INTO t(filler) VALUES (randomblob(?1))", [octets as i64]).unwrap();
    }

    fn wal(&self) -> Wal {
        Wal::open(&self.path()).unwrap().unwrap()
    }

    /// Rows that SQLite finds in a copy of this database with that log.
    fn rows_with(&self, wal: &[u8]) -> usize {
        let dir = tempfile::tempdir().unwrap();
        let copy = dir.path().join("db");
        fs::copy(self.dir.path().join("db"), &copy).unwrap();
        fs::write(dir.path().join("db-wal"), wal).unwrap();
        rows(&open(&copy, None))
    }

    /// Commits that the reader finds in that log.
    fn commits_with(&self, wal: &[u8]) -> usize {
        let path = self.dir.path().join("other-wal");
        fs::write(&path, wal).unwrap();
        Wal::open(&path).unwrap().map_or(0, |wal| all(&wal).len())
    }
}

fn open(path: &Path, key: Option<&str>) -> Connection {
    let connection = Connection::open(path).unwrap();
    if let Some(key) = key {
        connection.pragma_update(None, "key", key).unwrap();
    }
    connection
}

fn rows(connection: &Connection) -> usize {
    connection.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)).unwrap() as usize
}

fn all(wal: &Wal) -> Vec<Commit> {
    wal.commits_after(&wal.start(), u64::MAX).unwrap()
}

fn behind(wal: &Wal, commit: &Commit) -> Position {
    Position { salts: wal.header().salts, frame: commit.frame, checksum: commit.checksum }
}

#[test]
fn commits_of_an_encrypted_database_are_seen_without_its_key() {
    let database = Database::new(Some("x'000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f'"), 4096);
    for octets in [10, 9000, 100_000, 0] {
        database.commit(octets);
    }
    let wal = database.wal();
    let commits = all(&wal);
    assert_eq!((commits.len(), wal.header().page_size), (4, 4096));
    let pages: u32 = database.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    assert_eq!(commits[3].pages, pages);
    assert_eq!(wal.size().unwrap(), wal.header().offset_of(commits[3].frame + 1), "nothing lies behind the last");
}

#[test]
fn reading_goes_on_from_any_commit_and_stops_where_enough_was_read() {
    let database = Database::new(None, 1024);
    (0..40).for_each(|n| database.commit(n * 400));
    let wal = database.wal();
    let commits = all(&wal);
    for (n, commit) in commits.iter().enumerate() {
        let place = behind(&wal, commit);
        assert!(wal.holds(&place).unwrap());
        assert_eq!(wal.commits_after(&place, u64::MAX).unwrap(), commits[n + 1..]);
        let next = wal.commits_after(&place, 1).unwrap();
        assert_eq!(next, commits[n + 1..].iter().take(1).copied().collect::<Vec<_>>());
    }
}

#[test]
fn a_copy_is_what_is_in_the_file_or_nothing() {
    let database = Database::new(None, 512);
    (0..30).for_each(|_| database.commit(2000));
    let wal = database.wal();
    let commits = all(&wal);
    let (from, to) = (behind(&wal, &commits[6]), behind(&wal, &commits[22]));
    let mut copied = Vec::new();
    assert_eq!(wal.copy(&from, to.frame, &mut copied).unwrap(), Some(to));
    let file = fs::read(database.path()).unwrap();
    let range = |frame| wal.header().offset_of(frame + 1) as usize;
    assert!(copied == file[range(from.frame)..range(to.frame)]);

    let mut damaged = file.clone();
    damaged[range(to.frame) - 1] ^= 1;
    fs::write(database.path(), damaged).unwrap();
    assert_eq!(wal.copy(&from, to.frame, &mut Vec::new()).unwrap(), None);
    fs::write(database.path(), &file[..range(to.frame) - 1]).unwrap();
    assert_eq!(wal.copy(&from, to.frame, &mut Vec::new()).unwrap(), None);
    fs::write(database.path(), &file[..range(to.frame - 1)]).unwrap();
    assert!(wal.holds(&from).unwrap() && !wal.holds(&to).unwrap());
}

#[test]
fn a_copy_is_checked_without_the_header_of_its_log() {
    let database = Database::new(None, 1024);
    (0..12).for_each(|_| database.commit(3000));
    for log in [fs::read(database.path()).unwrap(), resummed(&fs::read(database.path()).unwrap(), 1024)] {
        fs::write(database.path(), &log).unwrap();
        let wal = database.wal();
        let commits = all(&wal);
        let (from, to) = (behind(&wal, &commits[3]), behind(&wal, &commits[9]));
        let mut copy = Vec::new();
        wal.copy(&from, to.frame, &mut copy).unwrap();
        let mut frames = Frames::behind(from.salts, from.checksum, 1024);
        let found: Vec<Frame> = copy.chunks(24 + 1024).map(|frame| frames.follow(frame).unwrap()).collect();
        assert_eq!(frames.checksum(), to.checksum);
        let ends: Vec<u32> = found.iter().filter(|frame| frame.pages != 0).map(|frame| frame.pages).collect();
        assert_eq!(ends, commits[4..=9].iter().map(|commit| commit.pages).collect::<Vec<_>>());
        copy[30] ^= 1;
        assert_eq!(Frames::behind(from.salts, from.checksum, 1024).follow(&copy[..1048]), None);
    }
}

#[test]
fn after_a_reset_only_the_new_life_is_seen() {
    let database = Database::new(None, 4096);
    (0..20).for_each(|_| database.commit(5000));
    let old = database.wal();
    let end = behind(&old, all(&old).last().unwrap());
    database.connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(())).unwrap();
    assert!(old.holds(&end).unwrap(), "the log begins anew with the next transaction only");
    database.commit(10);
    let new = database.wal();
    assert_eq!((all(&new).len(), new.size().unwrap()), (1, old.size().unwrap()), "the old frames are still behind it");
    assert_ne!(new.header().salts, old.header().salts);
    assert!(!new.holds(&end).unwrap());
    assert_eq!(new.commits_after(&end, u64::MAX).unwrap(), []);
    assert_eq!(old.commits_after(&old.start(), u64::MAX).unwrap(), [], "what was read first was overwritten");
}

#[test]
fn a_log_that_is_missing_empty_or_shorter_than_its_header_has_nothing() {
    let database = Database::new(None, 4096);
    assert!(Wal::open(&database.dir.path().join("none-wal")).unwrap().is_none());
    assert!(Wal::open(&database.path()).unwrap().is_none(), "TRUNCATE leaves an empty file");
    database.commit(1);
    let file = fs::read(database.path()).unwrap();
    for length in 0..32 {
        fs::write(database.path(), &file[..length]).unwrap();
        assert!(Wal::open(&database.path()).unwrap().is_none());
    }
    fs::write(database.path(), &file[..32]).unwrap();
    assert_eq!(all(&database.wal()), []);
}

#[test]
fn a_log_summed_in_the_other_byte_order_is_read_as_sqlite_reads_it() {
    let database = Database::new(None, 1024);
    (0..12).for_each(|_| database.commit(3000));
    let little = fs::read(database.path()).unwrap();
    let big = resummed(&little, 1024);
    assert_ne!(big, little);
    assert_eq!((database.rows_with(&big), database.commits_with(&big)), (12, 12));
}

/// The same log with sums over big-endian words.
fn resummed(wal: &[u8], page: usize) -> Vec<u8> {
    let mut wal = wal.to_vec();
    wal[3] |= 1;
    let mut sum = Order::Big.sum([0, 0], &wal[..24]);
    put(&mut wal[24..32], sum);
    for frame in wal[32..].chunks_exact_mut(24 + page) {
        sum = Order::Big.sum(Order::Big.sum(sum, &frame[..8]), &frame[24..]);
        put(&mut frame[16..24], sum);
    }
    wal
}

fn put(into: &mut [u8], sum: Checksum) {
    into[..4].copy_from_slice(&sum[0].to_be_bytes());
    into[4..].copy_from_slice(&sum[1].to_be_bytes());
}

#[test]
fn a_reader_that_follows_a_writer_sees_every_commit_once_and_never_a_rollback() {
    const COMMITS: usize = 400;
    let database = Database::new(None, 1024);
    // So small that transactions spill into the log before they end, and overwrite there what they spilled.
    database.connection.execute_batch("PRAGMA cache_size = 5; PRAGMA synchronous = OFF;").unwrap();
    let path = database.path();
    let writer = std::thread::spawn(move || {
        for n in 0..COMMITS {
            let batch = format!(
                "BEGIN; INSERT INTO t(filler) VALUES (randomblob({})); UPDATE t SET filler = randomblob(900) WHERE n % 7 = {};",
                n % 50 * 300,
                n % 7
            );
            database.connection.execute_batch(&batch).unwrap();
            database.connection.execute_batch("ROLLBACK").unwrap();
            database.connection.execute_batch(&batch).unwrap();
            database.connection.execute_batch("COMMIT").unwrap();
        }
        database
    });
    let (mut place, mut seen, mut copy) = (None, 0, Vec::new());
    while seen < COMMITS {
        let Some(wal) = Wal::open(&path).unwrap() else { continue };
        let from = place.unwrap_or_else(|| wal.start());
        assert!(wal.holds(&from).unwrap());
        let found = wal.commits_after(&from, 300_000).unwrap();
        if let Some(last) = found.last() {
            place = wal.copy(&from, last.frame, &mut copy).unwrap();
            assert_eq!(place, Some(behind(&wal, last)));
        }
        seen += found.len();
    }
    let database = writer.join().unwrap();
    let file = fs::read(database.path()).unwrap();
    let end = place.unwrap();
    assert!(copy == file[32..database.wal().header().offset_of(end.frame + 1) as usize]);
    assert_eq!((seen, rows(&database.connection)), (COMMITS, COMMITS));
}

#[derive(Debug, Clone)]
enum Damage {
    Flip { at: usize, bit: u8 },
    Cut { length: usize },
    Zero { at: usize, length: usize },
    Append { octets: Vec<u8> },
    Swap { a: usize, b: usize },
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (any::<usize>(), 0..8u8).prop_map(|(at, bit)| Damage::Flip { at, bit }),
        (0..64usize, 0..8u8).prop_map(|(at, bit)| Damage::Flip { at, bit }),
        any::<usize>().prop_map(|length| Damage::Cut { length }),
        (any::<usize>(), 1..5000usize).prop_map(|(at, length)| Damage::Zero { at, length }),
        proptest::collection::vec(any::<u8>(), 0..3000).prop_map(|octets| Damage::Append { octets }),
        (any::<usize>(), any::<usize>()).prop_map(|(a, b)| Damage::Swap { a, b }),
    ]
}

impl Damage {
    fn apply(&self, wal: &mut Vec<u8>, frame: usize) {
        let size = wal.len();
        match self {
            _ if size == 0 => {}
            Self::Flip { at, bit } => wal[at % size] ^= 1 << bit,
            Self::Cut { length } => wal.truncate(length % size),
            Self::Zero { at, length } => wal[at % size..].iter_mut().take(*length).for_each(|byte| *byte = 0),
            Self::Append { octets } => wal.extend_from_slice(octets),
            Self::Swap { a, b } => {
                let frames = size.saturating_sub(32) / frame;
                if frames > 0 {
                    let (a, b) = (32 + a % frames * frame, 32 + b % frames * frame);
                    let first = wal[a..a + frame].to_vec();
                    wal.copy_within(b..b + frame, a);
                    wal[b..b + frame].copy_from_slice(&first);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn whatever_was_damaged_the_reader_finds_the_commits_that_sqlite_finds(
        before in proptest::collection::vec(0..9000usize, 0..12),
        after in proptest::collection::vec(0..9000usize, 1..12),
        reset in any::<bool>(),
        damages in proptest::collection::vec(damage(), 0..4),
        page in prop_oneof![Just(512u32), Just(4096), Just(8192)],
    ) {
        let database = Database::new(None, page);
        database.connection.execute_batch("PRAGMA synchronous = OFF").unwrap();
        for octets in &before {
            database.commit(*octets);
        }
        let mut folded = 0;
        if reset {
            database.connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(())).unwrap();
            folded = before.len();
        }
        for octets in &after {
            database.commit(*octets);
        }
        let mut wal = fs::read(database.path()).unwrap();
        for damage in &damages {
            damage.apply(&mut wal, 24 + page as usize);
        }
        prop_assert_eq!(folded + database.commits_with(&wal), database.rows_with(&wal));
    }

    #[test]
    fn any_octets_are_read_without_harm(
        octets in proptest::collection::vec(any::<u8>(), 0..5000),
        salts in any::<[u32; 2]>(), frame in any::<u32>(), checksum in any::<[u32; 2]>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wal");
        fs::write(&path, &octets).unwrap();
        if let Some(wal) = Wal::open(&path).unwrap() {
            let place = Position { salts, frame, checksum };
            let _ = wal.holds(&place).unwrap();
            prop_assert_eq!(wal.commits_after(&Position { salts: wal.header().salts, ..place }, 1).unwrap(), vec![]);
        }
    }
}
