use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use crypto::{Argon2Cost, Dek, Keyset, NewKeyset, Secret, sha256};
use jiff::Timestamp;
use model::verbs::*;
use model::{DeliveryId, MailboxId, TxId};
use store::offline::{Files, Message, Offline};
use store::{Layout, Limits, Mailboxes, NewWaiting, SpoolLimits, Spools, StoreError, sealed};
use tempfile::TempDir;

use crate::fixture::{Session, patient, view};

/// A volume with one mailbox that has a real keyset.
struct Owner {
    volume: TempDir,
    keyset: Keyset,
    dek: Dek,
}

fn id() -> MailboxId {
    MailboxId::from_random([9; 17])
}

impl Owner {
    fn new() -> Self {
        let password = Secret::new("pass");
        let address = "ann@example.org".parse().unwrap();
        let new = NewKeyset {
            address: &address,
            password: &password,
            recovery: None,
            cost: Argon2Cost::CHEAPEST,
            created: Timestamp::UNIX_EPOCH,
        };
        let (keyset, dek) = Keyset::create(&new).unwrap();
        let volume = tempfile::tempdir().unwrap();
        let owner = Self { volume, keyset, dek };
        owner.layout().create_mailbox_dir(id()).unwrap();
        std::fs::write(owner.layout().keys(id()), owner.keyset.to_json()).unwrap();
        owner
    }

    fn layout(&self) -> Layout {
        Layout::new(self.volume.path())
    }

    fn folder(&self) -> PathBuf {
        self.layout().mailbox_dir(id())
    }

    fn dek(&self) -> Dek {
        Dek::from_bytes(self.dek.bytes())
    }

    /// A mailbox that is in use; its WAL is never folded in.
    async fn serve(&self) -> (Mailboxes, Session) {
        let mailboxes = Mailboxes::new(self.layout(), Limits { wal: u64::MAX, ..patient() });
        let mailbox = mailboxes.attach(id(), self.dek()).await.unwrap();
        (mailboxes, Session::new(mailbox, 1))
    }

    async fn wait(&self, n: u8, body: &str) {
        let sealed = sealed::seal(
            &self.keyset.sealing_public().unwrap(),
            DeliveryId([n; 16]),
            "2025-03-04T05:06:07Z".parse().unwrap(),
            b"Return-Path: <x@example.org>\r\n",
            body.as_bytes(),
        );
        self.wait_sealed(n, sealed.unwrap()).await;
    }

    async fn wait_sealed(&self, n: u8, sealed: Vec<u8>) {
        let spools = Spools::new(self.layout(), SpoolLimits::default());
        let row = NewWaiting {
            delivery: DeliveryId([n; 16]),
            txid: TxId([n; 16]),
            fp: None,
            size: 100,
            began: Timestamp::now(),
            at: Timestamp::now(),
            sealed: Bytes::from(sealed),
            limit: None,
            until: None,
        };
        spools.of(id()).insert(row).await.unwrap();
    }

    async fn open(&self, folder: &Path) -> Result<(TempDir, Offline), StoreError> {
        let copy = tempfile::tempdir().unwrap();
        let sealing = self.keyset.unwrap_sealing_key(&self.dek).unwrap();
        let offline = Offline::open(&Files::find(folder)?, copy.path(), &self.dek, &sealing).await?;
        Ok((copy, offline))
    }
}

fn inbox(offline: &Offline) -> Vec<(Message, Vec<u8>)> {
    let folder = offline.folders().unwrap().into_iter().find(|folder| folder.name() == "INBOX").unwrap();
    let messages = offline.messages(&folder).unwrap();
    messages.into_iter().map(|message| (message.clone(), offline.bytes(&message).unwrap())).collect()
}

/// Names, contents and times of all files.
fn fingerprint(folder: &Path) -> BTreeMap<String, ([u8; 32], std::time::SystemTime)> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| {
            let changed = path.metadata().unwrap().modified().unwrap();
            (path.display().to_string(), (sha256(&std::fs::read(&path).unwrap()), changed))
        })
        .collect()
}

/// Copies the files as a backup program would; `-shm` stays behind.
fn copy(from: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        if !entry.path().display().to_string().ends_with("-shm") {
            std::fs::copy(entry.path(), to.path().join(entry.file_name())).unwrap();
        }
    }
    to
}

