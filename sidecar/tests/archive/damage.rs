//! Whoever owns the bucket can destroy an archive; he cannot change what comes out of it.

use std::sync::Arc;

use bytes::Bytes;
use sidecar::assemble::{AssembleError, Source, Target, archives, assemble, roots};
use sidecar::bucket::{Memory, list_all};
use sidecar::format::{DataFile, Fault, Name, Signer};

use crate::volume::*;

async fn archive() -> (Volume, Arc<Memory>) {
    let memory = Arc::new(Memory::default());
    let mut volume = Volume::recent(memory.clone()).await;
    for n in 0..12_u32 {
        for file in DataFile::ALL {
            volume.db(file).transaction("INSERT INTO t(filler) VALUES (randomblob(2000))");
            volume.tell(file);
        }
        volume.ship().await;
        if n == 5 {
            assert!(volume.fold(DataFile::Mailbox).await && volume.fold(DataFile::Spool).await);
        }
    }
    (volume, memory)
}

/// Keys of everything that a restore of the latest state reads.
async fn needed(memory: &Memory) -> Vec<String> {
    let all = list_all(memory, &format!("{}/", root())).await.unwrap();
    let keys = all.into_iter().map(|entry| entry.key);
    let is_data = |key: &str| matches!(Name::of_key(&root(), key), Some(Name::Base { .. } | Name::Segment { .. }));
    keys.filter(|key| is_data(key)).collect()
}

fn named(error: &AssembleError) -> (&str, &Fault, Option<u64>) {
    match error {
        AssembleError::Damaged { damage, restorable } => {
            (&damage.object, &damage.fault, restorable.map(|reached| reached.commit))
        }
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_bit_is_refused_with_the_name_of_its_object() {
    let (volume, memory) = archive().await;
    for key in needed(&memory).await {
        let bytes = memory.tamper(&key, None).unwrap();
        for at in [0, 40, bytes.len() / 2, bytes.len() - 1] {
            let mut other = bytes.to_vec();
            other[at] ^= 4;
            memory.tamper(&key, Some(Bytes::from(other)));
            let error = volume.assemble(Target::Latest, 1).await.unwrap_err();
            assert_eq!(named(&error).0, key, "{error}");
            memory.tamper(&key, None);
        }
        memory.tamper(&key, Some(bytes.slice(..bytes.len() - 1)));
        let error = volume.assemble(Target::Latest, 1).await.unwrap_err();
        assert_eq!(named(&error).0, key, "{error}");
        memory.tamper(&key, Some(bytes));
    }
    volume.assemble(Target::Latest, 1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_missing_segment_nothing_counts_and_what_came_before_is_said() {
    let (volume, memory) = archive().await;
    let segments = needed(&memory).await.into_iter().filter_map(|key| match Name::of_key(&root(), &key)? {
        Name::Segment { file: DataFile::Mailbox, commit, .. } => Some((commit, key)),
        _ => None,
    });
    let mut segments: Vec<(u64, String)> = segments.collect();
    segments.sort();
    let last = segments.last().unwrap().0;
    for (commit, key) in &segments {
        let bytes = memory.tamper(key, None).unwrap();
        if *commit < last {
            volume.assemble(Target::Latest, 1).await.unwrap_err();
        } else {
            let (done, _dir) = volume.assemble(Target::Latest, 1).await.unwrap();
            assert_eq!(done.mailbox.unwrap().commit + 1, last, "nobody but the owner of the volume can know of it");
        }
        let before = segments.iter().map(|(commit, _)| *commit).rfind(|before| before < commit);
        if let Some(before) = before {
            let (done, _dir) = volume.assemble(Target::Commit(before), 1).await.unwrap();
            assert_eq!(done.mailbox.unwrap().commit, before);
        }
        memory.tamper(key, Some(bytes));
    }
    let (commit, key) = &segments[6];
    let mut other = memory.tamper(key, None).unwrap().to_vec();
    *other.last_mut().unwrap() ^= 1;
    memory.tamper(key, Some(other.into()));
    let error = volume.assemble(Target::Latest, 1).await.unwrap_err();
    assert_eq!(named(&error).2, Some(commit - 1));
    assert!(error.to_string().contains(&format!("up to commit {}", commit - 1)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swapped_or_foreign_object_is_refused() {
    let (volume, memory) = archive().await;
    let keys = needed(&memory).await;
    for pair in keys.windows(2) {
        let bytes = memory.tamper(&pair[0], None).unwrap();
        let other = memory.tamper(&pair[1], None).unwrap();
        memory.tamper(&pair[1], Some(other.clone()));
        memory.tamper(&pair[0], Some(other));
        let error = volume.assemble(Target::Latest, 1).await.unwrap_err();
        assert!(matches!(named(&error), (object, Fault::Place(_), _) if object == pair[0]), "{error}");
        memory.tamper(&pair[0], Some(bytes));
    }
    let stranger = Signer::from_seed(&[9; 32]).public();
    let source = Source::trusting(memory.as_ref(), &root(), vec![stranger]);
    let archive = archives(memory.as_ref(), &root()).await.unwrap().remove(0);
    let dir = tempfile::tempdir().unwrap();
    let refused = assemble(&source, &archive, Target::Latest, dir.path(), &mut |_| {}).await;
    assert!(matches!(named(&refused.unwrap_err()).1, Fault::Signer(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_or_changed_manifest_is_told_and_does_not_keep_the_mail_away() {
    let (volume, memory) = archive().await;
    let all = list_all(memory.as_ref(), &format!("{}/", root())).await.unwrap();
    let is_manifest = |key: &str| matches!(Name::of_key(&root(), key), Some(Name::Manifest { .. }));
    let manifests: Vec<String> = all.into_iter().map(|entry| entry.key).filter(|key| is_manifest(key)).collect();
    assert!(manifests.len() > 2);
    for key in &manifests[1..] {
        let newest = key == manifests.last().unwrap();
        let bytes = memory.tamper(key, None).unwrap();
        let (done, _dir) = volume.assemble(Target::Latest, 1).await.unwrap();
        assert_eq!(done.damages.len(), usize::from(!newest), "{:?}", done.damages);
        let mut other = bytes.to_vec();
        other[40] ^= 1;
        memory.tamper(key, Some(other.into()));
        let (done, _dir) = volume.assemble(Target::Latest, 1).await.unwrap();
        assert_eq!(done.mailbox.unwrap().commit, volume.mailbox.commit);
        assert_eq!(done.damages.iter().any(|damage| damage.object == *key), newest, "{:?}", done.damages);
        memory.tamper(key, Some(bytes));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn roots_and_archives_are_found_by_listing() {
    let (_volume, memory) = archive().await;
    assert_eq!(roots(memory.as_ref()).await.unwrap(), [root()]);
    let found = archives(memory.as_ref(), &root()).await.unwrap();
    assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), [format!("0123abcd/{}/t1", mailbox())]);
    let source = Source::open(memory.as_ref(), &root()).await.unwrap();
    assert_eq!((source.owners.len(), source.damages.len()), (1, 0));
}
