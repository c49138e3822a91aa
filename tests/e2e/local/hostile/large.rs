//! A message with a large attachment, in by every way and out in pieces.

use std::time::Instant;

use super::watch::Watch;
use super::{noise, victim};
use crate::corpus::without_trace;
use crate::harness::imap::Client;
use crate::harness::{Options, wait_until};

/// The message and where its attachment begins and ends.
fn large(size: usize) -> (Vec<u8>, std::ops::Range<usize>) {
    let head = "From: <a@elsewhere.example>\r\nMessage-ID: <large@elsewhere.example>\r\nSubject: large\r\nMIME-Version: 1.0\r\n\
                Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n.\tsee attachment\r\n\
                --b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n";
    // Longer than what a compressor looks back.
    let text = data_encoding::BASE64.encode(&noise(57 << 16));
    let mut block = Vec::with_capacity(text.len() / 76 * 78);
    for line in text.as_bytes().chunks(76) {
        block.extend_from_slice(line);
        block.extend_from_slice(b"\r\n");
    }
    let mut message = head.as_bytes().to_vec();
    while message.len() + block.len() < size {
        message.extend_from_slice(&block);
    }
    let end = message.len() - 2;
    message.extend_from_slice(b"--b--\r\n");
    (message, head.len()..end)
}

/// With a dot before each line that begins with one.
pub fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut content = Vec::with_capacity(message.len() + 16);
    let mut rest = message;
    if rest.starts_with(b".") {
        content.push(b'.');
    }
    while let Some(at) = memchr::memmem::find(rest, b"\r\n.") {
        content.extend_from_slice(&rest[..at + 2]);
        content.push(b'.');
        rest = &rest[at + 2..];
    }
    content.extend_from_slice(rest);
    content
}

fn section(client: &mut Client, n: usize, section: &str) -> Vec<u8> {
    let mut lines = client.ok(&format!("FETCH {n} ({section})"));
    let line = lines.iter_mut().find(|line| line.text.contains(" FETCH (")).unwrap();
    if line.literals.is_empty() {
        assert!(line.text.contains("\"\""), "{}", line.text);
        return Vec::new();
    }
    line.literals.remove(0)
}

#[test]
fn eight_megabytes_come_in_by_every_way_and_go_out_whole_and_in_pieces() {
    in_and_out(8 << 20);
}

#[test]
#[ignore = "takes more than a minute without optimisation"]
fn fifty_megabytes_come_in_by_every_way_and_go_out_whole_and_in_pieces() {
    in_and_out(50 << 20);
}

fn in_and_out(size: usize) {
    let server = Options::bench().start();
    let watch = Watch::begin(&server);
    let (message, attachment) = large(size);
    let mut client = victim(&server);
    client.ok("SELECT INBOX");
    let mut begun = Instant::now();
    let mut lap = |what: &str| println!("{what}: {:?}", std::mem::replace(&mut begun, Instant::now()).elapsed());

    client.append("INBOX", &message);
    lap("APPEND");
    server.smtp().deliver("a@elsewhere.example", &["ua@example.test"], &message);
    lap("BDAT");
    let mut content = stuffed(&message);
    content.truncate(content.len() - 2);
    let reply = server.smtp().data("b@elsewhere.example", "ua@example.test", &content);
    assert!(reply.starts_with("250"), "{reply}");
    lap("DATA");
    wait_until("all three are there", || client.count("INBOX") == 3);
    client.ok("NOOP");

    assert!(section(&mut client, 1, "BODY.PEEK[]") == message, "by APPEND");
    lap("FETCH");
    for n in [2, 3] {
        let came = section(&mut client, n, "BODY.PEEK[]");
        assert!(without_trace(&came) == message, "by SMTP, message {n}");
    }
    assert!(section(&mut client, 1, "BODY.PEEK[2]") == message[attachment.clone()], "the attachment");
    lap("sections");
    for first in
        [0, 1, attachment.start - 1, (1 << 20) - 3, message.len() / 2 + 1, message.len() - 100_000, message.len()]
    {
        let last = (first + 300_000).min(message.len());
        let piece = section(&mut client, 1, &format!("BODY.PEEK[]<{first}.300000>"));
        assert!(piece == message[first..last], "from {first}");
        let last = (first + 70_000).min(attachment.len());
        let piece = section(&mut client, 1, &format!("BODY.PEEK[2]<{first}.70000>"));
        assert!(piece == message[attachment.clone()][first.min(last)..last], "of the attachment from {first}");
    }
    assert_eq!(section(&mut client, 1, "BODY.PEEK[]<99999999999.5>"), b"");
    lap("pieces");
    let found = client.ok("SEARCH TEXT \"see attachment\"");
    assert!(crate::harness::imap::says(&found, "* SEARCH 1 2 3"), "{found:?}");
    lap("SEARCH");
    watch.end();
}

#[test]
fn a_message_over_the_limit_is_refused_with_a_reason_and_the_session_goes_on() {
    let server = Options::bench().start();
    let watch = Watch::begin(&server);
    let mut smtp = server.smtp();
    let said = smtp.run("MAIL FROM:<a@elsewhere.example> SIZE=200000000");
    assert!(said.starts_with("552"), "{said}");
    let mut client = victim(&server);
    let tag = client.start("APPEND INBOX {104857601}");
    let said = client.finish(&tag);
    assert!(super::answer(&said).starts_with("NO [TOOBIG]"), "{said:?}");
    // Sent without asking: read out and refused.
    let over = vec![b'x'; 105 << 20];
    let tag = client.start_append("INBOX", &over);
    let said = client.finish(&tag);
    assert!(super::answer(&said).starts_with("NO [TOOBIG]"), "{said:?}");
    assert_eq!(client.count("INBOX"), 0);
    watch.end();
}
