//! Whatever the bytes are: no panic, ranges that nest, linear time; and every input that once failed stays fixed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail by panicking")]

use proptest::prelude::*;
use sealpost_mime as mime;
use std::time::{Duration, Instant};

/// Everything the crate can do with a message, with the invariants checked.
fn exercise(raw: &[u8]) {
    let skeleton = mime::parse(raw);
    let parts = skeleton.parts();
    assert_eq!((parts[0].header, parts[0].end), (0, raw.len() as u64));
    for (index, part) in parts.iter().enumerate() {
        assert!(part.header <= part.body && part.body <= part.end && part.end <= raw.len() as u64, "{part:?}");
        if index > 0 {
            let parent = &parts[part.parent as usize];
            assert!((part.parent as usize) < index && parent.body <= part.header && part.end <= parent.end);
            assert_ne!(parent.kind, mime::Kind::Leaf);
        }
        if part.kind == mime::Kind::Message {
            assert_eq!(parts[index + 1].parent as usize, index);
        }
        if part.kind == mime::Kind::Leaf
            && let Some((layout, decoded)) = mime::Layout::decode(&raw[part.body_range()])
        {
            assert_eq!(layout.encode_range(&decoded, 0..u64::MAX), &raw[part.body_range()]);
        }
    }
    let header = &raw[skeleton.header()];
    mime::sent_date(header);
    mime::header_text(raw, &skeleton);
    assert!(mime::preview(raw, &skeleton).chars().count() <= 200);
    for rendered in [
        mime::envelope(header),
        mime::body_structure(raw, &skeleton, false),
        mime::body_structure(raw, &skeleton, true),
    ] {
        balanced(&rendered);
    }
    let mut both = mime::header_fields(header, &["subject"], false).len();
    both += mime::header_fields(header, &["subject"], true).len();
    assert!(both >= header.len());
    for text in mime::search_text(raw, &skeleton) {
        mime::fold(&text);
    }
}

/// An IMAP value: strings and parentheses close, and nothing that would break the line is outside a literal.
fn balanced(rendered: &[u8]) {
    let (mut depth, mut rest) = (0_i64, rendered);
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'(' => depth += 1,
            b')' => depth -= 1,
            b'"' => loop {
                let (&byte, after) = rest.split_first().expect("an open string");
                assert!(byte != 0 && byte < 0x80 && byte != b'\r' && byte != b'\n');
                rest = if byte == b'\\' { &after[1..] } else { after };
                if byte == b'"' {
                    break;
                }
            },
            b'{' => {
                let close = rest.iter().position(|&byte| byte == b'}').unwrap();
                let length: usize = std::str::from_utf8(&rest[..close]).unwrap().parse().unwrap();
                let literal = rest[close..].strip_prefix(b"}\r\n").unwrap();
                assert!(!literal[..length].contains(&0));
                rest = &literal[length..];
            }
            _ => assert!(byte == b' ' || byte.is_ascii_alphanumeric(), "{byte}"),
        }
        assert!(depth > 0 || rest.is_empty());
    }
    assert_eq!(depth, 0);
}

