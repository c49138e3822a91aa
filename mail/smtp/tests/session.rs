//! What does not fit into a dialogue: pipelines, limits, time, and when a 250 counts as read.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod support;

use std::time::Duration;

use sealpost_smtp::{Budget, Config, Timeouts};
use support::{Memory, Peer, config, directory};

#[tokio::test]
async fn a_pipeline_of_ten_thousand_commands_is_answered_in_order() {
    let mut peer = Peer::new();
    peer.reply().await;
    let (mut read, mut write) = tokio::io::split(std::mem::replace(&mut peer.stream, tokio::io::duplex(1).0));
    let sender = tokio::spawn(async move {
        let pipeline = "NOOP\r\nRSET\r\n".repeat(5000) + "QUIT\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut write, pipeline.as_bytes()).await.unwrap();
        write
    });
    let mut replies = String::new();
    let all = tokio::io::AsyncReadExt::read_to_string(&mut read, &mut replies);
    tokio::time::timeout(support::DEADLINE, all).await.unwrap().unwrap();
    assert_eq!(replies, "250 2.0.0 Ok\r\n".repeat(10_000) + "221 2.0.0 Bye\r\n");
    drop(sender.await.unwrap());
}

#[tokio::test]
async fn too_many_commands_without_a_message_end_the_connection() {
    let mut peer = Peer::connect(&Memory::new(None), Config { max_commands: 3, ..config() });
    peer.reply().await;
    assert!(peer.say("NOOP").await.starts_with("250"));
    assert!(peer.say("NOOP").await.starts_with("250"));
    assert!(peer.say("NOOP").await.starts_with("421 4.7.0"));
    assert_eq!(peer.line().await, None);
}

#[tokio::test]
async fn harvesting_addresses_ends_the_connection() {
    let mut peer = Peer::new();
    peer.reply().await;
    peer.say("HELO c.example").await;
    peer.say("MAIL FROM:<>").await;
    for _ in 1..8 {
        assert!(peer.say("RCPT TO:<nobody@example.org>").await.starts_with("550 5.1.1"));
    }
    assert!(peer.say("RCPT TO:<nobody@example.org>").await.starts_with("421 4.7.0"));
}

#[tokio::test]
async fn an_endless_line_is_refused_and_at_last_cut() {
    let mut peer = Peer::new();
    peer.reply().await;
    assert!(peer.say(&format!("NOOP {}", "x".repeat(100_000))).await.starts_with("500 5.5.2 Line too long"));
    assert!(peer.say("NOOP").await.starts_with("250"));
    let long = "x".repeat(3 << 20);
    let write = tokio::io::AsyncWriteExt::write_all(&mut peer.stream, long.as_bytes());
    tokio::time::timeout(support::DEADLINE, write).await.unwrap().unwrap_err();
}

#[tokio::test]
async fn the_largest_message_is_taken_and_one_octet_more_is_not() {
    let mut peer = Peer::new();
    peer.envelope().await;
    for (size, code) in [(20_000, "250 2.0.0"), (20_001, "552 5.3.4"), (200_000, "552 5.3.4"), (20_000, "250 2.0.0")] {
        assert!(peer.say("DATA").await.starts_with("354"));
        peer.send(&[vec![b'x'; size - 2], b"\r\n.\r\n".to_vec()].concat()).await;
        assert!(peer.reply().await.starts_with(code), "{size}");
        peer.recipient().await;
    }
    assert!(peer.delivery.messages().iter().all(|message| message.size == 20_000));
}

#[tokio::test]
async fn mail_that_has_made_fifty_hops_is_taken_and_one_more_is_a_loop() {
    let mut peer = Peer::new();
    peer.envelope().await;
    for (hops, code) in [(50, "250 2.0.0"), (51, "554 5.4.6")] {
        assert!(peer.say("DATA").await.starts_with("354"));
        assert!(peer.say(&("Received: x\r\n".repeat(hops) + "\r\n.")).await.starts_with(code), "{hops}");
        peer.recipient().await;
    }
}

