//! What came out of a bucket, opened with its owner's password and looked through.

use std::path::Path;

use crypto::{Dek, Keyset, SealingKey, Secret};
use rusqlite::{Connection, OpenFlags};
use sidecar::assemble::Assembled;
use store::offline::{Files, Offline};

use super::PASSWORD;

/// What opens a mailbox. Finding it out costs as much as a login, so it is kept.
pub struct Keys {
    dek: Dek,
    sealing: SealingKey,
}

impl Keys {
    /// Those in a folder of a mailbox.
    pub fn of(folder: &Path) -> Self {
        let keyset = Keyset::from_json(&std::fs::read(folder.join("keys.json")).unwrap()).unwrap();
        let dek = keyset.unlock(&Secret::new(PASSWORD)).unwrap().dek;
        let sealing = keyset.unwrap_sealing_key(&dek).unwrap();
        Self { dek, sealing }
    }

    /// The key of the database.
    pub fn dek(&self) -> &[u8; 32] {
        self.dek.bytes()
    }

    /// Every message of the files in a folder, what waits included, each once and in the order in which they came. The files
    /// must be sound, and at the commits that were reached.
    pub fn open(&self, folder: &Path, assembled: &Assembled) -> Vec<Vec<u8>> {
        assert!(assembled.damages.is_empty(), "{assembled:?}");
        if let Some(reached) = assembled.mailbox {
            let connection = connect(&folder.join("mailbox.sqlite"));
            let key = format!("x'{}'", data_encoding::HEXLOWER.encode(self.dek.bytes()));
            connection.pragma_update(None, "key", key).unwrap();
            assert_eq!(lines(&connection, "PRAGMA cipher_integrity_check"), Vec::<String>::new());
            sound(&connection, "SELECT commits FROM state", reached.commit);
        }
        if let Some(reached) = assembled.spool {
            sound(&connect(&folder.join("spool.sqlite")), "SELECT commits FROM usage", reached.commit);
        }
        self.read(folder)
    }

    fn read(&self, folder: &Path) -> Vec<Vec<u8>> {
        let copy = tempfile::tempdir().unwrap();
        let opening = Files::find(folder).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let offline = runtime.block_on(Offline::open(&opening, copy.path(), &self.dek, &self.sealing)).unwrap();
        assert!(offline.report().set_aside.is_empty(), "{:?}", offline.report());
        let folders = offline.folders().unwrap();
        let inbox = folders.iter().filter(|folder| folder.messages() > 0);
        let all = inbox.flat_map(|folder| offline.messages(folder).unwrap());
        all.map(|message| offline.bytes(&message).unwrap()).collect()
    }
}

fn connect(path: &Path) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(format!("file:{}?immutable=1", path.display()), flags).unwrap()
}

fn lines(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

fn sound(connection: &Connection, counter: &str, commit: u64) {
    assert_eq!(lines(connection, "PRAGMA integrity_check"), ["ok"]);
    let commits: i64 = connection.query_row(counter, [], |row| row.get(0)).unwrap();
    assert_eq!(commits, i64::try_from(commit).unwrap(), "{counter}");
}