const WAITING: &str = "Return-Path: <x@example.org>\r\nSubject: ";

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_in_the_wal_and_what_waits_is_read_and_no_file_changes() {
    let owner = Owner::new();
    let (_mailboxes, session) = owner.serve().await;
    session.create("Входящие/a.b").await.unwrap();
    for n in 0..20 {
        session.append("INBOX", format!("Subject: {n}\r\n\r\nin the WAL")).await.unwrap();
    }
    let selected = view(&session.select("INBOX").await);
    session.store(&selected, "3", StoreMode::Add, &["\\Seen", "\\Flagged", "$Forwarded"]).await;
    owner.wait(1, "Subject: first\r\n\r\n").await;
    owner.wait(2, "Subject: second\r\n\r\n").await;
    let folder = copy(&owner.folder());
    assert!(folder.path().join("mailbox.sqlite-wal").metadata().unwrap().len() > 0);
    let before = fingerprint(folder.path());
    let (_copy, offline) = owner.open(folder.path()).await.unwrap();
    let messages = inbox(&offline);
    assert_eq!(messages.len(), 22);
    for (n, (message, bytes)) in messages.iter().take(20).enumerate() {
        assert_eq!(*bytes, format!("Subject: {n}\r\n\r\nin the WAL").into_bytes());
        assert_eq!((message.uid, message.waiting, message.received), (n as u32 + 1, false, 1_714_979_289));
    }
    let flagged = &messages[2].0;
    assert!(flagged.flags.has(model::SystemFlag::Seen) && flagged.flags.has(model::SystemFlag::Flagged));
    assert_eq!(flagged.keywords, ["$Forwarded"]);
    assert_eq!(messages[20].1, format!("{WAITING}first\r\n\r\n").into_bytes());
    assert_eq!(messages[21].1, format!("{WAITING}second\r\n\r\n").into_bytes());
    assert!(messages[20].0.waiting && messages[21].0.waiting);
    assert_eq!(messages[20].0.received, 1_741_064_767, "INTERNALDATE is when it was accepted");
    assert_eq!((offline.report().waiting, offline.report().known), (2, 0));
    assert!(offline.folders().unwrap().iter().any(|folder| folder.name() == "Входящие/a.b"));
    drop(offline);
    assert_eq!(fingerprint(folder.path()), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_mailbox_took_does_not_come_again_and_a_marked_row_it_did_not_take_does() {
    let owner = Owner::new();
    let (mailboxes, session) = owner.serve().await;
    for n in 1..=3 {
        owner.wait(n, &format!("Subject: {n}\r\n\r\n")).await;
    }
    // A drain that crashed between mailbox and spool: one is in both.
    let taken = crate::fixture::delivery(2, "Subject: 2\r\n\r\n");
    session.mailbox.deliver(taken).await.unwrap();
    drop(session);
    mailboxes.detach(id()).await;
    // Rows that are kept until the archive has the mailbox's commit.
    let spool = rusqlite::Connection::open(owner.layout().spool(id())).unwrap();
    spool.execute("UPDATE waiting SET drained_at = 5 WHERE id IN (2, 3)", []).unwrap();
    spool.close().unwrap();
    let (_copy, offline) = owner.open(&owner.folder()).await.unwrap();
    let bodies: Vec<_> = inbox(&offline).into_iter().map(|(message, bytes)| (message.waiting, bytes)).collect();
    let text = |n: u8| format!("{WAITING}{n}\r\n\r\n").into_bytes();
    assert_eq!(bodies, [(false, text(2)), (true, text(1)), (true, text(3))]);
    assert_eq!((offline.report().waiting, offline.report().known), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_does_not_open_is_reported_and_the_others_come() {
    let owner = Owner::new();
    owner.wait(1, "Subject: 1\r\n\r\n").await;
    owner.wait_sealed(2, b"SPSM nonsense".to_vec()).await;
    owner.wait(3, "Subject: 3\r\n\r\n").await;
    // Nobody has ever logged in: there is no mailbox.sqlite.
    assert!(!Files::find(&owner.folder()).unwrap().prove(&owner.dek).unwrap());
    let (_copy, offline) = owner.open(&owner.folder()).await.unwrap();
    assert_eq!(inbox(&offline).len(), 2);
    let set_aside: Vec<_> = offline.report().set_aside.iter().map(|(delivery, _)| *delivery).collect();
    assert_eq!(set_aside, [DeliveryId([2; 16])]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_message_is_an_error_of_its_own() {
    let owner = Owner::new();
    let (mailboxes, session) = owner.serve().await;
    for n in 0..3 {
        session.append("INBOX", format!("Subject: {n}\r\n\r\n{}", "x".repeat(70_000))).await.unwrap();
    }
    drop(session);
    mailboxes.detach(id()).await;
    let connection = rusqlite::Connection::open(owner.layout().mailbox(id())).unwrap();
    sys::sqlite::key(&connection, owner.dek.bytes()).unwrap();
    connection.execute("UPDATE chunk SET data = x'00' WHERE k >> 20 = 2", []).unwrap();
    connection.close().unwrap();
    let (_copy, offline) = owner.open(&owner.folder()).await.unwrap();
    let folder = offline.folders().unwrap().into_iter().find(|folder| folder.name() == "INBOX").unwrap();
    let read = offline.messages(&folder).unwrap();
    let read: Vec<_> = read.iter().map(|message| offline.bytes(message).is_ok()).collect();
    assert_eq!(read, [true, false, true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_file_holds_the_same_and_is_read_without_a_key() {
    let owner = Owner::new();
    let (mailboxes, session) = owner.serve().await;
    let large = format!("Subject: needle\r\n\r\n{}\r\n", "a long body ".repeat(20_000));
    session.append("INBOX", large.clone()).await.unwrap();
    session.append("Sent", "Subject: sent\r\n\r\nbody".to_owned()).await.unwrap();
    owner.wait(1, "Subject: waited\r\n\r\n").await;
    drop(session);
    mailboxes.detach(id()).await;
    let (copy, offline) = owner.open(&owner.folder()).await.unwrap();
    let plain = copy.path().join("it's plain.sqlite");
    offline.write_plain(&plain).unwrap();
    let again = Offline::open_plain(&plain).unwrap();
    assert_eq!(again.subscriptions().unwrap(), offline.subscriptions().unwrap());
    for (folder, other) in offline.folders().unwrap().iter().zip(again.folders().unwrap()) {
        assert_eq!(folder, &other);
        let (left, right) = (offline.messages(folder).unwrap(), again.messages(&other).unwrap());
        assert_eq!(left.len(), right.len());
        for (left, right) in left.iter().zip(&right) {
            assert_eq!(offline.bytes(left).unwrap(), again.bytes(right).unwrap());
        }
    }
    assert_eq!(
        inbox(&again).iter().map(|(_, bytes)| bytes.len()).collect::<Vec<_>>(),
        [large.len(), WAITING.len() + "waited\r\n\r\n".len()]
    );
    let sql = rusqlite::Connection::open(&plain).unwrap();
    let one = |sql_text: &str| sql.query_row(sql_text, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(one("SELECT count(*) FROM hdr WHERE CAST(data AS TEXT) LIKE '%needle%'"), 1);
    assert_eq!(
        one("SELECT (SELECT count(*) FROM chunk WHERE codec > 0) + (SELECT count(*) FROM hdr WHERE codec > 0)"),
        0
    );
    assert_eq!(sql.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0)).unwrap(), "ok");
    assert!(matches!(Offline::open_plain(&owner.layout().mailbox(id())), Err(StoreError::Corrupt(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_keys_and_missing_files_are_named_before_anything_is_written() {
    let owner = Owner::new();
    let (mailboxes, session) = owner.serve().await;
    session.append("INBOX", "Subject: x\r\n\r\n").await.unwrap();
    drop(session);
    let before = copy(&owner.folder());
    mailboxes.detach(id()).await;
    let files = Files::find(&owner.folder()).unwrap();
    assert!(matches!(files.prove(&Dek::from_bytes(&[7; 32])), Err(StoreError::WrongKey)));
    assert!(files.prove(&owner.dek).unwrap());
    std::fs::remove_file(before.path().join("mailbox.sqlite")).unwrap();
    assert!(matches!(Files::find(before.path()), Err(StoreError::Corrupt(_))));
    std::fs::remove_file(before.path().join("keys.json")).unwrap();
    assert!(matches!(Files::find(before.path()), Err(StoreError::NoKeys)));
}
