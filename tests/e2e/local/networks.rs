//! Bad networks between processes, and processes that stand still: commands wait, nothing is said twice, bytes stay.

use std::time::{Duration, Instant};

use crate::harness::imap::{Client, says};
use crate::harness::{Options, Server, signal, wait_until};

const ANN: &str = "ua@example.test";

fn large() -> Vec<u8> {
    let mut message = b"Subject: large\r\n\r\n".to_vec();
    for n in 0..100_000_u32 {
        message.extend_from_slice(format!("line {n:08} {:08x}\r\n", n.wrapping_mul(2_654_435_761)).as_bytes());
    }
    message
}

fn login(server: &Server) -> Client {
    let address = server.outside()["imap-plain"];
    let mut client = Client::connect(address);
    client.ok(&format!("LOGIN {ANN} pass"));
    client
}

#[test]
fn a_fetch_over_a_wire_that_is_cut_again_and_again_comes_byte_exact() {
    let server = Options::bench().network().start();
    let mut imap = login(&server);
    let message = large();
    imap.append("INBOX", &message);
    imap.ok("SELECT INBOX");
    let wire = &server.networks["secondary-imap-0"];
    for octets in [1_000, 60_000, 300_000, 1_000_000] {
        wire.cut_after(octets);
        let before = wire.passed();
        assert_eq!(imap.bodies(), [message.as_slice()], "cut after {octets}");
        assert!(wire.passed() > before);
    }
    imap.append("INBOX", b"Subject: small\r\n\r\n");
    for octets in [10, 100, 1000] {
        wire.cut_after(octets);
        imap.append("INBOX", format!("Subject: {octets}\r\n\r\n").as_bytes());
    }
    assert_eq!(imap.count("INBOX"), 5, "each append once");
}

#[test]
fn a_half_open_wire_delays_commands_and_ends_nothing() {
    let server = Options::bench().network().start();
    let mut imap = login(&server);
    imap.append("INBOX", b"Subject: one\r\n\r\n");
    imap.ok("SELECT INBOX");
    let wire = &server.networks["secondary-imap-0"];
    // What is sent now stays on its way for ever: the link is given up when nothing has come for a while.
    wire.strand();
    let tag = imap.start("UID STORE 1 +FLAGS (\\Seen)");
    let started = Instant::now();
    assert!(says(&imap.finish(&tag), "\\Seen"));
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_slow_network_slows_and_breaks_nothing() {
    let server = Options::bench().network().start();
    for network in server.networks.values() {
        network.delay(Duration::from_millis(20));
    }
    let mut imap = login(&server);
    for n in 0..10 {
        imap.append("INBOX", format!("Subject: {n}\r\n\r\n").as_bytes());
    }
    imap.ok("SELECT INBOX");
    assert_eq!(imap.bodies().len(), 10);
}

#[test]
fn processes_that_stand_still_go_on_where_they_were() {
    let server = Options::bench().network().start();
    let mut imap = login(&server);
    imap.append("INBOX", b"Subject: one\r\n\r\n");
    imap.ok("SELECT INBOX");
    for name in ["primary-0", "secondary-imap-0"] {
        let pid = server.pid(name).unwrap();
        signal(pid, "STOP");
        let tag = imap.start("NOOP");
        let mut smtp = (name == "primary-0").then(|| server.smtp());
        // How long it stands still: longer than a ping may take, shorter than a link is waited for.
        std::thread::sleep(Duration::from_secs(2));
        signal(pid, "CONT");
        assert!(imap.finish(&tag).last().unwrap().text.contains(" OK "), "{name}");
        if let Some(smtp) = &mut smtp {
            let message = b"Message-ID: <still@elsewhere.example>\r\n\r\n";
            smtp.deliver("a@elsewhere.example", &[ANN], message);
        }
    }
    wait_until("the message came once", || imap.count("INBOX") == 2);
}

#[test]
fn a_client_whose_network_swallows_everything_holds_up_nobody() {
    let server = Options::bench().network().start();
    let mut stuck = login(&server);
    stuck.append("INBOX", &large());
    stuck.ok("SELECT INBOX");
    let outside = &server.networks["imap-plain"];
    let direct = server.endpoint("imap-plain");
    stuck.start("UID FETCH 1:* (BODY.PEEK[])");
    outside.stall(true);
    let mut other = Client::connect(direct);
    other.ok(&format!("LOGIN {ANN} pass"));
    other.ok("SELECT INBOX");
    let started = Instant::now();
    for _ in 0..20 {
        other.ok("NOOP");
        other.append("INBOX", b"Subject: quick\r\n\r\n");
    }
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    outside.stall(false);
    outside.cut();
    assert_eq!(other.count("INBOX"), 21);
}
