//! A mailbox folder as a primary keeps it, played with plain SQLite and SQLCipher.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use control::{Commit, WalPosition, WalRecord};
use files::wal::Wal;
use jiff::Timestamp;
use model::backup::ArchiveId;
use model::{MailboxId, ServerId, ShardId, Term};
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use sidecar::assemble::{AssembleError, Assembled, Source, Target, assemble};
use sidecar::bucket::{Bucket, Object};
use sidecar::format::{DataFile, FORMAT, Name, Owner, Signer, document};
use sidecar::ship::{MailboxState, Outbox, Passed, ShipError, Shipper, States, Told};
use tempfile::TempDir;

const KEY: &str = "x'000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f'";
/// When commit 0 is said to have been made; the others follow a minute apart. So long ago that a new base is always due.
const LONG_AGO: i64 = 1_700_000_000;

pub fn mailbox() -> MailboxId {
    MailboxId::from_random([7; 17])
}

pub fn server() -> ServerId {
    ServerId("0123abcd".to_owned())
}

pub fn root() -> String {
    "local.mail.0123abcd".to_owned()
}

pub fn signer() -> Signer {
    Signer::from_seed(&[5; 32])
}

/// A database and copies of it: `copies[n]` is what it is after commit n.
pub struct Db {
    file: DataFile,
    path: PathBuf,
    connection: Option<Connection>,
    pub copies: Vec<Option<Vec<u8>>>,
    pub commit: u64,
    begin: i64,
}

impl Db {
    fn new(folder: &Path, file: DataFile, begin: i64) -> Self {
        let path = folder.join(format!("{}.sqlite", file.database().name()));
        let mut db = Self { file, path, connection: None, copies: vec![None], commit: 0, begin };
        db.open();
        db.write("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA wal_checkpoint(TRUNCATE);");
        db.transaction(
            "CREATE TABLE state(commits INTEGER); INSERT INTO state VALUES (0);
             CREATE TABLE t(n INTEGER PRIMARY KEY, filler BLOB); CREATE INDEX by_size ON t(length(filler))",
        );
        db
    }

    pub fn open(&mut self) {
        let connection = open(&self.path, self.file);
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
        let settings = "PRAGMA wal_autocheckpoint = 0; PRAGMA synchronous = OFF; PRAGMA cache_size = 10;";
        connection.execute_batch(settings).unwrap();
        self.connection = Some(connection);
    }

    /// Ends the process that has it open.
    pub fn close(&mut self) {
        self.connection = None;
    }

    /// A restore puts another file into its place; nobody has opened it.
    pub fn replace(&mut self, bytes: &[u8], commit: u64) {
        self.close();
        for name in ["-wal", "-shm"] {
            let _ = fs::remove_file(format!("{}{name}", self.path.display()));
        }
        let _ = fs::remove_file(self.path.with_extension("wal.json"));
        fs::write(&self.path, bytes).unwrap();
        self.copies.truncate(commit as usize + 1);
        self.commit = commit;
    }

    fn write(&self, sql: &str) {
        self.connection.as_ref().unwrap().execute_batch(sql).unwrap();
    }

    /// One commit.
    pub fn transaction(&mut self, sql: &str) {
        self.write(&format!("BEGIN; {sql}; UPDATE state SET commits = commits + 1; COMMIT;"));
        self.commit += 1;
        let copy = self.copy();
        self.copies.push(Some(copy));
    }

    /// Work that leaves nothing but frames that do not count.
    pub fn rollback(&self, sql: &str) {
        self.write(&format!("BEGIN; {sql}; ROLLBACK;"));
    }

