//! IMAP commands that nobody needs.

use std::time::{Duration, Instant};

use super::watch::Watch;
use super::{answer, message, noise, victim};
use crate::harness::Options;
use crate::harness::imap::{Client, says};

/// Longest time for the answer to any of them, in an unoptimised build on a busy machine.
const PATIENCE: Duration = Duration::from_secs(15);

/// The answer to bytes sent as they are, by that tag.
fn raw(client: &mut Client, tag: &str, bytes: &[u8]) -> String {
    client.send(bytes);
    let lines = client.finish(tag);
    answer(&lines).to_owned()
}

#[test]
fn broken_literals_are_refused_and_their_octets_are_never_commands() {
    let server = Options::bench().start();
    let watch = Watch::begin(&server);
    let mut client = Client::connect(server.endpoint("imap-plain"));
    // Before login little is taken.
    let many = [b"a LOGIN {9000+}\r\n".as_slice(), &vec![b'x'; 9000], b" b\r\n"].concat();
    assert!(raw(&mut client, "a", &many).starts_with("NO [TOOBIG]"));
    assert!(raw(&mut client, "a", b"a LOGIN {99999999}\r\n").starts_with("NO [TOOBIG]"), "no octets are asked for");

    let mut client = victim(&server);
    for broken in ["{", "{}", "{+}", "{-1}", "{5", "{5-}", "{99999999999999999999}", "{1 }", "{0x5+}", "{5}\""] {
        let said = raw(&mut client, "b", format!("b CREATE x{broken}\r\n").as_bytes());
        assert!(said.starts_with("BAD"), "{broken}: {said}");
        client.ok("NOOP");
    }
    // Octets that look like commands; the last literal is over the limit.
    let inside = b"x\r\nc LOGOUT\r\n";
    let mut two = b"c STATUS {13+}\r\n".to_vec();
    two.extend_from_slice(inside);
    two.extend_from_slice(b" (MESSAGES)\r\n");
    let said = raw(&mut client, "c", &two);
    assert!(said.starts_with("NO") || said.starts_with("BAD"), "{said}");
    let mut over = b"d CREATE {2000000+}\r\n".to_vec();
    over.extend(b"e LOGOUT\r\n".repeat(200_000));
    over.extend_from_slice(b"\r\n");
    assert!(raw(&mut client, "d", &over).starts_with("NO [TOOBIG]"));
    client.ok("NOOP");
    // A literal in a literal's announcement, an empty message, two messages, a NUL in a name.
    assert!(raw(&mut client, "f", b"f APPEND {5+}\r\nINBOX {0+}\r\n\r\n").starts_with("NO"));
    let said = raw(&mut client, "g", b"g APPEND INBOX {5+}\r\nabcd\n {3+}\r\nxyz\r\n");
    assert!(said.starts_with("BAD"), "{said}");
    let said = raw(&mut client, "h", b"h CREATE {3+}\r\na\0b\r\n");
    assert!(said.starts_with("NO") || said.starts_with("BAD"), "{said}");
    assert_eq!(client.count("INBOX"), 0, "nothing was stored");
    // Far too large to be read out: the connection ends with a reason.
    client.send(b"i APPEND INBOX {999999999999999999+}\r\n");
    assert!(client.line().text.starts_with("* BYE [TOOBIG]"));
    assert_eq!(client.try_line(), None);
    watch.end();
}

#[test]
fn noise_instead_of_commands_ends_in_bye() {
    let server = Options::bench().start();
    let watch = Watch::begin(&server);
    let mut client = victim(&server);
    client.send(&[b"a NOOP ", vec![b'x'; 70_000].as_slice(), b"\r\n"].concat());
    assert!(client.wait_for("BYE").text.starts_with("* BYE [TOOBIG]"));
    // What it sends after that does not keep it from seeing why it is sent away.
    let mut client = victim(&server);
    client.send(&b"\r\n".repeat(100_000));
    client.wait_for("BYE");
    for seed in 1..20 {
        let mut client = Client::connect(server.endpoint("imap-plain"));
        let bytes = noise(seed * 1000);
        let bytes: Vec<u8> = bytes.into_iter().filter(|b| *b != b'{').collect();
        client.send(&[bytes.as_slice(), b"\r\nz LOGOUT\r\n"].concat());
        client.wait_for("BYE");
    }
    watch.end();
}

#[test]
fn fifty_eight_keywords_fit_and_the_next_is_refused() {
    let server = Options::bench().start();
    let watch = Watch::begin(&server);
    let mut client = victim(&server);
    client.append("INBOX", &message("k"));
    client.ok("SELECT INBOX");
    let names: Vec<String> = (1..=58).map(|n| format!("Keyword{n}")).collect();
    client.ok(&format!("STORE 1 +FLAGS ({})", names.join(" ")));
    let refused = client.run("STORE 1 +FLAGS (Keyword59)");
    assert!(answer(&refused).starts_with("NO [LIMIT]"), "{refused:?}");
    let refused = client.run(&format!("STORE 1 +FLAGS ({})", "k".repeat(5000)));
    assert!(answer(&refused).starts_with("NO"), "{refused:?}");
    client.ok("STORE 1 +FLAGS (keyword7 \\Seen)");
    let flags = client.ok("FETCH 1 (FLAGS)");
    assert!(names.iter().all(|name| says(&flags, name)) && !says(&flags, "Keyword59"), "{flags:?}");
    let tag = client.start_append("INBOX", &message("l"));
    assert!(answer(&client.finish(&tag)).starts_with("OK"));
    watch.end();
}

