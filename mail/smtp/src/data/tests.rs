use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Message, faults, and how much was left behind the end (none if there was no end).
fn read(pieces: &[&[u8]]) -> (Vec<u8>, Faults, Option<Vec<u8>>) {
    let (mut reader, mut message, mut rest) = (DataReader::new(), Vec::new(), None);
    for piece in pieces {
        if let Some(rest) = &mut rest {
            Vec::extend_from_slice(rest, piece);
            continue;
        }
        let (used, end) = reader.feed(piece, |bytes| message.extend_from_slice(bytes));
        if end {
            rest = Some(piece[used..].to_vec());
        } else {
            assert_eq!(used, piece.len());
        }
    }
    (message, reader.faults, rest)
}

fn stuff(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in message.split_inclusive(|b| *b == b'\n') {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    out.extend_from_slice(b".\r\n");
    out
}

#[test]
fn only_crlf_dot_crlf_ends_the_content() {
    let smuggles: [&[u8]; 14] = [
        b"\n.\n",
        b"\n.\r\n",
        b"\r\n.\n",
        b"\r.\r",
        b"\r.\r\n",
        b"\r\n.\r",
        b"\n\n.\r\n",
        b"\r\r\n.\r\r\n",
        b"\r\n\0.\r\n",
        b"\r\n.\0\r\n",
        b"\r\n.\r\0\n",
        b"\n.\r",
        b"\r\n.\r\r\n",
        b"\r\r.\r\n",
    ];
    for smuggle in smuggles {
        let wire = [b"Subject: x\r\n\r\none", smuggle, b"MAIL FROM:<evil@example.org>\r\n"].concat();
        let (message, faults, rest) = read(&[&wire]);
        assert_eq!(rest, None, "{}", smuggle.escape_ascii());
        assert!(faults.bare || faults.nul, "{}", smuggle.escape_ascii());
        assert!(message.ends_with(b"MAIL FROM:<evil@example.org>\r\n"));
    }
}

#[test]
fn the_end_may_come_at_once_and_leaves_the_next_command() {
    assert_eq!(read(&[b".\r\nQUIT\r\n"]), (Vec::new(), Faults::default(), Some(b"QUIT\r\n".to_vec())));
    let (message, faults, rest) = read(&[b"..\r\n...\r\n.a\r\n\r\n.\r\nRSET"]);
    assert_eq!(
        (message.as_slice(), faults, rest),
        (&b".\r\n..\r\na\r\n\r\n"[..], Faults::default(), Some(b"RSET".to_vec()))
    );
}

/// Octets that matter to the reader, often.
fn octets() -> impl Strategy<Value = Vec<u8>> {
    let octet = prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), Just(0), Just(b'a'), any::<u8>()];
    let line =
        prop_oneof![Just(b"\r\n".to_vec()), Just(b"\r\n.".to_vec()), Just(b"\r\n.\r\n".to_vec()), vec(octet, 1..4)];
    vec(line, 0..24).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn any_cut_into_reads_gives_the_same(wire in octets(), cuts in vec(any::<prop::sample::Index>(), 0..8)) {
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(wire.len() + 1)).collect();
        at.extend([0, wire.len()]);
        at.sort_unstable();
        let pieces: Vec<&[u8]> = at.windows(2).map(|w| &wire[w[0]..w[1]]).collect();
        prop_assert_eq!(read(&pieces), read(&[&wire]));
        let single: Vec<&[u8]> = wire.chunks(1).collect();
        prop_assert_eq!(read(&single), read(&[&wire]));
    }

    #[test]
    fn stuffed_mail_comes_out_as_it_was(lines in vec("[.a-c\u{80}-\u{ff}]{0,5}", 0..12)) {
        let message: Vec<u8> = lines.iter().flat_map(|line| [line.as_bytes(), b"\r\n"].concat()).collect();
        prop_assert_eq!(read(&[&stuff(&message)]), (message, Faults::default(), Some(Vec::new())));
    }

    #[test]
    fn the_end_is_where_a_plain_search_finds_it(wire in octets()) {
        let whole = [b"\r\n".as_slice(), &wire].concat();
        let end = whole.windows(5).position(|w| w == b"\r\n.\r\n").map(|at| whole[at + 5..].to_vec());
        prop_assert_eq!(read(&[&wire]).2, end);
    }
}
