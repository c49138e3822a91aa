use super::*;
use crate::bucket::{Memory, conformance, list_all};

const KEY: &str = "root/one";

fn object() -> Object {
    Object::of_bytes("0123456789", "r")
}

fn bucket(faults: &[Fault]) -> (Arc<Memory>, Unreliable) {
    let memory = Arc::new(Memory::default());
    (memory.clone(), Unreliable::new(memory, faults))
}

fn is_lost<T: std::fmt::Debug>(answer: &Result<T, BucketError>) -> bool {
    matches!(answer, Err(BucketError::Unavailable { .. }))
}

#[tokio::test]
async fn without_faults_it_is_a_bucket() {
    conformance::run(|| Box::new(bucket(&[]).1)).await;
}

#[tokio::test]
async fn the_first_attempts_fail_and_the_next_is_done() {
    let (memory, bucket) = bucket(&[Fault::Fail, Fault::Fail]);
    assert!(is_lost(&bucket.put_if_absent(KEY, &object()).await));
    assert!(is_lost(&bucket.put_if_absent(KEY, &object()).await));
    assert_eq!(memory.head(KEY).await.unwrap(), None);
    assert_eq!(bucket.put_if_absent(KEY, &object()).await.unwrap(), Put::Stored);
    assert!(is_lost(&bucket.head(KEY).await), "each operation fails by itself");
    assert_eq!(bucket.requests(), 4);
}

#[tokio::test]
async fn a_lost_answer_is_a_write_that_was_done() {
    let (memory, bucket) = bucket(&[Fault::Late]);
    assert!(is_lost(&bucket.put_if_absent(KEY, &object()).await));
    assert!(memory.head(KEY).await.unwrap().is_some());
    assert_eq!(bucket.put_if_absent(KEY, &object()).await.unwrap(), Put::Same);
}

#[tokio::test]
async fn reads_and_pages_come_by_halves() {
    let (memory, bucket) = bucket(&[Fault::Truncate]);
    for n in 0..10 {
        memory.put_if_absent(&format!("root/{n}"), &object()).await.unwrap();
    }
    assert_eq!(bucket.get("root/0", 0..10).await.unwrap(), "01234");
    assert_eq!(bucket.get("root/0", 0..10).await.unwrap(), "0123456789");
    assert_eq!(list_all(&bucket, "root/").await.unwrap().len(), 10, "a short page is no end");
    assert!(is_lost(&bucket.put_if_absent("root/new", &object()).await));
    assert_eq!(memory.head("root/new").await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_slow_bucket_answers_at_last() {
    let (_, bucket) = bucket(&[Fault::Delay(Duration::from_mins(1))]);
    let begin = tokio::time::Instant::now();
    assert_eq!(bucket.put_if_absent(KEY, &object()).await.unwrap(), Put::Stored);
    assert!(begin.elapsed() >= Duration::from_mins(1));
}

#[tokio::test]
async fn while_it_is_away_nothing_works() {
    let (_, bucket) = bucket(&[]);
    bucket.set_away(true);
    assert!(is_lost(&bucket.put_if_absent(KEY, &object()).await) && is_lost(&bucket.list("", None).await));
    bucket.set_away(false);
    assert_eq!(bucket.put_if_absent(KEY, &object()).await.unwrap(), Put::Stored);
}
