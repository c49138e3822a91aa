//! What every bucket must do. Each kind runs these tests on itself.

use model::Class;

use super::*;

/// Runs all of them, each on an empty bucket.
pub(crate) async fn run(mut make: impl FnMut() -> Box<dyn Bucket>) {
    an_object_comes_back_as_it_was(&*make()).await;
    a_range_is_cut_to_what_there_is(&*make()).await;
    a_key_is_written_once(&*make()).await;
    what_is_not_there_is_said_so(&*make()).await;
    a_file_follows_the_front(&*make()).await;
    listings_are_in_order_and_below_the_prefix(&*make()).await;
    long_listings_come_in_pages(&*make()).await;
    removing_is_repeatable(&*make()).await;
    keys_that_leave_the_bucket_are_refused(&*make()).await;
    assert_eq!(make().fencing().await.unwrap(), Fencing::Strong);
}

fn object(text: &str) -> Object {
    Object::of_bytes(text.to_owned(), "run-1")
}

async fn fill(bucket: &dyn Bucket, keys: &[&str]) {
    for key in keys {
        assert_eq!(bucket.put_if_absent(key, &object(key)).await.unwrap(), Put::Stored);
    }
}

async fn keys(bucket: &dyn Bucket, prefix: &str) -> Vec<String> {
    list_all(bucket, prefix).await.unwrap().into_iter().map(|entry| entry.key).collect()
}

async fn an_object_comes_back_as_it_was(bucket: &dyn Bucket) {
    let bytes: Vec<u8> = (0..100_000u32).map(|n| (n % 251) as u8).collect();
    let object = Object::of_bytes(bytes.clone(), "run-1");
    assert_eq!(bucket.put_if_absent("root/a/b.seg", &object).await.unwrap(), Put::Stored);
    assert!(bucket.get("root/a/b.seg", 0..u64::MAX).await.unwrap() == bytes);
    let entry = bucket.head("root/a/b.seg").await.unwrap().unwrap();
    assert_eq!((entry.key.as_str(), entry.size), ("root/a/b.seg", 100_000));
    let age = Timestamp::now().duration_since(entry.modified).abs();
    assert!(age < jiff::SignedDuration::from_mins(5), "{age:?}");
    assert_eq!(bucket.put_if_absent("root/empty", &self::object("")).await.unwrap(), Put::Stored);
    assert!(bucket.get("root/empty", 0..10).await.unwrap().is_empty());
}

async fn a_range_is_cut_to_what_there_is(bucket: &dyn Bucket) {
    bucket.put_if_absent("root/r", &object("0123456789")).await.unwrap();
    for (range, expected) in [(0..4, "0123"), (3..5, "34"), (8..20, "89"), (10..12, ""), (50..60, ""), (4..4, "")] {
        assert_eq!(bucket.get("root/r", range.clone()).await.unwrap(), expected, "{range:?}");
    }
}