#[test]
fn searches_and_fetches_without_measure_are_bounded() {
    let server = Options::bench().start();
    let watch = Watch::begin(&server);
    let mut client = victim(&server);
    let body = data_encoding::BASE64.encode(&noise(150_000));
    let large = [message("one"), body.into_bytes(), b"\r\n".to_vec()].concat();
    client.append("INBOX", &large);
    for n in 0..3 {
        client.append("INBOX", &message(&format!("m{n}")));
    }
    client.ok("SELECT INBOX");
    let mut within = |command: &str, expected: &str| {
        let begun = Instant::now();
        let lines = client.run(command);
        let (took, shown) = (begun.elapsed(), &command[..command.len().min(60)]);
        assert!(answer(&lines).starts_with(expected), "{shown}: {}", answer(&lines));
        assert!(took < PATIENCE, "{shown} took {took:?}");
        lines
    };
    within(&format!("SEARCH {}ALL", "NOT ".repeat(1000)), "BAD");
    within(&format!("SEARCH {}ALL{}", "(".repeat(1000), ")".repeat(1000)), "BAD");
    within(&format!("SEARCH {}ALL", "OR ALL ".repeat(1000)), "BAD");
    assert!(says(&within(&format!("SEARCH {}ALL", "NOT ".repeat(60)), "OK"), "* SEARCH 1 2 3 4"));
    within(&format!("SEARCH {}ALL", "TEXT \"not in it\" ".repeat(3000)), "OK");
    within(&format!("SEARCH {}ALL", "OR BODY a ".repeat(60)), "OK");

    // A thousand pieces of one message, then a thousand times the whole.
    let pieces: Vec<String> = (0..1000).map(|n| format!("BODY.PEEK[]<{n}.50>")).collect();
    let lines = within(&format!("FETCH 1 ({})", pieces.join(" ")), "OK");
    let line = lines.iter().find(|line| !line.literals.is_empty()).unwrap();
    assert_eq!(line.literals.len(), 1000);
    assert!(line.literals.iter().enumerate().all(|(n, piece)| piece == &large[n..n + 50]));
    let lines = within(&format!("FETCH 1 ({})", vec!["BODY.PEEK[]"; 1000].join(" ")), "OK");
    let line = lines.iter().find(|line| !line.literals.is_empty()).unwrap();
    assert!(line.literals.len() == 1000 && line.literals.iter().all(|whole| whole == &large));
    within(&format!("FETCH 1:4 ({})", vec!["ENVELOPE BODYSTRUCTURE"; 2000].join(" ")), "OK");

    for (set, expected) in [
        ("0", "BAD"),
        ("4294967296", "BAD"),
        ("1,", "BAD"),
        ("1:", "BAD"),
        (":", "BAD"),
        ("5", "BAD"),
        ("1:4294967295", "OK"),
        ("*:*", "OK"),
        ("4:1,1:4,*:1", "OK"),
    ] {
        within(&format!("FETCH {set} (UID)"), expected);
    }
    let absurd = ["1:*", "*:1", "4294967295:1", "3,2,1"].repeat(2000).join(",");
    let lines = within(&format!("UID FETCH {absurd} (FLAGS)"), "OK");
    assert_eq!(lines.iter().filter(|line| line.text.contains(" FETCH (")).count(), 4, "each message once");
    within(&format!("UID COPY {absurd} INBOX"), "OK");
    assert!(says(&within(&format!("SEARCH UID {absurd}"), "OK"), "* SEARCH 1 2 3 4 5 6 7 8"));
    watch.end();
}

#[test]
fn a_set_of_many_holes_named_thousands_of_times_takes_little_memory() {
    let server = Options::bench().start();
    let mut client = victim(&server);
    // Every other message goes, so that the set of the rest has no two neighbours.
    let mut sender = client.sender();
    let sending = std::thread::spawn(move || {
        let body = message("h");
        let mut all = Vec::new();
        for n in 0..4000 {
            all.extend(format!("h{n} APPEND INBOX {{{}+}}\r\n", body.len()).into_bytes());
            all.extend_from_slice(&body);
            all.extend_from_slice(b"\r\n");
        }
        std::io::Write::write_all(&mut sender, &all).unwrap();
    });
    client.finish("h3999");
    sending.join().unwrap();
    client.ok("SELECT INBOX");
    let odd: Vec<String> = (0..2000).map(|n| (2 * n + 1).to_string()).collect();
    client.ok(&format!("STORE {} +FLAGS.SILENT (\\Deleted)", odd.join(",")));
    client.ok("EXPUNGE");
    let watch = Watch::begin(&server);
    let begun = Instant::now();
    for key in ["1:* ", "UID 1:* ", "NOT 2:* ", "NOT UID 1:999999 "] {
        let lines = client.run(&format!("SEARCH {}ALL", key.repeat(60_000 / key.len())));
        assert!(["OK", "NO"].contains(&answer(&lines).split(' ').next().unwrap()), "{:?}", lines.last());
        client.ok("NOOP");
    }
    println!("took {:?}", begun.elapsed());
    assert!(begun.elapsed() < PATIENCE);
    let peaks = watch.peaks();
    assert!(peaks.values().all(|peak| *peak < 300), "{peaks:?}");
    watch.end();
}
