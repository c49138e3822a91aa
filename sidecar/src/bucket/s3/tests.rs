use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;

use aws_sdk_s3::types::{
    BucketVersioningStatus, DefaultRetention, ObjectLockConfiguration, ObjectLockEnabled, ObjectLockRetentionMode,
    ObjectLockRule, VersioningConfiguration,
};
use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns};
use model::Class;

use super::server::{BUCKET, Server, Trouble};
use super::*;
use crate::bucket::{FilePart, Refusal, conformance, list_all};

/// Every name is one address.
#[derive(Debug, Clone)]
pub struct Fixed(pub IpAddr);

impl ResolveDns for Fixed {
    fn resolve_dns<'a>(&'a self, _name: &'a str) -> DnsFuture<'a> {
        DnsFuture::ready(Ok(vec![self.0]))
    }
}

/// A server's bucket, below a prefix.
fn below(server: &Server, prefix: &str) -> S3 {
    with(server, |s3| prefix.clone_into(&mut s3.prefix))
}

/// A server's bucket, with other settings.
fn with(server: &Server, change: impl FnOnce(&mut model::backup::S3)) -> S3 {
    let mut bucket = model::backup::S3 {
        endpoint: Some(server.endpoint()),
        bucket: BUCKET.to_owned(),
        region: "auto".to_owned(),
        prefix: String::new(),
        path_style: true,
        ambient: false,
    };
    change(&mut bucket);
    let mut s3 = S3::new(Settings { bucket, credentials: Some(server.credentials()), named: String::new(), ca: None });
    s3.resolve = Some(Ipv4Addr::LOCALHOST.into());
    s3
}

/// A large object: a front, and a file that is kept with it.
fn large(parts: u64) -> (tempfile::TempDir, Object) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("base");
    let bytes: Vec<u8> = (0..parts * PART).map(|n| (n % 253) as u8).collect();
    std::fs::write(&path, &bytes).unwrap();
    let front = Bytes::from_static(b"a front that shifts every part");
    let sha256 = Sha256::of_parts(&[&front, &bytes]);
    let file = Some(FilePart { path, offset: 0, length: bytes.len() as u64 });
    (folder, Object { front, file, sha256, run: "run-1".to_owned() })
}

async fn stored(bucket: &S3, key: &str) -> Sha256 {
    Sha256::of(&bucket.get(key, 0..u64::MAX).await.unwrap())
}

fn prefixes(server: &Server) -> impl FnMut() -> Box<dyn Bucket> {
    let mut number = 0;
    move || {
        number += 1;
        Box::new(below(server, &format!("some/prefix-{number}")))
    }
}

#[tokio::test]
async fn an_s3_bucket_does_what_every_bucket_must() {
    let server = Server::start().await;
    conformance::run(prefixes(&server)).await;
}

