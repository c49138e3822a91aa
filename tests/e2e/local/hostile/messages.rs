//! Messages of every wrong shape.

use std::time::{Duration, Instant};

use super::watch::Watch;
use super::{answer, victim};
use crate::corpus::without_trace;
use crate::harness::{Options, wait_until};

/// Longest time for anything asked about one message of this kind, in an unoptimised build on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

struct Odd {
    name: &'static str,
    bytes: Vec<u8>,
    /// Taken by APPEND, by BDAT, by DATA.
    append: bool,
    bdat: bool,
    data: bool,
}

fn odd(name: &'static str, bytes: impl Into<Vec<u8>>) -> Odd {
    let mut bytes = format!("X-Name: {name}\r\n").into_bytes().into_iter().chain(bytes.into()).collect::<Vec<u8>>();
    if !bytes.ends_with(b"\r\n") {
        bytes.extend_from_slice(b"\r\n");
    }
    Odd { name, bytes, append: true, bdat: true, data: true }
}

/// With a NUL: refused, IMAP could not send it. With a bare CR or LF: refused by DATA only, the others say where the message
/// ends.
fn with_nul(name: &'static str, bytes: &[u8]) -> Odd {
    Odd { append: false, bdat: false, data: false, ..odd(name, bytes) }
}

fn with_bare(name: &'static str, bytes: &[u8]) -> Odd {
    Odd { data: false, ..odd(name, bytes) }
}

fn every_octet() -> Vec<u8> {
    let mut bytes = b"Subject: ".to_vec();
    bytes.extend((1..=255).filter(|b| !matches!(b, b'\r' | b'\n')));
    bytes.extend_from_slice(b"\r\n\r\n");
    bytes.extend((1..=255).filter(|b| !matches!(b, b'\r' | b'\n')));
    bytes
}

fn many_parts() -> String {
    let part = "--b\r\nContent-Type: text/plain\r\n\r\npart\r\n";
    format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{}--b--\r\n", part.repeat(10_000))
}

fn nested(depth: usize) -> String {
    let open = |n: usize| format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n");
    let close = |n: usize| format!("\r\n--b{n}--\r\n");
    let inner = "Content-Type: text/plain\r\n\r\ninnermost\r\n";
    (0..depth).map(open).chain([inner.to_owned()]).chain((0..depth).rev().map(close)).collect()
}

fn odd_messages() -> Vec<Odd> {
    let words = |n: usize, word: &str| word.repeat(n);
    vec![
        with_nul("nul-in-header", b"Subject: a\0b\r\n\r\nx"),
        with_nul("nul-in-body", b"Subject: n\r\n\r\na\0b\r\n"),
        with_bare("bare-lf-in-body", b"Subject: lf\r\n\r\none\ntwo\n\n.\nthree"),
        with_bare("bare-cr-in-body", b"Subject: cr\r\n\r\none\rtwo\r\r\n.\r.\rthree"),
        with_bare("lf-only", b"Subject: all lf\nTo: x@y\n\nbody\n"),
        odd("8-bit-header", b"Subject: caf\xe9 \xff\xfe\r\nFrom: J\xf6rg <j@x.example>\r\n\r\nna\xefve\r\n".to_vec()),
        odd("utf-8-header", "Subject: 日本語 🦭\r\nFrom: Jörg <jörg@münchen.example>\r\n\r\nx\r\n".as_bytes().to_vec()),
        odd("every-octet", every_octet()),
        odd("no-body", b"Subject: none\r\n".to_vec()),
        odd("empty-body", b"Subject: empty\r\n\r\n".to_vec()),
        odd("no-colon", b"this is no header\r\nnor this\r\n\r\nbody\r\n".to_vec()),
        odd("only-blanks", b" \r\n\t\r\n \r\n\r\n".to_vec()),
        odd("dots", b"Subject: dots\r\n\r\n.\t\r\n..\r\n...\r\n. \r\n.x\r\n".to_vec()),
        odd("megabyte-header-line", format!("Subject: {}\r\n\r\nx\r\n", words(1 << 20, "x"))),
        odd("megabyte-folded", format!("Subject: x{}\r\n\r\nx\r\n", words(1 << 18, "\r\n y"))),
        odd("long-body-line", format!("Subject: l\r\n\r\n{}\r\n", words(3 << 20, "y"))),
        odd("many-fields", words(50_000, "X-F: 1\r\n") + "\r\nx\r\n"),
        odd("many-addresses", format!("To: {}z@x\r\n\r\nx\r\n", words(20_000, "a@b.example, "))),
        odd("open-comments", format!("To: {}\r\nSubject: c\r\n\r\nx\r\n", words(100_000, "("))),
        odd(
            "open-quotes",
            format!("To: {}\r\nContent-Type: {}\r\n\r\nx\r\n", words(50_001, "\""), words(50_001, "a;\"")),
        ),
        odd("many-parameters", format!("Content-Type: text/plain{}\r\n\r\nx\r\n", words(20_000, "; a=b"))),
        odd("many-encoded-words", format!("Subject: {}\r\n\r\nx\r\n", words(20_000, "=?utf-8?q?=41?= "))),
        odd("parts-10000", many_parts()),
        odd("nested-1000", nested(1000)),
        odd("messages-in-messages", words(1000, "Content-Type: message/rfc822\r\n\r\n") + "Subject: deep\r\n\r\nx\r\n"),
        odd(
            "boundary-never-closed",
            format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{}", words(20_000, "--b\r\n")),
        ),
        odd("bad-encodings", "Content-Transfer-Encoding: base64\r\n\r\n====!!!!\r\nQQ=A\r\n=".to_owned()),
        odd("bad-charset", "Content-Type: text/plain; charset=\"x-\u{fffd}\"\r\n\r\n\u{fffd}\r\n".to_owned()),
    ]
}

