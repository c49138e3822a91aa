use bytes::BytesMut;
use proptest::prelude::*;

use super::*;

/// Feeds the input in pieces; every literal up to 1,000 octets is accepted, larger ones end the reading.
fn frames(pieces: &[&[u8]]) -> Vec<String> {
    let (mut framer, mut input, mut out) = (Framer::new(100), BytesMut::new(), vec![]);
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match framer.next(&mut input) {
                Frame::More => break,
                Frame::Literal(literal) if literal.size <= 1000 => {
                    out.push(format!("literal {} {}", literal.size, literal.sync));
                    framer.accept();
                }
                Frame::Literal(_) => return out,
                Frame::Command(command) => out.push(String::from_utf8_lossy(&command).into_owned()),
                Frame::TooLong => {
                    out.push("too long".into());
                    return out;
                }
            }
        }
    }
    out
}

#[test]
fn literals_of_either_form_become_part_of_their_command() {
    let text = b"a LOGIN {3+}\r\nann {4}\r\np\r\ns\r\nb NOOP\nc x{0}\r\n y\r\n";
    let expected = [
        "literal 3 false",
        "literal 4 true",
        "a LOGIN {3}\r\nann {4}\r\np\r\ns",
        "b NOOP",
        "literal 0 true",
        "c x{0}\r\n y",
    ];
    assert_eq!(frames(&[text]), expected);
}

#[test]
fn only_a_number_in_braces_at_the_end_announces_a_literal() {
    for line in ["a {}", "a {+}", "a {x}", "a {1} ", "a 1}", "a {-1}", "a {99999999999999999999}"] {
        assert_eq!(announced(line.as_bytes()), None, "{line}");
    }
    assert_eq!(announced(b"a ~{12+}"), Some((Literal { size: 12, sync: false }, 6)));
}

#[test]
fn a_line_without_end_is_noticed_before_it_fills_the_memory() {
    assert_eq!(frames(&[&[b'x'; 101]]), ["too long"]);
    assert_eq!(frames(&[&[b'x'; 60], b"{70}\r\n", &[b'y'; 70], &[b'z'; 50]]), ["literal 70 true", "too long"]);
}

proptest! {
    #[test]
    fn how_input_is_split_makes_no_difference(
        lines in prop::collection::vec("[a-z {}+0-9\r]{0,12}", 0..8),
        cuts in prop::collection::vec(0_usize..120, 0..8),
    ) {
        let text = lines.join("\n") + "\n";
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|w| &text.as_bytes()[w[0]..w[1]]).collect();
        prop_assert_eq!(frames(&pieces), frames(&[text.as_bytes()]));
    }
}
