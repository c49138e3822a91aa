use bytes::Bytes;
use control::Database;
use jiff::Timestamp;
use model::backup::ArchiveId;
use model::{ServerId, ShardId, Term};

use super::*;
use crate::assemble::Source;
use crate::bucket::{Bucket, Memory, Object};
use crate::format::envelope::FRAME_HEADER;
use crate::format::{
    BaseHeader, BaseRef, Codec, FORMAT, Gap, Head, Header, Manifest, Name, Owner, Payload, Point, Reason,
    SegmentHeader, Sha256, Signer, document,
};

const ROOT: &str = "mail.example.u1";
const PAGE: u32 = 512;

fn archive() -> ArchiveId {
    "u1/abcdefghijklmnopqrstuvwxyz/t1".parse().unwrap()
}

fn signer() -> Signer {
    Signer::from_seed(&[7; 32])
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_767_225_600 + seconds).unwrap()
}

/// An archive as a shard writes it: a base at commit 10, six segments of two commits in two lives of the WAL, a second base
/// in the middle of the second one, and a manifest after each base and life.
struct Archive {
    bucket: Memory,
    bases: Vec<(String, BaseRef)>,
    segments: Vec<String>,
    manifests: Vec<String>,
    last: Option<(u64, SegmentHeader, Sha256)>,
    previous: Option<Sha256>,
}