/// `SEALPOST_MINIO` names the executable; docs/testing.md says how to get one.
#[tokio::test]
#[ignore = "needs MinIO"]
async fn minio_does_what_every_bucket_must() {
    let executable = PathBuf::from(std::env::var_os("SEALPOST_MINIO").expect("SEALPOST_MINIO names the executable"));
    let server = Server::minio(&executable);
    let until = std::time::Instant::now() + std::time::Duration::from_mins(1);
    while below(&server, "waiting").list("", None).await.is_err() {
        assert!(std::time::Instant::now() < until, "MinIO does not answer");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    conformance::run(prefixes(&server)).await;
    one_of_sixteen(&below(&server, "race")).await;
    virtual_host(&server).await;
    let (_folder, object) = large(3);
    let bucket = below(&server, "large");
    assert_eq!(bucket.put_if_absent("a/base", &object).await.unwrap(), Put::Stored);
    assert_eq!(bucket.put_if_absent("a/base", &object).await.unwrap(), Put::Same);
    assert_eq!(stored(&bucket, "a/base").await, object.sha256);
    locked(&server).await;
    versioned(&server).await;
    server.set_secret(false);
    assert!(matches!(bucket.head("a/base").await, Err(BucketError::Refused { refusal: Refusal::Denied, .. })));
}

/// A bucket that keeps every version of every object for a day takes what others take.
async fn locked(server: &Server) {
    let bucket = with(server, |s3| "locked".clone_into(&mut s3.bucket));
    let client = bucket.client().await.unwrap();
    client.create_bucket().bucket("locked").object_lock_enabled_for_bucket(true).send().await.unwrap();
    let retention = DefaultRetention::builder().mode(ObjectLockRetentionMode::Compliance).days(1).build();
    let rule = ObjectLockRule::builder().default_retention(retention).build();
    let lock = ObjectLockConfiguration::builder().object_lock_enabled(ObjectLockEnabled::Enabled).rule(rule).build();
    client.put_object_lock_configuration().bucket("locked").object_lock_configuration(lock).send().await.unwrap();
    let (_folder, large) = large(1);
    for (key, object) in [("a/small", &Object::of_bytes("x", "run-1")), ("a/large", &large)] {
        assert_eq!(bucket.put_if_absent(key, object).await.unwrap(), Put::Stored);
        assert_eq!(bucket.put_if_absent(key, object).await.unwrap(), Put::Same);
        bucket.delete(&[key.to_owned()]).await.unwrap();
        assert_eq!(bucket.head(key).await.unwrap(), None, "hidden, not gone");
    }
    let versions = client.list_object_versions().bucket("locked").prefix("a/").send().await.unwrap();
    assert_eq!(versions.versions().len(), 2, "{versions:?}");
    let kept = bucket.forget("a/").await.unwrap();
    let left: Vec<&str> = kept.left.iter().map(|entry| entry.key.as_str()).collect();
    assert_eq!((left, kept.removed), (vec!["a/large", "a/small"], 0), "nothing hides that it is still there: {kept:?}");
    assert!(kept.why.is_some_and(|why| why.contains("delete a version of")));
    assert_eq!(list_all(&bucket, "a/").await.unwrap(), [], "what is locked does not come back into listings");
}

/// A bucket that keeps every version of every object as long as nobody removes it.
async fn versioned(server: &Server) {
    let bucket = with(server, |s3| "versioned".clone_into(&mut s3.bucket));
    let client = bucket.client().await.unwrap();
    client.create_bucket().bucket("versioned").send().await.unwrap();
    let on = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    client.put_bucket_versioning().bucket("versioned").versioning_configuration(on).send().await.unwrap();
    for key in ["a/one", "a/two", "b/one"] {
        for content in ["x", "y"] {
            bucket.put_if_absent(key, &Object::of_bytes(content, "run-1")).await.unwrap();
            bucket.delete(&[key.to_owned()]).await.unwrap();
        }
    }
    let count = async |prefix: &str| {
        let found = client.list_object_versions().bucket("versioned").prefix(prefix).send().await.unwrap();
        (found.versions().len(), found.delete_markers().len())
    };
    assert_eq!((count("a/").await, count("b/").await), ((4, 4), (2, 2)));
    assert_eq!(bucket.forget("a/").await.unwrap(), Kept { removed: 8, ..Kept::default() });
    assert_eq!((count("a/").await, count("b/").await), ((0, 0), (2, 2)), "those of another prefix stay");
}

#[tokio::test]
async fn an_object_that_a_server_keeps_is_told_as_refused_and_is_still_there() {
    let server = Server::start().await;
    let bucket = below(&server, "p");
    bucket.put_if_absent("a/one", &Object::of_bytes("x", "run-1")).await.unwrap();
    server.way.set(Trouble::Keeps(403, "AccessDenied"));
    let refused = bucket.delete(&["a/one".to_owned()]).await.unwrap_err();
    assert!(matches!(&refused, BucketError::Refused { refusal: Refusal::Denied, .. }), "{refused}");
    assert_eq!(list_all(&bucket, "a/").await.unwrap().len(), 1);
    server.way.set(Trouble::None);
    bucket.delete(&["a/one".to_owned()]).await.unwrap();
    assert_eq!(list_all(&bucket, "a/").await.unwrap(), []);
}

async fn one_of_sixteen(bucket: &S3) {
    let objects: Vec<_> = (0..16).map(|n| Object::of_bytes(format!("writer {n}"), &format!("run-{n}"))).collect();
    let mut left: Vec<_> = objects.iter().collect();
    let mut won = 0;
    // A server may tell some of them that it cannot decide now.
    while !left.is_empty() {
        let writes = left.iter().map(|object| bucket.put_if_absent("a/key", object));
        let ends = futures_util::future::join_all(writes).await;
        let mut again = Vec::new();
        for (object, end) in left.iter().zip(ends) {
            match end {
                Ok(_) => won += 1,
                Err(BucketError::Conflict { .. }) => {}
                Err(error) if error.class() == Class::Transient => again.push(*object),
                Err(error) => panic!("{error}"),
            }
        }
        left = again;
    }
    assert_eq!(won, 1);
}

async fn virtual_host(server: &Server) {
    let bucket = with(server, |s3| s3.path_style = false);
    let object = Object::of_bytes("by name", "run-1");
    assert_eq!(bucket.put_if_absent("by/name", &object).await.unwrap(), Put::Stored);
    assert_eq!(below(server, "").get("by/name", 3..10).await.unwrap(), "name");
    assert_eq!(list_all(&bucket, "by/").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_bucket_can_be_part_of_the_host_name() {
    virtual_host(&Server::start().await).await;
}

#[tokio::test]
async fn of_sixteen_writers_of_a_key_one_wins() {
    one_of_sixteen(&below(&Server::start().await, "race")).await;
}

#[tokio::test]
async fn a_large_object_goes_on_where_it_broke_off() {
    let server = Server::start().await;
    let (_folder, object) = large(3);
    let bucket = below(&server, "p");
    server.quirks.parts_before.store(2, Relaxed);
    server.quirks.parts_failing.store(1, Relaxed);
    let broken = bucket.put_if_absent("a/base", &object).await.unwrap_err();
    assert_eq!(broken.class(), Class::Transient, "{broken}");
    assert_eq!(bucket.head("a/base").await.unwrap(), None);
    assert_eq!(bucket.put_if_absent("a/base", &object).await.unwrap(), Put::Stored);
    assert_eq!(server.quirks.parts_seen.load(Relaxed), 5, "four parts, one of them twice");
    assert_eq!(stored(&bucket, "a/base").await, object.sha256);
    assert_eq!(bucket.put_if_absent("a/base", &object).await.unwrap(), Put::Same);
    assert_eq!(server.quirks.parts_seen.load(Relaxed), 5, "what is there is not sent");
    let (_other, mut other) = large(2);
    other.run = "run-2".to_owned();
    let conflict = bucket.put_if_absent("a/base", &other).await;
    assert!(matches!(&conflict, Err(BucketError::Conflict { run: Some(run), .. }) if run == "run-1"), "{conflict:?}");
    assert!(server.quirks.uploads.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_large_object_that_changes_or_is_forgotten_begins_anew() {
    let server = Server::start().await;
    let (folder, object) = large(2);
    let bucket = below(&server, "p");
    server.quirks.parts_before.store(1, Relaxed);
    server.quirks.parts_failing.store(1, Relaxed);
    bucket.put_if_absent("a/base", &object).await.unwrap_err();
    // The file is another one for a moment: nothing of it may end up in the object.
    let path = folder.path().join("base");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, vec![0; whole.len()]).unwrap();
    assert!(matches!(bucket.put_if_absent("a/base", &object).await, Err(BucketError::Changed { .. })));
    assert!(server.quirks.uploads.lock().unwrap().is_empty(), "what is wrong is aborted");
    std::fs::write(&path, &whole).unwrap();
    server.quirks.parts_before.store(1, Relaxed);
    server.quirks.parts_failing.store(1, Relaxed);
    bucket.put_if_absent("a/base", &object).await.unwrap_err();
    server.quirks.uploads.lock().unwrap().clear();
    assert_eq!(bucket.put_if_absent("a/base", &object).await.unwrap_err().class(), Class::Transient);
    assert_eq!(bucket.put_if_absent("a/base", &object).await.unwrap(), Put::Stored);
    assert_eq!(stored(&bucket, "a/base").await, object.sha256);
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_found_again() {
    let server = Server::start().await;
    let bucket = below(&server, "p");
    let small = Object::of_bytes("small", "run-1");
    assert_eq!(bucket.fencing().await.unwrap(), Fencing::Strong);
    server.quirks.put_lies.store(true, Relaxed);
    assert_eq!(bucket.put_if_absent("a/small", &small).await.unwrap_err().class(), Class::Transient);
    assert_eq!(bucket.put_if_absent("a/small", &small).await.unwrap(), Put::Same);
    let (_folder, object) = large(1);
    server.quirks.complete_lies.store(true, Relaxed);
    assert_eq!(bucket.put_if_absent("a/base", &object).await.unwrap_err().class(), Class::Transient);
    assert_eq!(bucket.put_if_absent("a/base", &object).await.unwrap(), Put::Same);
    assert_eq!(server.quirks.parts_seen.load(Relaxed), 2, "nothing is sent twice");
}

#[tokio::test]
async fn uploads_that_nobody_will_end_are_swept_and_others_are_not() {
    let server = Server::start().await;
    let (_folder, object) = large(1);
    let (gone, here) = (below(&server, "p"), below(&server, "p"));
    for (bucket, keys) in [(&gone, ["a/1", "a/2", "a/3"].as_slice()), (&here, &["a/4"])] {
        for key in keys {
            server.quirks.parts_failing.store(1, Relaxed);
            bucket.put_if_absent(key, &object).await.unwrap_err();
        }
    }
    assert_eq!(here.sweep(Timestamp::now() - jiff::SignedDuration::from_hours(1)).await.unwrap(), 0, "they are young");
    let later = Timestamp::now() + jiff::SignedDuration::from_secs(2);
    assert_eq!(below(&server, "q").sweep(later).await.unwrap(), 0, "they are below another prefix");
    assert_eq!(here.sweep(later).await.unwrap(), 3);
    assert_eq!(here.put_if_absent("a/4", &object).await.unwrap(), Put::Stored);
    assert!(server.quirks.uploads.lock().unwrap().is_empty());
}

#[tokio::test]
async fn credentials_that_are_renewed_in_their_files_are_used_at_once() {
    let server = Server::start().await;
    let bucket = below(&server, "p");
    fill(&bucket).await.unwrap();
    server.set_secret(false);
    let error = fill(&bucket).await.unwrap_err();
    assert!(matches!(error, BucketError::Refused { refusal: Refusal::Denied, .. }), "{error:?}");
    assert!(error.hint().is_some() && error.class() == Class::Blocked);
    assert!(!format!("{error} {bucket:?}").contains("something else"), "a secret is shown");
    server.set_secret(true);
    fill(&bucket).await.unwrap();
    std::fs::remove_file(server.credentials().join("accessKeyId")).unwrap();
    let error = fill(&bucket).await.unwrap_err();
    assert!(error.to_string().contains("accessKeyId"), "{error}");
}

#[tokio::test]
async fn what_opens_several_buckets_lies_in_one_folder_by_the_names_of_their_policies() {
    let server = Server::start().await;
    let folder = tempfile::tempdir().unwrap();
    for name in ["accessKeyId", "secretAccessKey", "ca.crt"] {
        let (from, to) =
            (server.credentials().join(name), |policy: &str| folder.path().join(format!("{policy}.{name}")));
        std::fs::copy(&from, to("daily")).unwrap();
        std::fs::write(to("gold"), if name == "ca.crt" { std::fs::read(&from).unwrap() } else { b"wrong".to_vec() })
            .unwrap();
    }
    let of = |policy: &str| {
        let mut s3 = below(&server, "p");
        s3.settings.credentials = Some(folder.path().to_owned());
        s3.settings.named = format!("{policy}.");
        s3
    };
    fill(&of("daily")).await.unwrap();
    let error = fill(&of("gold")).await.unwrap_err();
    assert!(matches!(error, BucketError::Refused { refusal: Refusal::Denied, .. }), "{error:?}");
    let error = fill(&of("silver")).await.unwrap_err();
    assert!(error.to_string().contains("silver.accessKeyId"), "{error}");
}

async fn fill(bucket: &S3) -> Result<Put, BucketError> {
    bucket.put_if_absent("a/key", &Object::of_bytes("x", "run-1")).await
}

#[tokio::test]
async fn a_server_of_another_authority_and_a_bucket_that_is_not_there_are_named() {
    let server = Server::start().await;
    let ca = server.credentials().join("ca.crt");
    let good = std::fs::read(&ca).unwrap();
    let other = Server::start().await;
    std::fs::copy(other.credentials().join("ca.crt"), &ca).unwrap();
    let bucket = below(&server, "p");
    let error = fill(&bucket).await.unwrap_err();
    assert!(error.class() == Class::Transient && error.to_string().contains("certificate"), "{error}");
    std::fs::write(&ca, "no certificate").unwrap();
    let error = fill(&bucket).await.unwrap_err();
    assert!(matches!(error, BucketError::Refused { refusal: Refusal::Other, .. }), "{error}");
    std::fs::write(&ca, good).unwrap();
    fill(&bucket).await.unwrap();
    let absent = with(&server, |s3| "other".clone_into(&mut s3.bucket));
    for error in [fill(&absent).await.unwrap_err(), absent.list("", None).await.unwrap_err()] {
        assert!(matches!(error, BucketError::Refused { refusal: Refusal::NoBucket, .. }), "{error}");
    }
    assert!(bucket.describe().starts_with(&format!("s3://{BUCKET}/p at https://")));
}

#[tokio::test]
async fn without_conditional_writes_a_key_is_looked_at_first_and_that_is_said() {
    for refused in [true, false] {
        let server = Server::start().await;
        let quirk = if refused { &server.quirks.no_conditions } else { &server.quirks.ignores_conditions };
        quirk.store(true, Relaxed);
        let bucket = below(&server, "p");
        assert_eq!(bucket.fencing().await.unwrap(), Fencing::Weak);
        assert_eq!(fill(&bucket).await.unwrap(), Put::Stored);
        assert_eq!(fill(&bucket).await.unwrap(), Put::Same);
        let other = bucket.put_if_absent("a/key", &Object::of_bytes("y", "run-2")).await;
        assert!(matches!(other, Err(BucketError::Conflict { .. })), "{other:?}");
        let (_folder, object) = large(1);
        assert_eq!(bucket.put_if_absent("a/base", &object).await.unwrap(), Put::Stored);
        assert_eq!(list_all(&bucket, "").await.unwrap().len(), 2, "the probe is not shown");
    }
}

#[tokio::test]
async fn a_server_that_knows_conditions_only_for_small_objects_takes_large_ones_too() {
    let server = Server::start().await;
    server.quirks.no_final_conditions.store(true, Relaxed);
    let bucket = below(&server, "p");
    let (_folder, object) = large(1);
    assert_eq!(bucket.put_if_absent("a/base", &object).await.unwrap_err().class(), Class::Transient);
    assert_eq!(bucket.put_if_absent("a/base", &object).await.unwrap(), Put::Stored);
    assert_eq!(server.quirks.parts_seen.load(Relaxed), 2, "nothing is sent twice");
    assert_eq!(bucket.fencing().await.unwrap(), Fencing::Strong, "owner markers are small");
    let other = bucket.put_if_absent("a/base", &Object::of_bytes("y", "run-2")).await;
    assert!(matches!(other, Err(BucketError::Conflict { .. })), "{other:?}");
}

#[tokio::test]
async fn many_objects_of_somebody_else_hide_none_of_ours() {
    let server = Server::start().await;
    let folder = server.folder().join("p");
    std::fs::create_dir_all(&folder).unwrap();
    for n in 0..=PAGE {
        std::fs::write(folder.join(format!("no key of ours {n}")), "x").unwrap();
    }
    let bucket = below(&server, "p");
    for key in ["a/key", "z/key"] {
        bucket.put_if_absent(key, &Object::of_bytes("x", "run-1")).await.unwrap();
    }
    let keys: Vec<String> = list_all(&bucket, "").await.unwrap().into_iter().map(|entry| entry.key).collect();
    assert_eq!(keys, ["a/key", "z/key"]);
}

#[tokio::test]
async fn what_is_wrong_on_the_way_is_an_error_of_its_kind_and_over_when_it_is_over() {
    let server = Server::start().await;
    let bucket = below(&server, "p");
    let (_folder, object) = large(1);
    let cases = [
        (Trouble::Away, None),
        (Trouble::Answers(503, "SlowDown"), None),
        (Trouble::Torn(64 << 10), None),
        // The answer to HEAD has no body that could say more.
        (Trouble::Answers(403, "RequestTimeTooSkewed"), Some(Refusal::Denied)),
        (Trouble::Refuses(507, "XMinioStorageFull"), Some(Refusal::Full)),
    ];
    for (trouble, expected) in cases {
        server.way.set(trouble);
        let refusal = match bucket.put_if_absent("a/base", &object).await {
            Err(BucketError::Refused { refusal, .. }) => Some(refusal),
            Err(BucketError::Unavailable { .. }) => None,
            other => panic!("{trouble:?}: {other:?}"),
        };
        assert!(refusal == expected && server.way.felt() > 0, "{trouble:?}: {refusal:?}");
        server.way.set(Trouble::None);
        assert_eq!(bucket.head("a/base").await.unwrap(), None, "{trouble:?}");
    }
    server.way.set(Trouble::Slow(8 << 10));
    bucket.put_if_absent("a/slow", &Object::of_bytes(vec![7; 8 << 10], "run-1")).await.unwrap();
    assert!(server.way.felt() > 8);
    // The answer is lost: what is there tells.
    server.way.set(Trouble::Mute);
    let small = Object::of_bytes("x", "run-1");
    assert_eq!(bucket.put_if_absent("a/mute", &small).await.unwrap(), Put::Same);
    assert!(server.way.felt() > 0);
    // The server hangs up just as a connection is used again.
    server.way.set(Trouble::Once);
    for n in 0..4 {
        let key = format!("b/{n}");
        assert_eq!(bucket.put_if_absent(&key, &small).await.unwrap(), Put::Stored);
        assert!(bucket.head(&key).await.unwrap().is_some());
        assert_eq!(bucket.get(&key, 0..1).await.unwrap(), "x");
        assert_eq!(bucket.list("b/", None).await.unwrap().entries.len(), n + 1);
    }
    assert!(server.way.felt() > 12, "{}", server.way.felt());
    server.way.set(Trouble::None);
    server.keys.renew("another one");
    assert!(matches!(bucket.head("a/mute").await, Err(BucketError::Refused { refusal: Refusal::Denied, .. })));
    std::fs::write(server.credentials().join("secretAccessKey"), "another one").unwrap();
    assert!(bucket.head("a/mute").await.unwrap().is_some());
    assert!(server.way.asked() > server.way.markers());
}
