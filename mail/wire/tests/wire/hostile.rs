//! Strangers, and peers that do not keep to the protocol.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use model::verbs::{Code, Request};
use rustls::NamedGroup;
use sealpost_wire::limits::{MAX_REQUEST, PIECE, WINDOW};
use sealpost_wire::proto::{Call, Hello, Lane, LinkId, PATH, ToPrimary, ToSecondary};
use tls::{Identity, Role};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::calls::append;
use crate::world::{SESSION, World, soon};

async fn tls_to(address: SocketAddr, identity: &Identity) -> std::io::Result<TlsStream<TcpStream>> {
    let config = identity.client_config(Role::Primary(model::ShardId(0))).unwrap();
    let tcp = TcpStream::connect(address).await?;
    TlsConnector::from(config).connect(tls::internal_name(), tcp).await
}

/// One raw socket.
struct Raw(WebSocketStream<TlsStream<TcpStream>>);

impl Raw {
    async fn connect(address: SocketAddr, identity: &Identity) -> Self {
        let stream = tls_to(address, identity).await.unwrap();
        Self(tokio_tungstenite::client_async(format!("ws://x{PATH}"), stream).await.unwrap().0)
    }

    /// Past Hello, on the bulk socket of a link whose control socket is given back too.
    async fn pair(address: SocketAddr, identity: &Identity) -> (Self, Self) {
        let (mut control, mut bulk) = (Self::connect(address, identity).await, Self::connect(address, identity).await);
        for (socket, lane) in [(&mut control, Lane::Control), (&mut bulk, Lane::Bulk)] {
            socket.say(&hello(1, lane)).await;
            assert!(matches!(socket.hear().await, Some(ToSecondary::Welcome(_))));
        }
        (control, bulk)
    }

    async fn say(&mut self, message: &ToPrimary) {
        self.raw(rmp_serde::to_vec_named(message).unwrap()).await;
    }

    async fn raw(&mut self, message: Vec<u8>) {
        // The other side may be gone already; what it says then is the test.
        let _ = soon(self.0.send(Message::Binary(Bytes::from(message)))).await;
    }

    /// The next message; none once the socket is closed.
    async fn hear(&mut self) -> Option<ToSecondary> {
        match soon(self.0.next()).await? {
            Ok(Message::Binary(bytes)) => Some(rmp_serde::from_slice(&bytes).unwrap()),
            _ => None,
        }
    }

    /// Whatever still comes, in the end the socket is closed.
    async fn is_closed(&mut self) {
        while self.hear().await.is_some() {}
    }
}

fn hello(link: u8, lane: Lane) -> ToPrimary {
    ToPrimary::Hello(Hello { version: 1, oldest: 1, link: LinkId([link; 16]), lane, generation: None, keyed: 0 })
}

#[tokio::test]
async fn the_link_uses_the_hybrid_group() {
    let world = World::new();
    let served = world.serve(1).await;
    let stream = tls_to(served.address, &world.identity(Role::Mx)).await.unwrap();
    let group = stream.get_ref().1.negotiated_key_exchange_group().map(rustls::crypto::SupportedKxGroup::name);
    assert_eq!(group, Some(NamedGroup::X25519MLKEM768));
    drop(stream);
    served.kill().await;
}

