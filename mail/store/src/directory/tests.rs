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

#[test]
fn it_is_there_after_reopening_and_never_goes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("directory.sqlite");
    let file = DirectoryFile::open(&path, &[7; 32]).unwrap();
    assert_eq!(file.load().unwrap(), None);
    assert!(file.save(&directory(3)).unwrap());
    assert!(!file.save(&directory(2)).unwrap());
    drop(file);
    let file = DirectoryFile::open(&path, &[7; 32]).unwrap();
    assert_eq!(file.load().unwrap(), Some(directory(3)));
}

#[test]
fn another_key_is_an_error_and_not_an_empty_directory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("directory.sqlite");
    DirectoryFile::open(&path, &[7; 32]).unwrap().save(&directory(3)).unwrap();
    assert!(DirectoryFile::open(&path, &[8; 32]).is_err());
    let bytes = std::fs::read(&path).unwrap();
    assert!(!bytes.windows(14).any(|w| w == b"mx.example.org"));
}
