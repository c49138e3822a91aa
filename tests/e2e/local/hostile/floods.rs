//! Pipelines without end, and clients that never read.

use std::io::Write;
use std::net::TcpStream;

use super::watch::Watch;
use super::{answer, message, noise, victim};
use crate::harness::imap::Client;
use crate::harness::{Options, wait_until};

/// Sends while the caller reads.
fn send(mut stream: TcpStream, bytes: Vec<u8>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || stream.write_all(&bytes).unwrap())
}

#[test]
fn ten_thousand_imap_commands_in_one_go_are_answered_in_order() {
    let server = Options::bench().start();
    let watch = Watch::begin(&server);
    let mut client = victim(&server);
    client.append("INBOX", &message("p"));
    client.ok("SELECT INBOX");
    let command = |n: usize| match n % 5 {
        0 => "NOOP",
        1 => "FETCH 1 (FLAGS ENVELOPE BODY.PEEK[])",
        2 => "SEARCH ALL",
        3 => "STATUS INBOX (MESSAGES)",
        _ => "CAPABILITY",
    };
    let all: Vec<String> = (0..10_000).map(|n| format!("p{n} {}\r\n", command(n))).collect();
    let sending = send(client.sender(), all.concat().into_bytes());
    for n in 0..10_000 {
        let lines = client.finish(&format!("p{n}"));
        assert!(answer(&lines).starts_with("OK"), "{lines:?}");
    }
    sending.join().unwrap();
    watch.end();
}

#[test]
fn ten_thousand_smtp_commands_in_one_go_are_answered_in_order() {
    let server = Options::bench().start();
    let watch = Watch::begin(&server);
    let mut smtp = server.smtp();
    let round = "MAIL FROM:<a@elsewhere.example>\r\nRCPT TO:<ua@example.test>\r\nVRFY ua\r\nNOOP\r\nRSET\r\n";
    let sending = send(smtp.sender(), round.repeat(2000).into_bytes());
    for n in 0..10_000 {
        let reply = smtp.reply().unwrap();
        let expected = if n % 5 == 2 { "252" } else { "250" };
        assert!(reply.starts_with(expected), "{n}: {reply}");
    }
    sending.join().unwrap();
    // Mail in one go too: each message is stored before the next one is looked at.
    let body = message("piped");
    let head =
        format!("MAIL FROM:<a@elsewhere.example>\r\nRCPT TO:<ua@example.test>\r\nBDAT {} LAST\r\n", body.len() + 10);
    let all: Vec<u8> =
        (0..200).flat_map(|n| [head.as_bytes(), format!("X-N: {n:03}\r\n").as_bytes(), &body].concat()).collect();
    let sending = send(smtp.sender(), all);
    for n in 0..600 {
        let reply = smtp.reply().unwrap();
        assert!(reply.starts_with("250"), "{n}: {reply}");
    }
    sending.join().unwrap();
    let mut client = victim(&server);
    wait_until("all mail is there", || client.count("INBOX") == 200);
    // And without end: there is one.
    let sending = std::thread::spawn({
        let mut stream = smtp.sender();
        move || drop(stream.write_all(&b"NOOP\r\n".repeat(50_000)))
    });
    let last = std::iter::from_fn(|| smtp.reply()).find(|reply| !reply.starts_with("250")).unwrap_or_default();
    assert!(last.starts_with("421"), "{last}");
    sending.join().unwrap();
    watch.end();
}

#[test]
fn a_hundred_clients_that_never_read_cost_little_and_disturb_nobody() {
    let server = Options::bench().start();
    let mut client = victim(&server);
    let body = data_encoding::BASE64.encode(&noise(6 << 20));
    let large = [message("large"), body.into_bytes(), b"\r\n".to_vec()].concat();
    client.append("INBOX", &large);
    client.append("INBOX", &large[..200_000]);
    client.ok("SELECT INBOX");
    let watch = Watch::begin(&server);
    let endpoint = server.endpoint("imap-plain");
    let mx = server.endpoint("mx");
    let mut silent: Vec<Client> = Vec::new();
    for n in 0..80 {
        let mut stuck = Client::connect(endpoint);
        stuck.send(b"a LOGIN ua@example.test pass\r\nb SELECT INBOX\r\n");
        let ask = if n % 2 == 0 { "FETCH 1 (BODY.PEEK[])\r\n" } else { "FETCH 2 (BODY.PEEK[])\r\n" };
        stuck.send(format!("c {ask}").repeat(50).as_bytes());
        silent.push(stuck);
    }
    // At the MX answers pile up; commands that are not read are not taken.
    let mut piling = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(mx).unwrap();
        stream.set_nonblocking(true).unwrap();
        let _ = stream.write(&b"VRFY x\r\n".repeat(100_000));
        piling.push(stream);
    }
    // The same mailbox and the same MX serve others meanwhile.
    for n in 0..10 {
        server.smtp().deliver("a@elsewhere.example", &["ua@example.test"], &message(&format!("beside{n}")));
        wait_until("mail arrives", || client.count("INBOX") == 3 + n);
        let mut other = victim(&server);
        other.ok("SELECT INBOX");
        assert!(other.bodies()[0] == large);
    }
    drop((silent, piling));
    // What they held is given back: new ones get the same.
    let mut other = victim(&server);
    other.ok("SELECT INBOX");
    assert_eq!(other.bodies().len(), 12);
    watch.end();
}