impl Archive {
    async fn new() -> Self {
        let bucket = Memory::default();
        let mut all = Self { bucket, bases: vec![], segments: vec![], manifests: vec![], last: None, previous: None };
        all.owner(1).await;
        all.put(&Name::Keys { mailbox: archive().mailbox, version: 1 }.key(ROOT), br#"{"version":1}"#).await;
        all.base(1, 0, 10, 0).await;
        all.manifest(Reason::Base).await;
        for epoch in [1, 2] {
            for n in 0..3 {
                all.segment(epoch, n * 2 + 1).await;
            }
            all.manifest(Reason::Epoch).await;
        }
        all.base(2, 4, 20, 10).await;
        all.manifest(Reason::Base).await;
        all
    }

    async fn put(&self, key: &str, bytes: &[u8]) {
        self.bucket.put_if_absent(key, &Object::of_bytes(bytes.to_vec(), "run")).await.unwrap();
    }

    async fn owner(&self, term: u64) {
        let owner = Owner {
            format: FORMAT,
            server: ServerId("u1".into()),
            shard: ShardId(0),
            volume: "v1".into(),
            term: Term(term),
            run: "run".into(),
            signer: signer().public(),
            time: at(0),
        };
        let name = Name::Owner { shard: ShardId(0), term: Term(term) };
        self.put(&name.key(ROOT), &document::write(&owner, &signer()).0).await;
    }

    async fn sealed(&self, header: Header, payload: &[u8]) -> (String, Sha256, u64) {
        let (mut object, hash) = header.seal(&signer());
        object.extend_from_slice(payload);
        let key = header.name().unwrap().key(ROOT);
        self.put(&key, &object).await;
        (key, hash, object.len() as u64)
    }

    async fn base(&mut self, epoch: u64, frame: u32, commit: u64, seconds: i64) {
        let payload = vec![commit as u8; 2 * PAGE as usize];
        let header = BaseHeader {
            format: FORMAT,
            archive: archive(),
            database: Database::Mailbox,
            epoch,
            salts: [epoch as u32, 2],
            page_size: PAGE,
            frame,
            commit,
            time: at(seconds),
            pages: 2,
            previous: self.last.as_ref().map(|(_, _, hash)| *hash),
            codec: Codec::None,
            payload: Payload { size: payload.len() as u64, sha256: Sha256::of(&payload) },
            signer: signer().public(),
        };
        let (key, hash, size) = self.sealed(Header::Base(header), &payload).await;
        let database = Database::Mailbox;
        self.bases.push((key, BaseRef { database, epoch, frame, commit, time: at(seconds), header: hash, size }));
    }

    async fn segment(&mut self, epoch: u64, first: u32) {
        let payload = vec![first as u8; 2 * (FRAME_HEADER as usize + PAGE as usize)];
        let (commit, previous, checksum) = match &self.last {
            Some((commit, before, hash)) => (*commit, *hash, before.checksum_after),
            None => (10, self.bases[0].1.header, [0, 0]),
        };
        let point =
            |n: u64| Point { frame: first + n as u32 - 1, commit: commit + n, time: at((commit + n - 10) as i64) };
        let header = SegmentHeader {
            format: FORMAT,
            archive: archive(),
            database: Database::Mailbox,
            epoch,
            salts: [epoch as u32, 2],
            page_size: PAGE,
            first,
            last: first + 1,
            checksum_before: checksum,
            checksum_after: [first, epoch as u32],
            commits: vec![point(1), point(2)],
            previous,
            codec: Codec::None,
            payload: Payload { size: payload.len() as u64, sha256: Sha256::of(&payload) },
            signer: signer().public(),
        };
        let (key, hash, _) = self.sealed(Header::Segment(header.clone()), &payload).await;
        self.segments.push(key);
        self.last = Some((commit + 2, header, hash));
    }

    async fn manifest(&mut self, reason: Reason) {
        let number = self.manifests.len() as u64 + 1;
        let heads = self.last.iter().map(|(commit, header, hash)| Head {
            database: Database::Mailbox,
            epoch: header.epoch,
            frame: header.last,
            commit: *commit,
            header: *hash,
        });
        let gap = Gap {
            database: Database::Spool,
            after: 3,
            from: None,
            until: None,
            to: None,
            reason: "the bucket was away".into(),
        };
        let manifest = Manifest {
            format: FORMAT,
            archive: archive(),
            number,
            previous: self.previous,
            term: Term(1),
            run: "run".into(),
            time: at(number as i64),
            reason,
            predecessor: None,
            restored: None,
            keyset: None,
            bases: self.bases.iter().map(|(_, base)| base.clone()).collect(),
            heads: heads.collect(),
            gaps: vec![gap],
            snapshots: Vec::new(),
        };
        let (bytes, hash) = document::write(&manifest, &signer());
        self.previous = Some(hash);
        let name = Name::Manifest { mailbox: archive().mailbox, timeline: 1, number };
        self.put(&name.key(ROOT), &bytes).await;
        self.manifests.push(name.key(ROOT));
    }

    async fn verified(&self, depth: Depth) -> Verified {
        let source = Source::open(&self.bucket, ROOT).await.unwrap();
        verify(&source, &archive(), depth).await.unwrap()
    }

    /// What is found damaged, and which commits can be restored.
    async fn damaged(&self, depth: Depth) -> (Vec<String>, Vec<(u64, u64)>) {
        let verified = self.verified(depth).await;
        let objects = verified.damages.into_iter().map(|damage| damage.object).collect();
        (objects, verified.restorable.iter().map(|one| (one.first_commit, one.last_commit)).collect())
    }

    fn flip(&self, key: &str, byte: usize) {
        let whole = self.bucket.tamper(key, None).unwrap();
        let mut bytes = whole.to_vec();
        bytes[byte] ^= 1;
        self.bucket.tamper(key, Some(Bytes::from(bytes)));
    }

    fn size(&self, key: &str) -> usize {
        let whole = self.bucket.tamper(key, None).unwrap();
        self.bucket.tamper(key, Some(whole.clone()));
        whole.len()
    }
}

#[tokio::test]
async fn a_whole_archive_is_listed_and_found_whole() {
    let all = Archive::new().await;
    let source = Source::open(&all.bucket, ROOT).await.unwrap();
    let one = listed(&source, archive()).await.unwrap();
    assert_eq!((one.id.clone(), one.commits, one.snapshots), (archive(), 22, 0));
    assert_eq!((one.first_time, one.last_time), (Some(at(0)), Some(at(12))));
    assert!(one.damages.is_empty() && one.gaps.len() == 1);
    let json = serde_json::to_value(&one).unwrap();
    assert_eq!(json["id"], "u1/abcdefghijklmnopqrstuvwxyz/t1");
    assert_eq!(json["firstTime"], "2026-01-01T00:00:00Z");
    assert_eq!(json["gaps"][0]["reason"], "the bucket was away");
    let (keys, damages) = source.keys(&archive()).await.unwrap();
    assert!(keys.unwrap() == (1, r#"{"version":1}"#.into()) && damages.is_empty());
    for depth in [Depth::Headers, Depth::Everything] {
        let verified = all.verified(depth).await;
        assert!(verified.damages.is_empty(), "{:?}", verified.damages);
        assert_eq!(verified.objects, 2 + 6 + 4);
        let [all] = &verified.restorable[..] else { panic!("{verified:?}") };
        assert_eq!((all.first_commit, all.first_time), (10, at(0)));
        assert_eq!((all.last_commit, all.last_time), (22, at(12)));
    }
}

#[tokio::test]
async fn a_flipped_bit_is_named_wherever_it_is_and_what_is_left_is_told() {
    let all = Archive::new().await;
    for key in all.segments.iter().chain(&all.manifests).chain(all.bases.iter().map(|(key, _)| key)) {
        for byte in [20, all.size(key) - 1] {
            all.flip(key, byte);
            let (objects, _) = all.damaged(Depth::Everything).await;
            assert!(objects.contains(key), "byte {byte} of {key}: {objects:?}");
            all.flip(key, byte);
        }
    }
    assert!(all.damaged(Depth::Everything).await.0.is_empty());
    // The first base cannot be used behind that segment, and the second base needs it too.
    let second = &all.segments[4];
    all.flip(second, all.size(second) - 1);
    assert_eq!(all.damaged(Depth::Everything).await.1, [(10, 18)]);
    assert!(!all.damaged(Depth::Headers).await.0.contains(second), "content is not looked at");
}

#[tokio::test]
async fn an_object_that_is_gone_cut_swapped_or_replayed_is_named() {
    let all = Archive::new().await;
    for key in [&all.segments[2], &all.segments[5], &all.manifests[1], &all.bases[0].0, &all.bases[1].0] {
        let whole = all.bucket.tamper(key, None).unwrap();
        let (objects, _) = all.damaged(Depth::Headers).await;
        assert!(!objects.is_empty(), "{key} is gone");
        all.bucket.tamper(key, Some(whole.slice(..whole.len() - 1)));
        assert!(all.damaged(Depth::Headers).await.0.contains(key), "{key} is cut");
        all.bucket.tamper(key, Some(whole));
    }
    let (one, other) = (&all.segments[0], &all.segments[1]);
    let (first, second) = (all.bucket.tamper(one, None).unwrap(), all.bucket.tamper(other, None).unwrap());
    all.bucket.tamper(one, Some(second));
    all.bucket.tamper(other, Some(first.clone()));
    let (objects, restorable) = all.damaged(Depth::Headers).await;
    assert!(objects.contains(one) && objects.contains(other), "{objects:?}");
    assert_eq!(restorable, [(10, 10), (20, 22)], "the second base stands on later ones");
    all.bucket.tamper(one, Some(first.clone()));
    all.bucket.tamper(other, Some(first));
    assert!(all.damaged(Depth::Headers).await.0.contains(other), "a replayed one is in the wrong place");
}

#[tokio::test]
async fn what_somebody_else_signed_and_keys_that_are_gone_are_named() {
    let all = Archive::new().await;
    let foreign = Signer::from_seed(&[8; 32]);
    let whole = all.bucket.tamper(&all.segments[0], None).unwrap();
    let Header::Segment(mut header) = Header::open(&whole).unwrap().header else { panic!() };
    header.signer = foreign.public();
    let (mut object, _) = Header::Segment(header).seal(&foreign);
    object.extend_from_slice(&whole[Header::open(&whole).unwrap().payload_at as usize..]);
    all.bucket.tamper(&all.segments[0], Some(object.into()));
    assert!(all.damaged(Depth::Headers).await.0.contains(&all.segments[0]));
    all.bucket.tamper(&all.segments[0], Some(whole));
    all.bucket.tamper(&Name::Keys { mailbox: archive().mailbox, version: 1 }.key(ROOT), None);
    assert_eq!(all.damaged(Depth::Headers).await.0, [format!("{ROOT}/{}/keys/", archive().mailbox)]);
    let replayed = Name::Keys { mailbox: archive().mailbox, version: 2 }.key(ROOT);
    all.put(&replayed, br#"{"version":1}"#).await;
    assert!(all.damaged(Depth::Headers).await.0.contains(&replayed), "it calls itself another version");
}

#[tokio::test]
async fn what_retention_removed_is_not_missed() {
    let mut all = Archive::new().await;
    for key in &all.segments[..3] {
        all.bucket.tamper(key, None);
    }
    let (first, _) = all.bases.remove(0);
    all.bucket.tamper(&first, None);
    all.bucket.tamper(&all.manifests[0], None);
    all.manifest(Reason::Retention).await;
    let verified = all.verified(Depth::Everything).await;
    assert!(verified.damages.is_empty(), "{:?}", verified.damages);
    assert_eq!((verified.restorable[0].first_commit, verified.restorable[0].last_commit), (20, 22));
}