/// Pieces that, put together at random, look like mail.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let known: &[&[u8]] = &[
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b" ",
        b"--",
        b"--b",
        b"--b--",
        b"--bb\r\n",
        b"\r\n--b\r\n",
        b"\n--b--\n",
        b";",
        b"\"",
        b"(",
        b")",
        b"Content-Type: multipart/mixed; boundary=b\r\n",
        b"Content-Type: multipart/digest; boundary=\"bb\"\r\n\r\n",
        b"Content-Type: message/rfc822\r\n\r\n",
        b"Content-Type: text/html; charset=utf-16\r\n",
        b"content-type:\n",
        b"Content-Transfer-Encoding: base64\r\n",
        b"Content-Transfer-Encoding: quoted-printable\n",
        b"aGVsbG8=\r\n",
        b"=C3=\n",
        b"From: a <@x,@y:b@c>, \"d\r\n",
        b"To: g: a@b, c;",
        b"Date: Fri, 21 Nov 1997 09:55:06 -0600\r\n",
        b"Subject: =?utf-8?q?=C3?=\r\n",
        b" x*0*=utf-8''%41; x*1=b; x*9=c",
        b"Content-Disposition: attachment; filename=\"\\",
        b"<!-- <p>&#x41;</style ",
        b"\xff\xfe\xe9",
    ];
    prop_oneof![4 => proptest::sample::select(known).prop_map(<[u8]>::to_vec), 1 => proptest::collection::vec(any::<u8>(), 0..20)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_a_message(raw in proptest::collection::vec(any::<u8>(), 0..400)) {
        exercise(&raw);
    }

    #[test]
    fn pieces_of_mail_in_any_order_are_a_message(pieces in proptest::collection::vec(piece(), 0..40)) {
        exercise(&pieces.concat());
    }

    #[test]
    fn a_damaged_skeleton_breaks_nothing(raw in ".{0,60}", words in proptest::collection::vec(any::<(u8, u8, u8, u8, u8)>(), 0..6)) {
        let parts: Vec<_> = words.iter().map(|&(kind, parent, header, body, end)| (kind % 3, parent % 6, header, body, end, 0)).collect();
        let bytes = rmp_serde::to_vec(&(1_u8, parts)).unwrap();
        let skeleton: mime::Skeleton = rmp_serde::from_slice(&bytes).unwrap();
        mime::body_structure(raw.as_bytes(), &skeleton, true);
        mime::preview(raw.as_bytes(), &skeleton);
        mime::search_text(raw.as_bytes(), &skeleton).count();
        skeleton.locate(&[1, 1, 2], mime::Section::Text);
    }
}

/// Far above what linear work takes in a debug build, far below what quadratic work takes.
const DEADLINE: Duration = Duration::from_secs(5);

#[test]
fn time_is_linear_in_whatever_is_large() {
    let nested = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n".repeat(5000);
    let large: Vec<(&str, String)> = vec![
        ("a header line", format!("Subject: {}\r\n\r\n", "x ".repeat(500_000))),
        ("a folded header", format!("To: {}\r\n\r\n", "a@b,\r\n ".repeat(100_000))),
        ("open comments", format!("To: {}\r\n\r\n", "(".repeat(500_000))),
        ("open quotes", format!("To: {}\r\n\r\n", "\"a\\".repeat(200_000))),
        ("open angles", format!("To: {}\r\n\r\n", "<@a,".repeat(200_000))),
        ("parameters", format!("Content-Type: a/b{}\r\n\r\n", "; x*1=y; z=\"".repeat(50_000))),
        ("open encoded words", format!("Subject: {}\r\n\r\n", "=?utf-8?q?".repeat(50_000))),
        ("encoded words", format!("Subject: {}\r\n\r\n", "=?utf-8?q?a?= ".repeat(50_000))),
        ("header fields", "Content-Type: multipart/digest; boundary=b\r\n".repeat(20_000)),
        (
            "parts",
            format!(
                "Content-Type: multipart/digest; boundary=b;{}\r\n\r\n{}",
                "x".repeat(500_000),
                "--b\r\n\r\nA: b\r\n\r\nx\r\n".repeat(10_000)
            ),
        ),
        ("nesting", nested),
        ("nested messages", "Content-Type: message/rfc822\r\n\r\n".repeat(5000) + &"line\n".repeat(200_000)),
        ("almost boundaries", "Content-Type: multipart/x; boundary=b\r\n\r\n".to_owned() + &"--\n".repeat(300_000)),
        (
            "markup",
            "Content-Type: text/html\r\n\r\n".to_owned() + &"<style></".repeat(20_000) + &"&<!--".repeat(20_000),
        ),
    ];
    for (what, raw) in large {
        let started = Instant::now();
        exercise(raw.as_bytes());
        assert!(started.elapsed() < DEADLINE, "{what}: {:?}", started.elapsed());
    }
}

#[test]
fn past_failures_stay_fixed() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/regressions/mime");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        exercise(&std::fs::read(entry.unwrap().path()).unwrap());
        seen += 1;
    }
    assert!(seen > 0, "the regressions are missing");
}
