//! Bodies both ways: bounded, byte-exact, side by side.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use model::verbs::{Code, FetchEvent, Request};
use sealpost_wire::limits::{PIECE, QUEUE, WINDOW};
use sealpost_wire::{Body, FetchStream};
use tls::Role;
use tokio::sync::mpsc;

use super::calls::{append, deliver};
use crate::shard::{byte, message};
use crate::world::{SESSION, World, fetch, soon};

const MB: u64 = 1_000_000;

/// Reads a stream to its end, checking every byte; how many there were.
async fn drain(stream: &mut FetchStream, from: u64) -> u64 {
    let mut at = from;
    while let Some(event) = soon(stream.next()).await {
        if let FetchEvent::Data(bytes) = event.unwrap() {
            assert!(bytes.iter().enumerate().all(|(n, &b)| b == byte(at + n as u64)), "bytes differ near {at}");
            at += bytes.len() as u64;
        }
    }
    at - from
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_megabytes_stream_in_bounded_memory() {
    let world = World::new();
    let served = world.serve(1).await;
    let (client, _) = world.attached(served.address).await;
    let mut stream = client.fetch(SESSION, fetch(50 * MB as i64));
    assert!(matches!(soon(stream.next()).await, Some(Ok(FetchEvent::Head { .. }))));
    assert!(matches!(soon(stream.next()).await, Some(Ok(FetchEvent::Rows(_)))));
    let (mut received, mut most) = (0, 0);
    while let Some(event) = soon(stream.next()).await {
        let FetchEvent::Data(bytes) = event.unwrap() else { panic!("something else than data") };
        assert_eq!((bytes[0], bytes[bytes.len() - 1]), (byte(received), byte(received + bytes.len() as u64 - 1)));
        received += bytes.len() as u64;
        most = most.max(served.shard.sent.load(Ordering::Relaxed).saturating_sub(received));
    }
    assert_eq!(received, 50 * MB);
    // One window, the piece that goes below zero, and what one call of the shard hands over at a time.
    assert!(most <= (WINDOW + PIECE + 251 * 1024) as u64, "{most} bytes were under way");
    served.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_megabytes_are_brought_in_pieces_as_they_come() {
    let world = World::new();
    let served = world.serve(1).await;
    let (client, _) = world.client(Role::Mx, served.address);
    let (pieces, body) = mpsc::channel(1);
    let whole = Bytes::from(message(50 * MB));
    let feed = whole.clone();
    let feeding = tokio::spawn(async move {
        for piece in feed.chunks(300_000) {
            pieces.send(feed.slice_ref(piece)).await.unwrap();
        }
    });
    soon(client.deliver(deliver(50 * MB), Body::Stream(body))).await.unwrap();
    soon(feeding).await.unwrap();
    assert!(served.shard.delivered.lock().unwrap()[0] == whole, "the bytes differ");
    served.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_reader_delays_nobody_else() {
    let world = World::new();
    let served = world.serve(1).await;
    let (client, _) = world.attached(served.address).await;
    let mut stalled = client.fetch(SESSION, fetch(50 * MB as i64));
    soon(stalled.next()).await.unwrap().unwrap();
    // Small calls on the other socket, and a whole stream on the same one.
    let started = Instant::now();
    for _ in 0..200 {
        soon(client.request(SESSION, Request::Quota)).await.unwrap();
    }
    let each = started.elapsed() / 200;
    assert!(each < Duration::from_millis(100), "{each:?} for a small call");
    assert_eq!(drain(&mut client.fetch(SESSION, fetch(5 * MB as i64)), 0).await, 5 * MB);
    assert_eq!(drain(&mut stalled, 0).await, 50 * MB);
    served.kill().await;
}

#[tokio::test]
async fn a_stream_that_is_dropped_ends_at_the_shard() {
    let world = World::new();
    let served = world.serve(1).await;
    let (client, _) = world.attached(served.address).await;
    let mut running = served.shard.running.subscribe();
    let mut stream = client.fetch(SESSION, fetch(50 * MB as i64));
    soon(stream.next()).await.unwrap().unwrap();
    soon(running.wait_for(|n| *n == 1)).await.unwrap();
    drop(stream);
    soon(running.wait_for(|n| *n == 0)).await.unwrap();
    served.kill().await;
}

#[tokio::test]
async fn sixteen_appends_at_a_time_are_all_answered() {
    let world = World::new();
    let served = world.serve(1).await;
    let (client, _) = world.attached(served.address).await;
    let uploads = (0..16).map(|seq| {
        let client = client.clone();
        let size = 100_000 + seq * 10_000;
        tokio::spawn(async move { client.append(SESSION, append(seq, size), Body::from(message(size))).await })
    });
    for upload in uploads.collect::<Vec<_>>() {
        soon(upload).await.unwrap().unwrap();
    }
    let appended = served.shard.appended.lock().unwrap().clone();
    assert!((0..16).all(|seq| appended[&seq] == message(100_000 + seq * 10_000)));
    served.kill().await;
}

#[tokio::test]
async fn a_body_of_another_size_is_never_stored() {
    let world = World::new();
    let served = world.serve(1).await;
    let (client, _) = world.attached(served.address).await;
    for (announced, given) in [(10, 9), (10, 11), (2 * MB, 3 * MB)] {
        let answer = soon(client.append(SESSION, append(1, announced), Body::from(message(given)))).await;
        assert_eq!(answer.unwrap_err().code, Code::Cannot, "{announced} {given}");
    }
    // A client that hangs up inside its literal.
    let (pieces, body) = mpsc::channel(1);
    pieces.send(Bytes::from_static(b"half")).await.unwrap();
    drop(pieces);
    assert!(soon(client.append(SESSION, append(1, 8), Body::Stream(body))).await.is_err());
    assert!(served.shard.appended.lock().unwrap().is_empty());
    // The socket goes on.
    soon(client.append(SESSION, append(2, 3), Body::from(b"abc".to_vec()))).await.unwrap();
    served.kill().await;
}

#[tokio::test]
async fn a_refusal_comes_before_the_body_is_read() {
    let world = World::new();
    let served = world.serve(1).await;
    let (client, _) = world.attached(served.address).await;
    let (pieces, body) = mpsc::channel(1);
    let mut full = append(1, 50 * MB);
    full.folder = "full".to_owned();
    let asking = tokio::spawn(async move { client.append(SESSION, full, Body::Stream(body)).await });
    // Far fewer than announced, and then nothing: without the early answer this would wait for ever.
    pieces.send(Bytes::from(message(PIECE as u64))).await.unwrap();
    assert_eq!(soon(asking).await.unwrap().unwrap_err().code, Code::OverQuota);
    served.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_streams_than_the_queue_is_long_all_end() {
    let world = World::new();
    let served = world.serve(1).await;
    let (client, _) = world.attached(served.address).await;
    let streams: Vec<_> = (0..QUEUE as u64 * 2)
        .map(|n| {
            let mut stream = client.fetch(SESSION, fetch((n * 1000) as i64));
            tokio::spawn(async move { drain(&mut stream, 0).await })
        })
        .collect();
    for (n, stream) in streams.into_iter().enumerate() {
        assert_eq!(soon(stream).await.unwrap(), n as u64 * 1000);
    }
    served.kill().await;
}
