use std::collections::{BTreeMap, BTreeSet};

use model::ServerId;

use super::*;

fn directory(seq: u64) -> Directory {
    Directory {
        server: ServerId("s".into()),
        hostname: "mx.example.org".into(),
        generation: Generation { epoch: 1, seq },
        domains: BTreeSet::new(),
        max_message_size: 1 << 20,
        entries: BTreeMap::new(),
        mailboxes: BTreeMap::new(),
        removed: BTreeMap::new(),
    }
}

fn bindings() -> Bindings {
    Bindings { aliases: [("info@example.org".parse().unwrap(), "uid".to_owned())].into(), ..Bindings::default() }
}

#[test]
fn it_is_there_after_reopening_and_never_goes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("directory.sqlite");
    let file = DirectoryFile::open(&path, &[7; 32]).unwrap();
    assert_eq!(file.load().unwrap(), None);
    assert!(file.save(&directory(3), &bindings()).unwrap());
    assert!(!file.save(&directory(2), &Bindings::default()).unwrap());
    drop(file);
    let file = DirectoryFile::open(&path, &[7; 32]).unwrap();
    assert_eq!(file.load().unwrap(), Some((directory(3), bindings())));
}

#[test]
fn a_file_of_the_first_format_keeps_its_directory_and_has_no_bindings_yet() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("directory.sqlite");
    let file = DirectoryFile::open(&path, &[7; 32]).unwrap();
    file.save(&directory(3), &bindings()).unwrap();
    let back = "ALTER TABLE directory DROP COLUMN bindings; PRAGMA user_version = 1;";
    file.connection.lock().unwrap().execute_batch(back).unwrap();
    drop(file);
    let file = DirectoryFile::open(&path, &[7; 32]).unwrap();
    assert_eq!(file.load().unwrap(), Some((directory(3), Bindings::default())));
    assert!(file.save(&directory(4), &bindings()).unwrap());
    assert_eq!(file.load().unwrap(), Some((directory(4), bindings())));
}

#[test]
fn another_key_is_an_error_and_not_an_empty_directory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("directory.sqlite");
    DirectoryFile::open(&path, &[7; 32]).unwrap().save(&directory(3), &bindings()).unwrap();
    assert!(DirectoryFile::open(&path, &[8; 32]).is_err());
    let bytes = std::fs::read(&path).unwrap();
    assert!(!bytes.windows(14).any(|w| w == b"mx.example.org"));
}
