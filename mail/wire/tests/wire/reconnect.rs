//! Primaries that come and go.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use model::verbs::{Code, FetchEvent, Part, Request, Resume, Section};
use model::{ContentId, ShardId};
use sealpost_wire::{Body, ClientConfig, ShardClient};
use tls::Role;
use tokio::sync::mpsc;

use super::calls::append;
use crate::secondary::Told;
use crate::shard::byte;
use crate::world::{SESSION, World, fetch, soon};

#[tokio::test]
async fn a_call_waits_for_the_next_primary_and_attaches_again() {
    let world = World::new();
    let first = world.serve(1).await;
    let (client, secondary) = world.attached(first.address).await;
    let address = first.kill().await;
    secondary.heard(|told| *told == Told::Disconnected).await;

    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.request(SESSION, Request::Quota).await }
    });
    let body = Body::from(b"held".to_vec());
    let bringing = tokio::spawn(async move { client.append(SESSION, append(1, 4), body).await });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished() && !bringing.is_finished());

    let second = world.serve_at(2, address).await;
    soon(waiting).await.unwrap().unwrap();
    soon(bringing).await.unwrap().unwrap();
    assert!(secondary.reattached.load(Ordering::Relaxed) >= 1);
    assert!(second.shard.attached.lock().unwrap().contains(&SESSION));
    assert!(secondary.told.borrow().contains(&Told::Connected(second.shard.boot)));
    second.kill().await;
}

#[tokio::test]
async fn a_call_in_flight_is_asked_again() {
    let world = World::new();
    let first = world.serve(1).await;
    let (client, secondary) = world.attached(first.address).await;
    // Its handler waits until it is released, which the first shard never does before it goes.
    let request = Request::Select { name: "wait".to_owned(), read_only: true };
    let asking = tokio::spawn(async move { client.request(SESSION, request).await });
    let shard = first.shard.clone();
    soon(shard.running.subscribe().wait_for(|n| *n == 1)).await.unwrap();
    let killing = tokio::spawn(first.kill());
    secondary.heard(|told| *told == Told::Disconnected).await;
    // The old handler runs to its end although nobody waits for its answer.
    shard.release.notify_waiters();
    shard.release.notify_one();
    let address = soon(killing).await.unwrap();
    let second = world.serve_at(2, address).await;
    second.shard.release.notify_one();
    soon(asking).await.unwrap().unwrap();
    second.kill().await;
}

#[tokio::test]
async fn a_fetch_that_breaks_in_the_middle_can_be_resumed() {
    const SIZE: u64 = 8_000_000;
    let world = World::new();
    let first = world.serve(1).await;
    let (client, _secondary) = world.attached(first.address).await;
    let mut stream = client.fetch(SESSION, fetch(SIZE as i64));
    let mut received = 0;
    while received < SIZE / 3 {
        if let FetchEvent::Data(bytes) = soon(stream.next()).await.unwrap().unwrap() {
            received += bytes.len() as u64;
        }
    }
    let address = first.kill().await;
    let failure = loop {
        match soon(stream.next()).await.expect("an answer that is cut off must not look complete") {
            Ok(FetchEvent::Data(bytes)) => received += bytes.len() as u64,
            Ok(event) => panic!("{event:?}"),
            Err(failure) => break failure,
        }
    };
    assert_eq!(failure.code, Code::Unavailable);
    assert!(soon(stream.next()).await.is_none());
    assert!(received < SIZE);

    let second = world.serve_at(2, address).await;
    let section = Section { path: Vec::new(), part: Part::All, partial: None };
    let resume = Resume { content: ContentId(SIZE as i64), section, offset: received };
    let mut stream = client.resume(SESSION, resume);
    while let Some(event) = soon(stream.next()).await {
        let FetchEvent::Data(bytes) = event.unwrap() else { panic!("something else than data") };
        assert!(bytes.iter().enumerate().all(|(n, &b)| b == byte(received + n as u64)));
        received += bytes.len() as u64;
    }
    assert_eq!(received, SIZE);
    second.kill().await;
}

