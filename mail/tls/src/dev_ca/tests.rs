use std::fs;
use std::os::unix::fs::PermissionsExt;

use model::{ServerId, ShardId};
use tempfile::tempdir;

use super::DevCa;
use crate::{Identity, Peer, PublicCertificate, Role};

fn peer() -> Peer {
    Peer::new(ServerId("s1".to_owned()), Role::Primary(ShardId(2)))
}

#[test]
fn a_second_start_keeps_cas_and_leaves() {
    let dir = tempdir().unwrap();
    let first = DevCa::load_or_create(dir.path()).unwrap();
    let (identity, public) = (first.identity(&peer()).unwrap(), first.public("mx.example.test").unwrap());
    let before = (fs::read(&identity.certificate).unwrap(), fs::read(&public.certificate).unwrap());

    let second = DevCa::load_or_create(dir.path()).unwrap();
    assert_eq!(second.identity(&peer()).unwrap(), identity);
    second.public("mx.example.test").unwrap();
    assert_eq!(before, (fs::read(&identity.certificate).unwrap(), fs::read(&public.certificate).unwrap()));
    assert_eq!(Identity::load(&identity).unwrap().peer(), peer());
    PublicCertificate::load(&public).unwrap().server_config().unwrap();
}

#[test]
fn a_leaf_of_another_ca_or_without_its_key_is_issued_again() {
    let dir = tempdir().unwrap();
    let ca = DevCa::load_or_create(dir.path()).unwrap();
    let files = ca.identity(&peer()).unwrap();
    let first = fs::read(&files.certificate).unwrap();

    fs::remove_file(ca.internal_ca()).unwrap();
    let ca = DevCa::load_or_create(dir.path()).unwrap();
    ca.identity(&peer()).unwrap();
    let second = fs::read(&files.certificate).unwrap();
    assert_ne!(first, second);

    fs::remove_file(&files.key).unwrap();
    ca.identity(&peer()).unwrap();
    assert_ne!(second, fs::read(&files.certificate).unwrap());
    Identity::load(&files).unwrap();
}

#[test]
fn every_file_is_for_this_user_alone() {
    let dir = tempdir().unwrap();
    let ca = DevCa::load_or_create(&dir.path().join("tls")).unwrap();
    ca.identity(&peer()).unwrap();
    ca.public("localhost").unwrap();
    for entry in fs::read_dir(dir.path().join("tls")).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.file_name());
    }
}

#[test]
fn the_two_cas_are_kept_apart() {
    let dir = tempdir().unwrap();
    let ca = DevCa::load_or_create(dir.path()).unwrap();
    assert_ne!(fs::read(ca.public_ca()).unwrap(), fs::read(ca.internal_ca()).unwrap());
    let mut files = ca.identity(&peer()).unwrap();
    let public = ca.public("localhost").unwrap();
    files.certificate = public.certificate;
    files.key = public.key;
    assert!(Identity::load(&files).is_err(), "a public certificate names no role");
}
