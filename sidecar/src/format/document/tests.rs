use control::Database;
use jiff::Timestamp;
use model::{ServerId, ShardId, Term};

use super::*;
use crate::format::{BaseRef, Gap, Head, Manifest, Owner, Reason};

fn signer() -> Signer {
    Signer::from_seed(&[7; 32])
}

fn time() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

fn owner() -> Owner {
    Owner {
        format: FORMAT,
        server: ServerId("u1".to_owned()),
        shard: ShardId(0),
        volume: "v1".to_owned(),
        term: Term(3),
        run: "00".repeat(16),
        signer: signer().public(),
        time: time(),
    }
}

fn manifest() -> Manifest {
    let header = Sha256::of(b"header");
    let database = Database::Mailbox;
    Manifest {
        format: FORMAT,
        archive: "u1/abcdefghijklmnopqrstuvwxyz/t1".parse().unwrap(),
        number: 2,
        previous: Some(Sha256::of(b"first")),
        term: Term(3),
        run: "00".repeat(16),
        time: time(),
        reason: Reason::Gap,
        predecessor: None,
        restored: None,
        keyset: None,
        bases: vec![BaseRef { database, epoch: 1, frame: 0, commit: 0, time: time(), header, size: 9000 }],
        heads: vec![Head { database, epoch: 1, frame: 7, commit: 2, header }],
        gaps: vec![Gap { database, after: 2, from: Some(time()), until: None, to: None, reason: "lost".to_owned() }],
        snapshots: Vec::new(),
    }
}

#[test]
fn documents_are_read_back() {
    let (bytes, hash) = write(&manifest(), &signer());
    let read = read::<Manifest>("m", &bytes).unwrap();
    assert_eq!(read, Read { document: manifest(), signer: signer().public(), hash });
}

#[test]
fn documents_of_version_1_are_read_and_still_written_so() {
    let path = |name: &str| std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors").join(name);
    let files =
        [("owner-v1.json", write(&owner(), &signer()).0), ("manifest-v1.json", write(&manifest(), &signer()).0)];
    for (name, bytes) in files {
        if std::env::var_os("SEALPOST_WRITE_VECTORS").is_some() && !path(name).exists() {
            std::fs::write(path(name), &bytes).unwrap();
        }
        assert!(std::fs::read(path(name)).unwrap() == bytes, "{name} is written differently now");
    }
}

#[test]
fn every_changed_byte_is_seen() {
    let (bytes, _) = write(&owner(), &signer());
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(read::<Owner>("o", &changed).is_err(), "byte {at}");
    }
    assert!(read::<Owner>("o", &bytes[..bytes.len() - 1]).is_err());
}

#[test]
fn a_signature_is_good_for_one_kind_of_document() {
    let (bytes, _) = write(&owner(), &signer());
    let damage = read::<Manifest>("m", &bytes).unwrap_err();
    assert_eq!(damage, Fault::Signature.of("m"));
    assert_eq!(damage.to_string(), "m: is not what was signed");
}