async fn a_key_is_written_once(bucket: &dyn Bucket) {
    bucket.put_if_absent("root/o", &object("first")).await.unwrap();
    assert_eq!(bucket.put_if_absent("root/o", &object("first")).await.unwrap(), Put::Same);
    let other = Object::of_bytes("second", "run-2");
    match bucket.put_if_absent("root/o", &other).await {
        Err(error @ BucketError::Conflict { .. }) => {
            assert_eq!(error.class(), Class::Blocked);
            let BucketError::Conflict { key, theirs, run } = error else { unreachable!() };
            assert_eq!((key.as_str(), theirs), ("root/o", Sha256::of(b"first")));
            assert!(run.is_none_or(|run| run == "run-1"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(bucket.get("root/o", 0..10).await.unwrap(), "first");
}

async fn what_is_not_there_is_said_so(bucket: &dyn Bucket) {
    assert!(matches!(bucket.get("root/none", 0..1).await, Err(BucketError::NotFound { key }) if key == "root/none"));
    assert_eq!(bucket.head("root/none").await.unwrap(), None);
    assert!(keys(bucket, "root/").await.is_empty());
    fill(bucket, &["root/folder/x"]).await;
    assert!(matches!(bucket.get("root/folder", 0..1).await, Err(BucketError::NotFound { .. })));
    assert_eq!(bucket.head("root/folder").await.unwrap(), None);
    assert_eq!(bucket.head("root/folder/x/y").await.unwrap(), None);
}

async fn a_file_follows_the_front(bucket: &dyn Bucket) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, "0123456789").unwrap();
    let file = Some(FilePart { path, offset: 3, length: 4 });
    let sha256 = Sha256::of(b"front 3456");
    let object = Object { front: "front ".into(), file, sha256, run: "run-1".to_owned() };
    assert_eq!(object.size(), 10);
    assert_eq!(bucket.put_if_absent("root/f", &object).await.unwrap(), Put::Stored);
    assert_eq!(bucket.get("root/f", 0..100).await.unwrap(), "front 3456");
    let wrong = Object { sha256: Sha256::of(b"else"), ..object };
    assert!(matches!(bucket.put_if_absent("root/g", &wrong).await, Err(BucketError::Changed { .. })));
    assert_eq!(bucket.head("root/g").await.unwrap(), None);
}

async fn listings_are_in_order_and_below_the_prefix(bucket: &dyn Bucket) {
    // A slash sorts behind `-` and `.`, and before letters and digits.
    let sorted = ["a/x-1", "a/x.1", "a/x/1", "a/x/2/3", "a/x0", "ab/1", "b"];
    let mut shuffled = sorted;
    shuffled.reverse();
    fill(bucket, &shuffled).await;
    assert_eq!(keys(bucket, "").await, sorted);
    assert_eq!(keys(bucket, "a/").await, sorted[..5]);
    assert_eq!(keys(bucket, "a/x").await, sorted[..5]);
    assert_eq!(keys(bucket, "a/x/").await, sorted[2..4]);
    assert_eq!(keys(bucket, "a").await, sorted[..6]);
    assert!(keys(bucket, "c").await.is_empty());
    for (n, after) in sorted.iter().enumerate() {
        let page = bucket.list("", Some(after)).await.unwrap();
        let behind: Vec<_> = page.entries.into_iter().map(|entry| entry.key).collect();
        assert_eq!(behind, sorted[n + 1..], "behind {after}");
    }
    let page = bucket.list("a/x/", Some("a/x/1zz")).await.unwrap();
    assert_eq!((page.entries.len(), page.more), (1, false), "`after` need not be there");
    let page = bucket.list("a/x/", Some("a/a")).await.unwrap();
    assert_eq!(page.entries.len(), 2, "`after` may come before the prefix");
}

async fn long_listings_come_in_pages(bucket: &dyn Bucket) {
    let names: Vec<String> = (0..PAGE + 5).map(|n| format!("root/{}/{n:05}", n / 100)).collect();
    for key in &names {
        bucket.put_if_absent(key, &object("x")).await.unwrap();
    }
    let first = bucket.list("root/", None).await.unwrap();
    assert!(first.more && !first.entries.is_empty() && first.entries.len() <= PAGE);
    let mut sorted = names.clone();
    sorted.sort();
    assert_eq!(keys(bucket, "root/").await, sorted);
    bucket.delete(&names).await.unwrap();
    assert!(keys(bucket, "root/").await.is_empty());
}

async fn removing_is_repeatable(bucket: &dyn Bucket) {
    fill(bucket, &["root/1", "root/2", "root/3"]).await;
    let gone = ["root/1".to_owned(), "root/none".to_owned(), "root/3".to_owned()];
    bucket.delete(&gone).await.unwrap();
    bucket.delete(&gone).await.unwrap();
    bucket.delete(&[]).await.unwrap();
    assert_eq!(keys(bucket, "root/").await, ["root/2"]);
    assert_eq!(bucket.put_if_absent("root/1", &object("again")).await.unwrap(), Put::Stored);
    assert_eq!(bucket.forget("root/none/").await.unwrap(), Kept::default());
    assert_eq!(keys(bucket, "root/").await, ["root/1", "root/2"]);
}

async fn keys_that_leave_the_bucket_are_refused(bucket: &dyn Bucket) {
    let long = "x".repeat(201);
    let deep = "x/".repeat(350) + "x";
    for key in
        ["", "/", "a//b", "../a", "a/..", "a/../b", "/etc/x", "a/", ".writing/x", "a b", "a\0b", "ä", &long, &deep]
    {
        assert!(matches!(bucket.put_if_absent(key, &object("x")).await, Err(BucketError::Key { .. })), "{key}");
        assert!(matches!(bucket.get(key, 0..1).await, Err(BucketError::Key { .. })), "{key}");
        assert!(matches!(bucket.head(key).await, Err(BucketError::Key { .. })), "{key}");
        assert!(matches!(bucket.delete(&[key.to_owned()]).await, Err(BucketError::Key { .. })), "{key}");
    }
    let most = "x/".repeat(349) + "x";
    check_key(&most).unwrap();
}
