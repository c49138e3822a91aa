use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

const ROOT: &str = "mail.example.u1";

fn signer() -> Signer {
    Signer::from_seed(&[7; 32])
}

fn time() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

fn archive() -> ArchiveId {
    "u1/abcdefghijklmnopqrstuvwxyz/t1".parse().unwrap()
}

fn payload() -> Vec<u8> {
    (0..2 * (FRAME_HEADER + 512)).map(|byte| byte as u8).collect()
}

fn segment() -> SegmentHeader {
    let payload = payload();
    SegmentHeader {
        format: FORMAT,
        archive: archive(),
        database: Database::Mailbox,
        epoch: 1,
        salts: [1, 2],
        page_size: 512,
        first: 3,
        last: 4,
        checksum_before: [3, 4],
        checksum_after: [5, 6],
        commits: vec![Point { frame: 3, commit: 8, time: time() }, Point { frame: 4, commit: 9, time: time() }],
        previous: Sha256::of(b"before"),
        codec: Codec::None,
        payload: Payload { size: payload.len() as u64, sha256: Sha256::of(&payload) },
        signer: signer().public(),
    }
}

fn base() -> BaseHeader {
    let payload = [9; 1024];
    BaseHeader {
        format: FORMAT,
        archive: archive(),
        database: Database::Spool,
        epoch: 2,
        salts: [1, 2],
        page_size: 512,
        frame: 0,
        commit: 9,
        time: time(),
        pages: 2,
        previous: None,
        codec: Codec::None,
        payload: Payload { size: 1024, sha256: Sha256::of(&payload) },
        signer: signer().public(),
    }
}

/// Files of version 1 as they were first written: what no longer reads them loses archives.
/// `SEALPOST_WRITE_VECTORS=1` writes those that are missing.
fn golden(name: &str, bytes: &[u8]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors").join(name);
    if std::env::var_os("SEALPOST_WRITE_VECTORS").is_some() && !path.exists() {
        std::fs::write(&path, bytes).unwrap();
    }
    assert!(std::fs::read(&path).unwrap() == bytes, "{name} is written differently now");
}

#[test]
fn objects_of_version_1_are_read_and_still_written_so() {
    for (name, header, payload) in [
        ("segment-v1.seg", Header::Segment(segment()), payload()),
        ("base-v1.base", Header::Base(base()), vec![9; 1024]),
    ] {
        let (mut object, hash) = header.seal(&signer());
        let front = Header::open(&object).unwrap();
        assert_eq!((front.payload_at, front.hash), (object.len() as u64, hash));
        assert_eq!(front.header, header);
        object.extend(payload);
        golden(name, &object);
    }
}

#[test]
fn every_flipped_bit_of_the_front_is_seen() {
    let (front, _) = Header::Segment(segment()).seal(&signer());
    for byte in 0..front.len() {
        for bit in 0..8 {
            let mut bytes = front.clone();
            bytes[byte] ^= 1 << bit;
            assert!(Header::open(&bytes).is_err(), "bit {bit} of byte {byte}");
        }
    }
}

#[test]
fn a_short_beginning_says_how_much_is_needed() {
    let (front, _) = Header::Segment(segment()).seal(&signer());
    for length in 0..front.len() {
        match Header::open(&front[..length]) {
            Err(Fault::Truncated { have, want }) => {
                assert!(have == length as u64 && want > have && want <= front.len() as u64);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_moved_object_and_a_strangers_key_are_refused() {
    let (bytes, _) = Header::Segment(segment()).seal(&signer());
    let front = Header::open(&bytes).unwrap();
    let key = front.header.name().unwrap().key(ROOT);
    assert_eq!(front.admit(ROOT, &key, &[signer().public()]), Ok(()));
    let elsewhere = key.replace("t0001", "t0002");
    assert_eq!(front.admit(ROOT, &elsewhere, &[signer().public()]), Err(Fault::Place(key.clone())));
    let (root, moved) = ("mail.example.u2", key.replace("u1/", "u2/"));
    assert!(matches!(front.admit(root, &moved, &[signer().public()]), Err(Fault::Place(_))), "another server's");
    let other = Signer::from_seed(&[8; 32]);
    assert_eq!(front.admit(ROOT, &key, &[other.public()]), Err(Fault::Signer(signer().public())));
    let (bytes, _) = Header::Segment(segment()).seal(&other);
    assert_eq!(Header::open(&bytes), Err(Fault::Signature));
}

#[test]
fn contradictions_are_refused_even_when_signed() {
    let changes: [fn(&mut SegmentHeader); 9] = [
        |it| it.format = 2,
        |it| it.page_size = 1000,
        |it| it.first = 0,
        |it| it.last = 2,
        |it| it.commits.clear(),
        |it| it.commits[1].commit = 11,
        |it| it.commits[0].commit = u64::MAX,
        |it| it.payload.size += 1,
        |it| it.database = Database::Keys,
    ];
    for (n, change) in changes.iter().enumerate() {
        let mut header = segment();
        change(&mut header);
        let (bytes, _) = Header::Segment(header).seal(&signer());
        assert!(matches!(Header::open(&bytes), Err(Fault::Header(_) | Fault::Version(2))), "change {n}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(mut bytes: Vec<u8>, ours: bool) {
        if ours {
            bytes.splice(0..0, *MAGIC);
        }
        prop_assert!(Header::open(&bytes).is_err());
    }

    #[test]
    fn every_header_is_read_back(epoch: u64, first in 1u32..1 << 30, gaps in prop::collection::vec(0u32..5, 1..40), commit in 1u64..1 << 40) {
        let mut header = segment();
        (header.epoch, header.first, header.codec, header.last) = (epoch, first, Codec::Zstd, first - 1);
        header.commits = gaps.iter().zip(commit..).map(|(gap, commit)| {
            header.last += 1 + gap;
            Point { frame: header.last, commit, time: time() }
        }).collect();
        let header = Header::Segment(header);
        let (bytes, _) = header.seal(&signer());
        prop_assert_eq!(Header::open(&bytes).unwrap().header, header);
    }
}