    /// The main file as it would be if the WAL were folded in.
    fn copy(&self) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let copy = dir.path().join("copy.sqlite");
        fs::copy(&self.path, &copy).unwrap();
        fs::copy(wal_of(&self.path), wal_of(&copy)).unwrap();
        let connection = open(&copy, self.file);
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        drop(connection);
        fs::read(copy).unwrap()
    }

    /// A compact copy, as the primary stages it.
    pub fn vacuum_into(&self, path: &Path) {
        let _ = fs::remove_file(path);
        self.connection.as_ref().unwrap().execute("VACUUM INTO ?", [path.to_str().unwrap()]).unwrap();
    }

    /// Where the WAL ends.
    pub fn end(&self) -> WalPosition {
        let Some(wal) = Wal::open(&wal_of(&self.path)).unwrap() else {
            return WalPosition { salts: [0, 0], frame: 0, checksum: [0, 0] };
        };
        let last = wal.commits_after(&wal.start(), u64::MAX).unwrap().pop();
        let start = wal.start();
        let (frame, checksum) = last.map_or((0, start.checksum), |last| (last.frame, last.checksum));
        WalPosition { salts: start.salts, frame, checksum }
    }

    /// As the primary folds a WAL in: first the record.
    pub fn fold(&self, copied: bool) {
        let end = self.end();
        if end.frame > 0 {
            self.record(end, copied);
        }
        let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
        self.connection.as_ref().unwrap().query_row(checkpoint, [], |_| Ok(())).unwrap();
    }

    /// Records where this life ends.
    pub fn record(&self, end: WalPosition, copied: bool) {
        let path = self.path.with_extension("wal.json");
        let before: Option<WalRecord> = fs::read(&path).ok().map(|json| serde_json::from_slice(&json).unwrap());
        let epoch = before.map_or(1, |before| before.epoch + u64::from(before.end.salts != end.salts));
        let record = WalRecord { format: 1, epoch, end, commit: self.commit, copied };
        fs::write(path, serde_json::to_vec(&record).unwrap()).unwrap();
    }

    fn notice(&self) -> Commit {
        Commit { frame: self.end().frame, commit: self.commit, time: self.time_of(self.commit) }
    }

    pub fn time_of(&self, commit: u64) -> Timestamp {
        Timestamp::from_second(self.begin + 60 * commit as i64).unwrap()
    }
}

fn wal_of(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}-wal", path.display()))
}

fn open(path: &Path, file: DataFile) -> Connection {
    let connection = Connection::open(path).unwrap();
    if file == DataFile::Mailbox {
        connection.pragma_update(None, "key", KEY).unwrap();
    }
    connection
}

/// A volume with one mailbox, and what ships it.
pub struct Volume {
    pub dir: TempDir,
    pub mailbox: Db,
    pub spool: Db,
    pub told: Told,
    pub state: Option<MailboxState>,
    pub bucket: Arc<dyn Bucket>,
    /// Under which it is owned.
    pub term: u64,
    run: u32,
}

impl Volume {
    pub async fn new(bucket: Arc<dyn Bucket>) -> Self {
        Self::begun(bucket, LONG_AGO).await
    }

    /// One whose commits were made within the last hours: no base is due.
    pub async fn recent(bucket: Arc<dyn Bucket>) -> Self {
        Self::begun(bucket, Timestamp::now().as_second() - 7200).await
    }

    async fn begun(bucket: Arc<dyn Bucket>, begin: i64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("mailbox")).unwrap();
        let folder = dir.path().join("mailbox");
        fs::write(folder.join("keys.json"), r#"{"format":1,"version":3}"#).unwrap();
        let db = |file| Db::new(&folder, file, begin);
        let (mailbox, spool) = (db(DataFile::Mailbox), db(DataFile::Spool));
        let (term, run) = (Term(1), "run".to_owned());
        let owner = Owner {
            format: FORMAT,
            server: server(),
            shard: ShardId(0),
            volume: "volume".to_owned(),
            term,
            run: run.clone(),
            signer: signer().public(),
            time: Timestamp::UNIX_EPOCH,
        };
        let key = Name::Owner { shard: ShardId(0), term }.key(&root());
        let object = Object::of_bytes(document::write(&owner, &signer()).0, &run);
        while bucket.put_if_absent(&key, &object).await.is_err() {}
        let mut volume = Self { dir, mailbox, spool, told: Told::default(), state: None, bucket, term: 1, run: 0 };
        volume.tell(DataFile::Mailbox);
        volume.tell(DataFile::Spool);
        volume
    }

