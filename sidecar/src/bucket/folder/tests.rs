use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use super::*;
use crate::bucket::{FilePart, conformance, list_all};

#[tokio::test]
async fn a_folder_is_a_bucket() {
    let outer = tempfile::tempdir().unwrap();
    let mut n = 0;
    conformance::run(|| {
        n += 1;
        Box::new(Folder::new(outer.path().join(format!("{n}/new"))))
    })
    .await;
}

#[tokio::test]
async fn of_many_writers_of_one_key_one_wins() {
    let outer = tempfile::tempdir().unwrap();
    let folder = Arc::new(Folder::new(outer.path()));
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..16 {
        let folder = folder.clone();
        writers.spawn(async move {
            let object = Object::of_bytes(format!("writer {n}"), "r");
            folder.put_if_absent("root/one", &object).await.map(|put| (n, put))
        });
    }
    let mut winners = Vec::new();
    for done in writers.join_all().await {
        match done {
            Ok((n, Put::Stored)) => winners.push(n),
            Err(BucketError::Conflict { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(winners.len(), 1);
    let content = folder.get("root/one", 0..100).await.unwrap();
    assert_eq!(content, format!("writer {}", winners[0]));
    assert_eq!(fs::read_dir(outer.path().join(WRITING)).unwrap().count(), 0, "nothing is left behind");
}

#[tokio::test]
async fn what_a_crash_left_is_not_listed_and_is_swept() {
    let outer = tempfile::tempdir().unwrap();
    let folder = Folder::new(outer.path());
    folder.put_if_absent("root/one", &Object::of_bytes("x", "r")).await.unwrap();
    fs::write(outer.path().join(WRITING).join(unique()), "half").unwrap();
    assert_eq!(list_all(&folder, "").await.unwrap().len(), 1);
    assert_eq!(folder.sweep(Timestamp::UNIX_EPOCH).await.unwrap(), 0, "it may still be written");
    let soon = Timestamp::now() + jiff::SignedDuration::from_mins(1);
    assert_eq!(folder.sweep(soon).await.unwrap(), 1);
    assert_eq!(list_all(&folder, "").await.unwrap().len(), 1);
}

#[tokio::test]
async fn folders_go_with_their_last_object_also_where_a_crash_came_between() {
    let outer = tempfile::tempdir().unwrap();
    let folder = Folder::new(outer.path());
    let object = Object::of_bytes("x", "r");
    for key in ["root/m/keys/1", "root/m/t1/wal/1", "root/m/t1/wal/2", "root/n/keys/1"] {
        folder.put_if_absent(key, &object).await.unwrap();
    }
    folder.delete(&["root/m/t1/wal/1".to_owned()]).await.unwrap();
    assert!(outer.path().join("root/m/t1/wal/2").exists());
    folder.delete(&["root/m/t1/wal/2".to_owned()]).await.unwrap();
    assert!(!outer.path().join("root/m/t1").exists() && outer.path().join("root/m/keys/1").exists());
    folder.put_if_absent("root/m/t1/wal/3", &object).await.unwrap();
    for key in ["root/m/keys/1", "root/m/t1/wal/3"] {
        fs::remove_file(outer.path().join(key)).unwrap();
    }
    assert_eq!(folder.forget("root/n/").await.unwrap(), Kept::default());
    assert_eq!(folder.forget("root/m/").await.unwrap(), Kept::default());
    assert!(!outer.path().join("root/m").exists() && outer.path().join("root/n/keys/1").exists());
}

#[tokio::test]
async fn writers_and_removers_of_one_folder_do_not_hinder_each_other() {
    let outer = tempfile::tempdir().unwrap();
    let folder = Arc::new(Folder::new(outer.path()));
    let mut workers = tokio::task::JoinSet::new();
    for n in 0..4 {
        let folder = folder.clone();
        workers.spawn(async move {
            for round in 0..50 {
                let key = format!("root/m/t1/wal/{n}-{round}");
                assert_eq!(folder.put_if_absent(&key, &Object::of_bytes("x", "r")).await.unwrap(), Put::Stored);
                assert_eq!(folder.get(&key, 0..9).await.unwrap(), "x");
                folder.delete(&[key]).await.unwrap();
            }
        });
    }
    workers.join_all().await;
    assert!(!outer.path().join("root").exists());
}

#[tokio::test]
async fn a_file_that_changed_is_not_stored() {
    let outer = tempfile::tempdir().unwrap();
    let folder = Folder::new(outer.path().join("bucket"));
    let path = outer.path().join("source");
    fs::write(&path, "0123456789").unwrap();
    let mut object = Object::of_bytes("front ", "r");
    object.file = Some(FilePart { path: path.clone(), offset: 2, length: 5 });
    object.sha256 = Sha256::of(b"front 23456");
    fs::write(&path, "01").unwrap();
    let refused = folder.put_if_absent("root/one", &object).await;
    assert!(matches!(refused, Err(BucketError::Changed { .. })), "{refused:?}");
    assert_eq!(folder.head("root/one").await.unwrap(), None);
    fs::write(&path, "0123456789").unwrap();
    assert_eq!(folder.put_if_absent("root/one", &object).await.unwrap(), Put::Stored);
}

#[tokio::test]
async fn objects_are_for_their_owner_only() {
    let outer = tempfile::tempdir().unwrap();
    let folder = Folder::new(outer.path().join("bucket"));
    folder.put_if_absent("shard/one", &Object::of_bytes("x", "r")).await.unwrap();
    let mode = |path: &str| fs::metadata(outer.path().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("bucket/shard/one"), mode("bucket/shard"), mode("bucket")), (0o600, 0o700, 0o700));
}
