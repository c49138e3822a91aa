//! A shard that cannot be reached: everybody is told to come again, nobody that he does not exist or typed a wrong password.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::harness::imap::{Client, Line};
use crate::harness::smtp;
use crate::harness::{Options, Server, wait_until};

const ANN: &str = "ua@example.test";
/// 20 s are waited for the shard, and a busy machine takes its time.
const TOLD_WITHIN: Duration = Duration::from_secs(40);
const MESSAGE: &[u8] = b"Subject: one\r\n\r\none\r\n";

/// From now on nothing passes between front ends and the shard, and nothing is refused either; or all is well again.
fn away(server: &Server, is_away: bool) {
    for name in ["secondary-imap-0", "secondary-mx-0"] {
        server.networks[name].stall(is_away);
        server.networks[name].cut();
    }
}

fn answer(lines: &[Line]) -> &str {
    lines.last().unwrap().text.split_once(' ').unwrap().1
}

fn connect(server: &Server) -> Client {
    Client::connect(server.outside()["imap-plain"])
}

fn mx(server: &Server) -> smtp::Client {
    smtp::Client::connect(server.outside()["mx"])
}

/// The reply to a whole message, or to the first line that was refused.
fn deliver(mx: &mut smtp::Client, to: &str) -> String {
    mx.try_deliver("a@elsewhere.example", &[to], MESSAGE).expect("the connection stays")
}

/// What a client asks, and the beginning of what it is to be told when the shard is there.
fn cases(server: &Server) -> Vec<(Client, &'static str, &'static str)> {
    let session = || {
        let mut client = connect(server);
        client.ok(&format!("LOGIN {ANN} pass"));
        client
    };
    let mut selected = session();
    selected.append("INBOX", MESSAGE);
    selected.ok("SELECT INBOX");
    let mut other = session();
    other.ok("SELECT INBOX");
    vec![
        (selected, "FETCH 1 (BODY.PEEK[])", "OK"),
        (other, "STORE 1 +FLAGS (\\Flagged)", "OK"),
        (session(), "SELECT INBOX", "OK [READ-WRITE]"),
        (session(), "STATUS INBOX (MESSAGES)", "OK"),
        (session(), "CREATE later", "OK"),
        (session(), "APPEND INBOX {21+}\r\nSubject: one\r\n\r\none\r\n", "OK [APPENDUID"),
        (connect(server), "LOGIN ua@example.test pass", "OK"),
        // Nothing is said of what only the shard knows.
        (connect(server), "LOGIN ua@example.test wrong", "NO [AUTHENTICATIONFAILED]"),
        (connect(server), "LOGIN nobody@example.test pass", "NO [AUTHENTICATIONFAILED]"),
    ]
}

#[test]
fn who_asks_while_the_shard_is_away_is_told_to_come_again_and_served_when_it_is_back() {
    let server = Options::bench().network().start();
    let clients = cases(&server);
    let mut sender = mx(&server);
    assert!(deliver(&mut sender, ANN).starts_with("250"));
    away(&server, true);
    let begun = Instant::now();
    let clients: Vec<_> = std::thread::scope(|threads| {
        let asking = |(mut client, command, then): (Client, &'static str, &'static str)| {
            threads.spawn(move || {
                let said = client.run(command);
                assert!(answer(&said).starts_with("NO [UNAVAILABLE]"), "{command}: {said:?}");
                assert!(begun.elapsed() < TOLD_WITHIN, "{command}: {:?}", begun.elapsed());
                (client, command, then)
            })
        };
        let asking: Vec<_> = clients.into_iter().map(asking).collect();
        // The map of addresses is at hand, so the recipient is known; the message is not taken. Mail servers have time: first
        // it is waited until the shard knows that its answer to the message before was read.
        let said = deliver(&mut sender, ANN);
        assert!(said.starts_with("451"), "a message: {said}");
        asking.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    away(&server, false);
    for (mut client, command, then) in clients {
        let said = client.run(command);
        assert!(answer(&said).starts_with(then), "{command}, when the shard is back: {said:?}");
    }
    assert!(sender.run("RSET").starts_with("250"));
    assert!(deliver(&mut sender, ANN).starts_with("250"));
}

#[test]
fn front_ends_that_have_never_seen_the_shard_refuse_nobody_for_good() {
    let server = Options::bench().network().start();
    let outside = server.outside();
    let (imap, mx) = (|| Client::connect(outside["imap-plain"]), || smtp::Client::connect(outside["mx"]));
    away(&server, true);
    for name in ["secondary-imap-0", "secondary-mx-0"] {
        server.kill(name);
    }
    for name in ["imap-plain", "mx"] {
        let direct = || server.faults.where_listens(name).is_some_and(|address| TcpStream::connect(address).is_ok());
        wait_until("it listens again", direct);
    }
    for login in ["ua@example.test pass", "ua@example.test wrong", "nobody@example.test pass"] {
        let said = imap().run(&format!("LOGIN {login}"));
        assert!(answer(&said).starts_with("NO [UNAVAILABLE]"), "LOGIN {login}: {said:?}");
    }
    for to in [ANN, "nobody@example.test"] {
        let said = deliver(&mut mx(), to);
        assert!(said.starts_with("451"), "{to}: {said}");
    }
    away(&server, false);
    wait_until("mail is taken again", || deliver(&mut mx(), ANN).starts_with("250"));
    assert!(deliver(&mut mx(), "nobody@example.test").starts_with("550"));
    let said = imap().run("LOGIN nobody@example.test pass");
    assert!(answer(&said).starts_with("NO [AUTHENTICATIONFAILED]"), "{said:?}");
    imap().ok("LOGIN ua@example.test pass");
}