#[tokio::test]
async fn strangers_do_not_get_in() {
    let (world, other) = (World::new(), World::other());
    let served = world.serve(1).await;
    assert_ne!(world.folder(), other.folder());
    // Of another CA: each side refuses the other.
    assert!(tls_to(served.address, &other.identity(Role::Imap)).await.is_err());
    let (client, secondary) = other.client(Role::Imap, served.address);
    let waited = tokio::time::timeout(Duration::from_millis(300), client.connected()).await;
    assert!(waited.is_err(), "a call waits, and is never told anything else");
    assert!(secondary.told.borrow().is_empty());
    // Without TLS.
    let mut plain = TcpStream::connect(served.address).await.unwrap();
    plain.write_all(b"GET /v1/wire HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // A reset is as good as an end.
    let _ = soon(plain.read_to_end(&mut answer)).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    served.kill().await;
}

#[tokio::test]
async fn control_requests_are_told_who_asks() {
    let world = World::new();
    let served = world.serve(1).await;
    let mut stream = tls_to(served.address, &world.identity(Role::Operator)).await.unwrap();
    stream.write_all(b"GET /v1/who HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("sealpost://s1/operator"), "{answer}");
    served.kill().await;
}

#[tokio::test]
async fn roles_without_business_and_unknown_versions_are_refused_at_hello() {
    let world = World::new();
    let served = world.serve(1).await;
    for role in [Role::Operator, Role::Courier, Role::Primary(model::ShardId(1))] {
        let mut socket = Raw::connect(served.address, &world.identity(role)).await;
        socket.say(&hello(1, Lane::Control)).await;
        assert!(matches!(socket.hear().await, Some(ToSecondary::Refused(failure)) if failure.code == Code::NoPerm));
        socket.is_closed().await;
    }
    let imap = world.identity(Role::Imap);
    let mut socket = Raw::connect(served.address, &imap).await;
    let future =
        Hello { version: 9, oldest: 8, link: LinkId([1; 16]), lane: Lane::Control, generation: None, keyed: 0 };
    socket.say(&ToPrimary::Hello(future)).await;
    assert!(matches!(socket.hear().await, Some(ToSecondary::Refused(failure)) if failure.code == Code::Cannot));
    // A bulk socket without its control socket, and one of somebody else's link.
    let mut socket = Raw::connect(served.address, &imap).await;
    socket.say(&hello(1, Lane::Bulk)).await;
    assert!(matches!(socket.hear().await, Some(ToSecondary::Refused(_))));
    let (_control, _bulk) = Raw::pair(served.address, &imap).await;
    let mut socket = Raw::connect(served.address, &world.identity(Role::Mx)).await;
    socket.say(&hello(1, Lane::Bulk)).await;
    assert!(matches!(socket.hear().await, Some(ToSecondary::Refused(_))));
    served.kill().await;
}

#[tokio::test]
async fn what_breaks_the_protocol_closes_that_link_alone() {
    let world = World::new();
    let served = world.serve(1).await;
    let (client, secondary) = world.attached(served.address).await;
    let mx = world.identity(Role::Mx);
    let small = |id| ToPrimary::Request { id, call: Call::Request { session: SESSION, request: Request::Quota } };
    let cases: Vec<(&str, Vec<Vec<u8>>)> = vec![
        ("over the limit", vec![vec![0xc0; MAX_REQUEST + 1]]),
        ("not MessagePack", vec![vec![0xc1; 100]]),
        ("a second Hello", vec![rmp_serde::to_vec_named(&hello(1, Lane::Bulk)).unwrap()]),
        ("an empty piece", vec![rmp_serde::to_vec_named(&ToPrimary::Data { id: 1, bytes: Bytes::new() }).unwrap()]),
    ];
    for (what, messages) in cases {
        let (mut control, mut bulk) = Raw::pair(served.address, &mx).await;
        for message in messages {
            bulk.raw(message).await;
        }
        bulk.is_closed().await;
        // A link is up only when both of its sockets are.
        control.is_closed().await;
        soon(served.shard.links.subscribe().wait_for(|links| links.len() == 1))
            .await
            .unwrap_or_else(|_| panic!("{what}"));
    }
    let (mut control, _bulk) = Raw::pair(served.address, &mx).await;
    control.say(&small(1)).await;
    assert!(
        matches!(control.hear().await, Some(ToSecondary::Reply { id: 1, result: Err(failure) }) if failure.code == Code::NoPerm)
    );
    control.0.send(Message::text("hello")).await.unwrap();
    control.is_closed().await;

    soon(client.request(SESSION, Request::Quota)).await.unwrap();
    assert_eq!(secondary.told.borrow().len(), 1, "the other link was never lost");
    served.kill().await;
}

#[tokio::test]
async fn a_body_sent_without_credit_closes_the_link() {
    let world = World::new();
    let served = world.serve(1).await;
    let (_client, _secondary) = world.attached(served.address).await;
    let (_control, mut bulk) = Raw::pair(served.address, &world.identity(Role::Imap)).await;
    let mut call = append(1, 100 * WINDOW as u64);
    call.folder = "stall".to_owned();
    bulk.say(&ToPrimary::Request { id: 1, call: Call::Append { session: SESSION, append: call } }).await;
    // A window and one piece are its right; nothing of it is consumed.
    for _ in 0..=WINDOW / PIECE + 1 {
        bulk.say(&ToPrimary::Data { id: 1, bytes: Bytes::from(vec![1; PIECE]) }).await;
    }
    bulk.is_closed().await;
    served.shard.release.notify_one();
    assert!(served.shard.appended.lock().unwrap().is_empty());
    served.kill().await;
}
