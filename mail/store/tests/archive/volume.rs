//! A volume with one mailbox and its spool, and what is told of them.

use std::path::PathBuf;
use std::sync::Arc;

use control::{Database, Dirty};
use model::MailboxId;
use store::{Archive, Layout, Limits, Mailbox, Mailboxes, Spool, SpoolLimits, Spools};
use tempfile::TempDir;

use crate::fixture::{Session, dek, id, patient};
use crate::wal::{self, Wal};

pub struct Volume {
    _folder: TempDir,
    pub layout: Layout,
    pub archive: Arc<Archive>,
    pub mailboxes: Mailboxes,
    pub spools: Spools,
}

impl Volume {
    pub fn new() -> Self {
        Self::with(patient(), SpoolLimits::default())
    }

    pub fn with(limits: Limits, spools: SpoolLimits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path());
        layout.create_mailbox_dir(id()).unwrap();
        let archive = Arc::new(Archive::default());
        let mailboxes = Mailboxes::archived(layout.clone(), limits, archive.clone());
        let spools = Spools::archived(layout.clone(), spools, archive.clone());
        Self { _folder: folder, layout, archive, mailboxes, spools }
    }

    /// From now on a policy covers every mailbox.
    pub fn cover(&self) {
        let policies = serde_json::json!({
            "root": "r", "default": "p", "policies": {"p": {
                "destination": {"folder": {"path": "/b"}}, "maxLagSeconds": 1,
                "retention": {"windowDays": 1, "keepLast": 1, "daily": 0, "weekly": 0, "monthly": 0}}}});
        self.archive.set_policies(Arc::new(serde_json::from_value(policies).unwrap()));
    }

    pub async fn attach(&self) -> Arc<Mailbox> {
        self.mailboxes.attach(id(), dek()).await.unwrap()
    }

    pub async fn session(&self, n: u8) -> Session {
        Session::new(self.attach().await, n)
    }

    pub fn spool(&self) -> Arc<Spool> {
        self.spools.of(id())
    }

    pub fn path(&self, database: Database) -> PathBuf {
        path(&self.layout, id(), database)
    }

    pub fn wal(&self, database: Database) -> Wal {
        wal::read(&self.path(database))
    }

    /// The commit number that the file holds.
    pub fn commit(&self, database: Database) -> u64 {
        let connection = rusqlite::Connection::open(self.path(database)).unwrap();
        sys::sqlite::no_checkpoint_on_close(&connection).unwrap();
        if database == Database::Mailbox {
            sys::sqlite::key(&connection, &crate::fixture::KEY).unwrap();
        }
        let sql = if database == Database::Mailbox { "SELECT commits FROM state" } else { "SELECT commits FROM usage" };
        connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap() as u64
    }

    /// How the last life of the mailbox's WAL ended.
    pub fn record(&self) -> Option<control::WalRecord> {
        let json = std::fs::read(self.path(Database::Mailbox).with_file_name("mailbox.wal.json")).ok()?;
        Some(serde_json::from_slice(&json).unwrap())
    }

    /// What was told of the last life of that database's WAL.
    pub fn told(&self, database: Database) -> Option<Dirty> {
        let (_, dirty) = self.archive.notices().after(0);
        dirty.into_iter().rfind(|dirty| dirty.database == database)
    }

    /// Every commit in the WAL has a number of its own, and whoever was told of some of them knows those of all.
    pub fn check_numbers(&self, database: Database) {
        let (wal, last) = (self.wal(database), self.commit(database));
        if wal.commits.is_empty() {
            return;
        }
        let before = last - wal.commits.len() as u64;
        let told = self.told(database).unwrap();
        assert_eq!(told.salts, Some(wal.salts));
        for commit in &told.commits {
            let place = wal.commits.iter().position(|frame| *frame == commit.frame).expect("a commit ends there");
            assert_eq!(commit.commit, before + place as u64 + 1, "{database:?} frame {}", commit.frame);
        }
        assert_eq!(told.commits.last().map(|commit| commit.commit), Some(last));
    }
}

pub fn path(layout: &Layout, id: MailboxId, database: Database) -> PathBuf {
    match database {
        Database::Mailbox => layout.mailbox(id),
        Database::Spool => layout.spool(id),
        Database::Keys => layout.keys(id),
    }
}
