use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const HOST: &str = "mx.example.org";

fn cut(message: &[u8], size: usize) -> Vec<Bytes> {
    message.chunks(size.max(1)).map(Bytes::copy_from_slice).collect()
}

fn examined(message: &str) -> (String, usize, usize) {
    let head = examine(cut(message.as_bytes(), 65536), HOST).unwrap();
    (String::from_utf8(head.body.concat()).unwrap(), head.received, head.delivered_to.len())
}

#[test]
fn our_own_results_go_and_nothing_else() {
    let (body, received, delivered) = examined(concat!(
        "Return-Path: <x@y.example>\r\n",
        "Received: from a\r\n\tby b\r\n",
        "authentication-results : (a \\) (b)) MX.example.ORG 1;\r\n spf=pass\r\n",
        "Authentication-Results: \"mx.example.org\"; dkim=pass\r\n",
        "Authentication-Results: mx.example.org.; dkim=pass\r\n",
        "Authentication-Results: other.example; spf=fail\r\n",
        "Authentication-Results: mx.example.org.evil.example; spf=fail\r\n",
        "delivered-to: Ann@Example.org\r\n",
        "return-path:\r\n <folded@y.example>\r\n",
        "Subject: Return-Path: kept\r\n",
        "\r\n",
        "Return-Path: <body@y.example>\r\n",
    ));
    assert_eq!(
        body,
        concat!(
            "Return-Path: <x@y.example>\r\n",
            "Received: from a\r\n\tby b\r\n",
            "Authentication-Results: other.example; spf=fail\r\n",
            "Authentication-Results: mx.example.org.evil.example; spf=fail\r\n",
            "delivered-to: Ann@Example.org\r\n",
            "return-path:\r\n <folded@y.example>\r\n",
            "Subject: Return-Path: kept\r\n",
            "\r\n",
            "Return-Path: <body@y.example>\r\n",
        )
    );
    assert_eq!((received, delivered), (1, 1));
}

#[test]
fn messages_without_a_body_a_head_or_an_end_are_taken_as_they_are() {
    for message in ["", "\r\n", "\r\nReturn-Path: x\r\n", "no field\r\n", "Subject: x", "\n", ":\r\n\r\n", " x\r\n\r\n"]
    {
        assert_eq!(examined(message).0, message, "{message:?}");
    }
    let results = "Authentication-Results: mx.example.org; spf=pass";
    assert_eq!(examined(results).0, "");
    assert_eq!(examined(&format!("A: 1\n{results}\n\n{results}\n")).0, format!("A: 1\n\n{results}\n"));
}

#[test]
fn a_header_section_without_end_is_refused_and_a_large_one_is_not() {
    let line = "X-Long: ".to_owned() + &"x".repeat(1 << 20) + "\r\n\r\nbody";
    assert_eq!(examined(&line).0, line);
    let endless = cut(&vec![b'x'; MAX_HEAD + 1], 65536);
    assert_eq!(examine(endless, HOST), Err(HeadTooLarge));
    let body = [b"\r\n".to_vec(), vec![b'x'; MAX_HEAD + 1]].concat();
    assert_eq!(examine(cut(&body, 65536), HOST).unwrap().body.concat(), body);
}

proptest! {
    #[test]
    fn chunks_make_no_difference(
        lines in vec("(Authentication-Results: mx.example.org; x|Received: y|Delivered-To: a@b\\.cc| folded|Subject: z||junk)\r?\n", 0..10),
        size in 1usize..40,
    ) {
        let message = lines.concat();
        let whole = examine(cut(message.as_bytes(), 1 << 20), HOST).unwrap();
        let pieces = examine(cut(message.as_bytes(), size), HOST).unwrap();
        prop_assert_eq!(pieces.body.concat(), whole.body.concat());
        prop_assert_eq!((pieces.received, pieces.delivered_to), (whole.received, whole.delivered_to));
    }
}