#[test]
fn a_message_of_any_shape_comes_out_as_it_went_in_or_is_refused_with_a_reason() {
    let server = Options::bench().start();
    let watch = Watch::begin(&server);
    let mut stored = victim(&server);
    stored.ok("SELECT INBOX");
    let mut count = 0;
    for odd in odd_messages() {
        let begun = Instant::now();
        let tag = stored.start_append("INBOX", &odd.bytes);
        let said = stored.finish(&tag);
        assert_eq!(answer(&said).starts_with("OK"), odd.append, "{} by APPEND: {said:?}", odd.name);
        if odd.append {
            count += 1;
            assert!(asked_everything(&mut stored, count) == odd.bytes, "{}: by APPEND", odd.name);
        }
        count += usize::from(by_bdat(&server, &odd));
        count += usize::from(by_data(&server, &odd));
        wait_until("it is there", || stored.count("INBOX") == count);
        for n in count + 1 - usize::from(odd.bdat) - usize::from(odd.data)..=count {
            let came = asked_everything(&mut stored, n);
            assert!(without_trace(&came) == odd.bytes, "{}: by SMTP", odd.name);
        }
        println!("{}: {:?}", odd.name, begun.elapsed());
        assert!(begun.elapsed() < PATIENCE, "{} took {:?}", odd.name, begun.elapsed());
    }
    watch.end();
}

fn by_bdat(server: &crate::harness::Server, odd: &Odd) -> bool {
    let reply = server.smtp().try_deliver("a@elsewhere.example", &["ua@example.test"], &odd.bytes).unwrap();
    assert_eq!(reply.starts_with("250"), odd.bdat, "{} by BDAT: {reply}", odd.name);
    assert!(odd.bdat || (reply.starts_with('5') && reply.len() > 10), "{}: {reply}", odd.name);
    odd.bdat
}

fn by_data(server: &crate::harness::Server, odd: &Odd) -> bool {
    let mut content = super::large::stuffed(&odd.bytes);
    content.truncate(content.len() - 2);
    // The same bytes again on another connection would be taken for a retry.
    let reply = server.smtp().data("b@elsewhere.example", "ua@example.test", &content);
    assert_eq!(reply.starts_with("250"), odd.data, "{} by DATA: {reply}", odd.name);
    assert!(odd.data || (reply.starts_with('5') && reply.len() > 10), "{}: {reply}", odd.name);
    odd.data
}

/// Everything a client can ask about the message; returns its bytes.
fn asked_everything(client: &mut crate::harness::imap::Client, n: usize) -> Vec<u8> {
    let deep = vec!["1"; 100].join(".");
    client.ok("NOOP");
    client.ok(&format!(
        "FETCH {n} (FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY BODYSTRUCTURE BODY.PEEK[HEADER] BODY.PEEK[TEXT] BODY.PEEK[1] \
         BODY.PEEK[1.MIME] BODY.PEEK[9999] BODY.PEEK[{deep}] BODY.PEEK[HEADER.FIELDS (Subject To)] \
         BODY.PEEK[HEADER.FIELDS.NOT (X-F)] BODY.PEEK[]<5.70000>)"
    ));
    let found = client.ok(&format!("SEARCH {n} NOT TEXT \"such a text is in no message\" HEADER X-NAME \"\""));
    assert!(crate::harness::imap::says(&found, &format!("* SEARCH {n}")), "{found:?}");
    let mut lines = client.ok(&format!("FETCH {n} (BODY.PEEK[])"));
    assert!(answer(&lines).starts_with("OK"));
    let line = lines.iter_mut().find(|line| !line.literals.is_empty()).expect("the message");
    line.literals.remove(0)
}