    pub fn db(&mut self, file: DataFile) -> &mut Db {
        match file {
            DataFile::Mailbox => &mut self.mailbox,
            DataFile::Spool => &mut self.spool,
        }
    }

    /// A notice of the last commit.
    pub fn tell(&mut self, file: DataFile) {
        let (notice, salts) = (self.db(file).notice(), self.db(file).end().salts);
        self.told.add(file.database(), Some(salts), &[notice]);
    }

    pub fn folder(&self) -> PathBuf {
        self.dir.path().join("mailbox")
    }

    pub fn shipper(&self) -> Shipper {
        Shipper {
            bucket: self.bucket.clone(),
            root: root(),
            server: server(),
            term: Term(self.term),
            run: format!("run-{}", self.run),
            signer: signer(),
            outbox: Outbox::open(self.dir.path().join("outbox")).unwrap(),
            states: States::open(&self.dir.path().join("sidecar")).unwrap(),
        }
    }

    /// One pass, as the sidecar makes it.
    pub async fn pass(&mut self) -> Result<Passed, ShipError> {
        let shipper = self.shipper();
        let mut state = match self.state.take() {
            Some(state) => state,
            None => shipper.load(mailbox()).await?,
        };
        // Also after an error it stands for what was done.
        let passed = shipper.pass(&self.folder(), &mut state, &self.told).await;
        self.state = Some(state);
        passed
    }

    /// The sidecar is another process now; what it had in memory is gone.
    pub fn restart(&mut self) {
        self.run += 1;
        self.state = None;
        self.told = Told::default();
    }

    /// HOLD, the tail into the outbox, CHECKPOINT.
    pub async fn fold(&mut self, file: DataFile) -> bool {
        let Some(mut state) = self.state.take() else { return false };
        let (end, folder, told) = (self.db(file).end(), self.folder(), self.told.clone());
        let copied = self.shipper().tail(&folder, &mut state, file, &told, end).await.unwrap();
        self.state = Some(state);
        if copied {
            self.db(file).fold(true);
        }
        copied
    }

    /// Ships everything, however often the bucket fails.
    pub async fn ship(&mut self) -> Vec<(&'static str, String)> {
        let mut troubles = Vec::new();
        for _ in 0..500 {
            let Ok(passed) = self.pass().await else { continue };
            troubles.extend(passed.troubles);
            match passed.unnumbered {
                Some(file) => self.tell(file),
                None if passed.more => {}
                None => return troubles,
            }
        }
        panic!("never shipped: {:?}", self.pass().await);
    }

    pub async fn assemble(&self, target: Target, timeline: u32) -> Result<(Assembled, TempDir), AssembleError> {
        let dir = tempfile::tempdir().unwrap();
        let source = Source::open(self.bucket.as_ref(), &root()).await?;
        let archive = ArchiveId { server: server(), mailbox: mailbox(), timeline };
        let done = assemble(&source, &archive, target, dir.path(), &mut |_| {}).await?;
        Ok((done, dir))
    }
}

/// The assembled file of a database, which must be sound.
pub fn sound(dir: &TempDir, file: DataFile) -> Vec<u8> {
    let path = dir.path().join(format!("{}.sqlite", file.database().name()));
    let bytes = fs::read(&path).unwrap();
    let connection = open(&path, file);
    let ok: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(ok, "ok");
    bytes
}

/// The commit number inside an assembled file.
pub fn commits(dir: &TempDir, file: DataFile) -> u64 {
    let path = dir.path().join(format!("{}.sqlite", file.database().name()));
    open(&path, file).query_row("SELECT commits FROM state", [], |row| row.get::<_, i64>(0)).unwrap() as u64
}