#[tokio::test]
async fn used_up_memory_is_a_temporary_failure() {
    let mut peer = Peer::connect(&Memory::new(Some(directory())), Config { budget: Budget::new(0), ..config() });
    peer.envelope().await;
    assert!(peer.say("DATA").await.starts_with("354"));
    assert!(peer.say("Subject: x\r\n.").await.starts_with("452 4.3.1"));
    assert!(peer.say("NOOP").await.starts_with("250"));
}

#[tokio::test]
async fn the_clients_next_command_settles_a_message_and_a_lost_connection_does_not() {
    let mut peer = Peer::new();
    peer.envelope().await;
    peer.say("DATA").await;
    let queued = peer.say("Subject: x\r\n.").await;
    assert_eq!(peer.delivery.settled(), []);
    peer.say("NOOP").await;
    let settled = peer.delivery.settled();
    assert!(queued.ends_with(&settled[0].0.to_string()), "{queued}");
    assert_eq!(settled[0].1, [support::mailbox("ann")]);
    peer.recipient().await;
    peer.say("DATA").await;
    peer.say("Subject: y\r\n.").await;
    let Peer { stream, delivery, shutdown, .. } = peer;
    drop(stream);
    shutdown.cancel();
    assert_eq!((delivery.messages().len(), delivery.settled().len()), (2, 1));
}

#[tokio::test]
async fn what_was_sent_before_the_250_proves_nothing_until_content_follows_a_354() {
    let mut peer = Peer::new();
    peer.envelope().await;
    peer.say("DATA").await;
    peer.send(b"Subject: x\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\n").await;
    for code in ["250 2.0.0", "250 2.1.0", "250 2.1.5", "354"] {
        assert!(peer.reply().await.starts_with(code));
    }
    assert_eq!(peer.delivery.settled(), []);
    peer.say(".").await;
    assert_eq!(peer.delivery.settled().len(), 1);
}

#[tokio::test]
async fn a_failed_delivery_is_never_settled() {
    let mut peer = Peer::new();
    peer.envelope().await;
    peer.say("RCPT TO:<down@example.org>").await;
    peer.say("DATA").await;
    assert!(peer.say(".").await.starts_with("451"));
    peer.say("NOOP").await;
    assert_eq!(peer.delivery.settled(), []);
}

#[tokio::test]
async fn shutdown_says_421_to_who_waits_and_lets_content_finish() {
    let mut idle = Peer::new();
    idle.reply().await;
    idle.shutdown.cancel();
    assert!(idle.reply().await.starts_with("421 4.3.2"));
    assert_eq!(idle.line().await, None);
    let mut busy = Peer::new();
    busy.envelope().await;
    busy.say("DATA").await;
    busy.shutdown.cancel();
    assert!(busy.say("Subject: x\r\n.").await.starts_with("250 2.0.0"));
    assert!(busy.reply().await.starts_with("421 4.3.2"));
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_told_and_left() {
    let timeouts = Timeouts { command: Duration::from_secs(5), ..Timeouts::default() };
    let mut peer = Peer::connect(&Memory::new(None), Config { timeouts, ..config() });
    peer.reply().await;
    assert!(peer.reply().await.starts_with("421 4.4.2"));
    assert_eq!(peer.line().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_trickle_of_content_ends_at_the_limit_for_the_whole() {
    let timeouts = Timeouts { content: Duration::from_secs(30), ..Timeouts::default() };
    let mut peer = Peer::connect(&Memory::new(Some(directory())), Config { timeouts, ..config() });
    peer.envelope().await;
    peer.say("DATA").await;
    for _ in 0..6 {
        peer.send(b"x").await;
        tokio::time::advance(Duration::from_secs(6)).await;
    }
    assert!(peer.reply().await.starts_with("421 4.4.2"));
    assert_eq!(peer.delivery.messages(), []);
}
