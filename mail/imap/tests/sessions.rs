//! What dialogues cannot say: sizes, pieces, timing, ends.

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sealpost_imap::{Ended, Limits, Outcome, Security};
use support::client::Peer;
use support::{DEADLINE, Fake};
use tokio::sync::Barrier;
use tokio::time::timeout;

fn pattern(n: usize) -> Vec<u8> {
    let mut bytes = b"Subject: large\r\n\r\n".to_vec();
    bytes.extend((0..n).map(|i| b'a' + (i % 23) as u8));
    bytes
}

#[tokio::test]
async fn a_large_message_streams_in_and_comes_out_as_it_was() {
    let fake = Fake::new();
    let mut peer = Peer::in_inbox(&fake).await;
    let body = pattern(4 << 20);
    let sender = format!("a APPEND INBOX {{{}+}}\r\n", body.len());
    peer.send(sender.as_bytes()).await;
    peer.send(&body).await;
    peer.send(b"\r\n").await;
    assert!(peer.until("a ").await.last().unwrap().starts_with("a OK [APPENDUID 1 1]"));
    assert!(fake.largest_piece.load(Ordering::Relaxed) <= 256 << 10, "the message was collected first");

    peer.send(b"b FETCH 1 (BODY.PEEK[] RFC822.SIZE)\r\n").await;
    assert_eq!(peer.line().await, format!("* 1 FETCH (BODY[] {{{}}}", body.len()));
    assert!(peer.bytes(body.len()).await == body, "the message has changed");
    assert_eq!(peer.line().await, format!(" RFC822.SIZE {})", body.len()));
    assert_eq!(peer.line().await, "b OK Fetch completed");
}

#[tokio::test]
async fn pipelined_appends_are_in_flight_together_and_answered_in_order() {
    let mut fake = Fake::new();
    // Nobody is answered before 16 are there.
    fake.gate = Some(Arc::new(Barrier::new(16)));
    let mut peer = Peer::in_inbox(&fake).await;
    let commands: Vec<String> = (0..32).map(|n| format!("p{n} APPEND INBOX {{5+}}\r\nhello\r\n")).collect();
    peer.send(format!("{}z NOOP\r\n", commands.concat()).as_bytes()).await;
    let lines = peer.until("z ").await;
    let tags: Vec<&str> = lines.iter().filter(|l| !l.starts_with('*')).map(|l| l.split(' ').next().unwrap()).collect();
    let expected: Vec<String> = (0..32).map(|n| format!("p{n}")).chain(["z".into()]).collect();
    assert_eq!(tags, expected);
    assert_eq!(lines.iter().rfind(|l| l.contains("EXISTS")).unwrap(), "* 32 EXISTS");
}

#[tokio::test]
async fn pipelined_commands_are_answered_in_turn() {
    let fake = Fake::new();
    let mut peer = Peer::in_inbox(&fake).await;
    peer.send(
        b"1 APPEND INBOX {2+}\r\nhi\r\n2 FETCH 1 FLAGS\r\n3 STORE 1 +FLAGS (\\Deleted)\r\n4 EXPUNGE\r\n5 NOOP\r\n",
    )
    .await;
    let lines = peer.until("5 ").await;
    let words: Vec<String> = lines.iter().map(|l| l.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(words, ["* 1", "* 1", "1 OK", "* 1", "2 OK", "* 1", "3 OK", "* 1", "4 OK", "5 OK"]);
}

#[tokio::test]
async fn a_refused_literal_is_read_out() {
    let fake = Fake::new();
    let mut peer = Peer::in_inbox(&fake).await;
    let body = vec![b'x'; 6 << 20];
    peer.send(format!("a APPEND INBOX {{{}+}}\r\n", body.len()).as_bytes()).await;
    peer.send(&body).await;
    peer.send(b"\r\nb NOOP\r\n").await;
    assert!(peer.line().await.starts_with("a NO [TOOBIG]"));
    assert!(peer.line().await.starts_with("b OK"));
}

#[tokio::test]
async fn a_message_cut_off_by_the_client_is_not_stored() {
    let fake = Fake::new();
    let mut peer = Peer::in_inbox(&fake).await;
    peer.send(format!("a APPEND INBOX {{{}+}}\r\n", 2 << 20).as_bytes()).await;
    peer.send(&vec![b'x'; 1 << 20]).await;
    let server = std::mem::replace(&mut peer.server, tokio::spawn(async { Ok(Outcome::Closed) }));
    drop(peer);
    timeout(DEADLINE, server).await.expect("the session ends").unwrap().unwrap();
    assert!(fake.state.lock().unwrap().folders[0].messages.is_empty());
}

#[tokio::test]
async fn idle_tells_of_a_delivery_at_once() {
    let fake = Fake::new();
    let mut peer = Peer::in_inbox(&fake).await;
    peer.send(b"i IDLE\r\n").await;
    assert_eq!(peer.line().await, "+ idling");
    let start = std::time::Instant::now();
    fake.deliver(b"Subject: new\r\n\r\n");
    assert_eq!(peer.line().await, "* 1 EXISTS");
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    peer.send(b"DONE\r\n").await;
    assert!(peer.until("i ").await.last().unwrap().starts_with("i OK"));
}

#[tokio::test]
async fn a_revoked_session_and_a_shutdown_say_goodbye() {
    let fake = Fake::new();
    let mut first = Peer::in_inbox(&fake).await;
    let mut second = Peer::connect(&Fake::new(), Security::StartTls);
    second.line().await;
    fake.end(Ended::Revoked);
    assert!(first.line().await.starts_with("* BYE"));
    second.shutdown.cancel();
    assert_eq!(second.line().await, "* BYE Server is shutting down");
    assert_eq!(second.line().await, "");
}

#[tokio::test]
async fn silence_ends_a_connection() {
    let limits = Limits { before_login: Duration::from_millis(50), ..Limits::default() };
    let mut peer = Peer::with_limits(&Fake::new(), Security::Tls, limits);
    peer.line().await;
    assert_eq!(peer.line().await, "* BYE Disconnected for inactivity");
    let ended = timeout(DEADLINE, &mut peer.server).await.expect("the session ends").unwrap();
    assert!(matches!(ended, Ok(Outcome::Closed)));
}

#[tokio::test]
async fn after_starttls_nothing_sent_in_clear_counts() {
    let fake = Fake::new();
    let mut peer = Peer::connect(&fake, Security::StartTls);
    peer.line().await;
    peer.send(b"a STARTTLS\r\nb LOGIN ann@example.test pass\r\n").await;
    assert!(peer.line().await.starts_with("a OK"));
    let outcome = timeout(DEADLINE, &mut peer.server).await.expect("the session hands over").unwrap();
    assert!(matches!(outcome, Ok(Outcome::StartTls(_))));
    drop(outcome);
    assert_eq!(peer.line().await, "", "the injected command was answered");
}

#[tokio::test]
async fn nonsense_has_an_end() {
    let mut peer = Peer::connect(&Fake::new(), Security::DevPlain);
    peer.line().await;
    peer.send("x y\r\n".repeat(30).as_bytes()).await;
    assert_eq!(peer.until("* BYE").await.len(), 21);
    let mut peer = Peer::connect(&Fake::new(), Security::DevPlain);
    peer.line().await;
    peer.send(&vec![b'x'; 70 << 10]).await;
    assert!(peer.line().await.starts_with("* BYE [TOOBIG]"));
}
