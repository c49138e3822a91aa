use super::*;
use proptest::prelude::*;

fn encode(decoded: &[u8], line: usize, eol: &str, tail: usize) -> Vec<u8> {
    let text = BASE64.encode(decoded);
    let lines: Vec<&str> = text.as_bytes().chunks(line).map(|line| std::str::from_utf8(line).unwrap()).collect();
    (lines.join(eol) + &eol.repeat(tail)).into_bytes()
}

#[test]
fn an_ordinary_attachment_has_a_layout() {
    let body = encode(&[7; 1000], 76, "\r\n", 1);
    let layout = base64_layout(&body).unwrap();
    assert_eq!(layout, Layout { line_len: 76, crlf: true, tail: 1, decoded_len: 1000 });
    assert_eq!(layout.encoded_len(), body.len() as u64);
}

#[test]
fn what_would_not_come_back_has_none() {
    let bodies: [&[u8]; 12] = [
        b"",
        b"\r\n",
        b"YQ==\r\nYWJj",
        b"YWJj\r\nYWJjYWJj",
        b"YWJjYWJj\r\nYWJj\r\nYWJjYWJj",
        b"YWJj\r\n\r\nYWJj",
        b"YWJj\nYWJj\r\n",
        b"YWJj \r\n",
        b"YWJ",
        b"YR==",
        b"YWJjYW\r\nJj",
        b"YWJj\r\nYW!j",
    ];
    for body in bodies {
        assert_eq!(base64_layout(body), None, "{:?}", String::from_utf8_lossy(body));
    }
}

proptest! {
    #[test]
    fn every_range_comes_back_from_its_decoded_bytes(
        decoded in proptest::collection::vec(any::<u8>(), 1..300),
        quads in 1_usize..25,
        crlf: bool,
        tail in 0_usize..3,
        from in 0_u64..500,
        len in 0_u64..500,
    ) {
        let body = encode(&decoded, quads * 4, if crlf { "\r\n" } else { "\n" }, tail);
        let (layout, back) = Layout::decode(&body).unwrap();
        prop_assert_eq!(&back, &decoded);
        let all = layout.encode_range(&decoded, 0..layout.encoded_len());
        prop_assert_eq!(&all, &body);
        let range = from.min(body.len() as u64)..(from + len).min(body.len() as u64);
        let need = layout.decoded_range_for(range.clone());
        let part = layout.encode_range(&decoded[need.start as usize..need.end as usize], range.clone());
        prop_assert_eq!(part, &body[range.start as usize..range.end as usize]);
    }

    #[test]
    fn a_layout_is_a_proof_whatever_the_bytes(body in "[A-Da=\r\n]{0,60}") {
        if let Some((layout, decoded)) = Layout::decode(body.as_bytes()) {
            prop_assert_eq!(layout.encode_range(&decoded, 0..u64::MAX), body.as_bytes());
        }
    }
}
