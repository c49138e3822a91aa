//! Thousands of real messages come out as they went in.

use std::collections::HashMap;

use crate::first_light::mbsync;
use crate::harness::corpus::Corpus;
use crate::harness::{Options, Server, wait_until};

/// Counts messages by their bytes; mail is a multiset.
fn bag(messages: impl Iterator<Item = Vec<u8>>) -> HashMap<Vec<u8>, usize> {
    let mut bag = HashMap::new();
    for message in messages {
        *bag.entry(message).or_default() += 1;
    }
    bag
}

/// The message as it was sent: without the trace headers, which end with our `Received`.
pub fn without_trace(stored: &[u8]) -> Vec<u8> {
    let mut rest = stored;
    for name in ["Return-Path:", "Delivered-To:", "Received:"] {
        assert!(
            rest.starts_with(name.as_bytes()),
            "no {name} in {:?}",
            String::from_utf8_lossy(&rest[..200.min(rest.len())])
        );
        let mut end = 0;
        loop {
            end += rest[end..].iter().position(|&b| b == b'\n').unwrap() + 1;
            if !matches!(rest.get(end), Some(b' ' | b'\t')) {
                break;
            }
        }
        rest = &rest[end..];
    }
    rest.to_vec()
}

/// All messages of INBOX. Waiting mail is drained within 5 s of SELECT, or goes on arriving.
fn inbox(server: &Server, user: &str, expected: usize) -> Vec<Vec<u8>> {
    let mut imap = server.imap(user, "pass");
    wait_until("everything has been drained", || imap.count("INBOX") >= expected);
    imap.ok("SELECT INBOX");
    imap.bodies()
}

#[test]
fn six_thousand_real_messages_delivered_to_a_locked_mailbox_come_out_byte_exact() {
    let Some(corpus) = Corpus::fetch() else { return };
    let mut server = Options::bench().start();
    let mut smtp = server.smtp();
    for message in corpus.messages(1) {
        smtp.deliver("sender@elsewhere.example", &["ua@example.test"], &message);
    }
    let sent = bag(corpus.messages(1));
    for life in ["first", "second"] {
        let stored = inbox(&server, "ua@example.test", 6046);
        assert_eq!(stored.len(), 6046, "{life} life");
        let came = bag(stored.iter().map(|m| without_trace(m)));
        assert!(came == sent, "{life} life: the bytes differ");
        server.restart();
    }
    if crate::harness::have("mbsync") {
        assert_eq!(mbsync(&server, "ua@example.test", "pass").len(), 6046);
    }
}

#[test]
fn six_thousand_real_messages_sent_by_append_come_out_byte_exact() {
    let Some(corpus) = Corpus::fetch() else { return };
    let mut server = Options::bench().start();
    let mut imap = server.imap("ub@example.test", "pass");
    let mut waiting = std::collections::VecDeque::new();
    for message in corpus.messages(1) {
        waiting.push_back(imap.start_append("INBOX", &message));
        if waiting.len() == 16 {
            let lines = imap.finish(&waiting.pop_front().unwrap());
            assert!(lines.last().unwrap().text.contains(" OK "), "{lines:?}");
        }
    }
    for tag in waiting {
        imap.finish(&tag);
    }
    let sent: Vec<_> = corpus.messages(1).collect();
    for life in ["first", "second"] {
        let stored = inbox(&server, "ub@example.test", sent.len());
        assert_eq!(stored.len(), sent.len(), "{life} life");
        for (n, (stored, sent)) in stored.iter().zip(&sent).enumerate() {
            assert!(stored == sent, "{life} life: message {n} differs");
        }
        server.restart();
    }
}