#[tokio::test]
async fn a_fetch_that_has_not_begun_waits_like_any_call() {
    let world = World::new();
    let first = world.serve(1).await;
    let (client, secondary) = world.attached(first.address).await;
    let address = first.kill().await;
    secondary.heard(|told| *told == Told::Disconnected).await;
    let reading = tokio::spawn(async move {
        let mut stream = client.fetch(SESSION, fetch(1000));
        let mut events = 0;
        while let Some(event) = stream.next().await {
            event.unwrap();
            events += 1;
        }
        events
    });
    let second = world.serve_at(2, address).await;
    assert_eq!(soon(reading).await.unwrap(), 3);
    second.kill().await;
}

#[tokio::test]
async fn a_body_that_is_not_held_fails_as_unavailable() {
    let world = World::new();
    let served = world.serve(1).await;
    let (client, secondary) = world.attached(served.address).await;
    let (pieces, body) = mpsc::channel(1);
    let bringing = tokio::spawn({
        let client = client.clone();
        async move { client.append(SESSION, append(1, 1000), Body::Stream(body)).await }
    });
    pieces.send(Bytes::from_static(b"some of it")).await.unwrap();
    // Taken before the link goes.
    soon(pieces.reserve()).await.unwrap();
    let address = served.kill().await;
    secondary.heard(|told| *told == Told::Disconnected).await;
    let second = world.serve_at(2, address).await;
    assert_eq!(soon(bringing).await.unwrap().unwrap_err().code, Code::Unavailable);
    assert!(second.shard.appended.lock().unwrap().is_empty());
    second.kill().await;
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_shard_is_unavailable_after_twenty_seconds() {
    let world = World::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let identity = world.identity(Role::Imap);
    let config = ClientConfig { shard: ShardId(0), address: address.to_string(), identity };
    let secondary = std::sync::Arc::new(crate::secondary::FakeSecondary::default());
    let client = ShardClient::connect(config, secondary.clone()).unwrap();
    let started = tokio::time::Instant::now();
    let failure = client.keyset("ann@example.test".parse().unwrap(), None).await.unwrap_err();
    assert_eq!(failure.code, Code::Unavailable);
    assert_eq!(started.elapsed().as_secs(), 20);
    assert!(secondary.told.borrow().is_empty(), "nothing was ever connected");
}

#[tokio::test]
async fn the_last_clone_ends_the_link() {
    let world = World::new();
    let served = world.serve(1).await;
    let (client, secondary) = world.attached(served.address).await;
    let clone = client.clone();
    drop(client);
    soon(clone.request(SESSION, Request::Quota)).await.unwrap();
    let mut links = served.shard.links.subscribe();
    drop(clone);
    soon(links.wait_for(Vec::is_empty)).await.unwrap();
    secondary.heard(|told| *told == Told::Disconnected).await;
    served.kill().await;
}

#[tokio::test]
async fn appends_in_flight_come_again_in_their_order() {
    let world = World::new();
    let first = world.serve(1).await;
    let (client, secondary) = world.attached(first.address).await;
    let appending = tokio::spawn(async move {
        let each = (1..=16).map(|seq| {
            let mut stalled = append(seq, 3);
            stalled.folder = "stall".to_owned();
            client.append(SESSION, stalled, Body::from(b"abc".to_vec()))
        });
        futures_util::future::join_all(each).await
    });
    soon(async {
        while first.shard.order.lock().unwrap().len() < 16 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(*first.shard.order.lock().unwrap(), (1..=16).collect::<Vec<_>>());
    let shard = first.shard.clone();
    let killing = tokio::spawn(first.kill());
    secondary.heard(|told| *told == Told::Disconnected).await;
    shard.release.notify_waiters();
    let address = soon(killing).await.unwrap();

    let second = world.serve_at(2, address).await;
    let releasing = tokio::spawn({
        let shard = second.shard.clone();
        async move {
            loop {
                shard.release.notify_waiters();
                tokio::task::yield_now().await;
            }
        }
    });
    assert!(soon(appending).await.unwrap().iter().all(Result::is_ok));
    releasing.abort();
    // Those that were not attached yet come twice; what counts is when each came first.
    let mut seen = second.shard.order.lock().unwrap().clone();
    let mut met = std::collections::HashSet::new();
    seen.retain(|seq| met.insert(*seq));
    assert_eq!(seen, (1..=16).collect::<Vec<_>>());
    second.kill().await;
}
