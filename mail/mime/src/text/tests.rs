use super::*;
use crate::parse;

#[test]
fn folding_is_lower_case_character_by_character() {
    for (text, folded) in [
        ("Hello WORLD", "hello world"),
        ("ÄÖÜ ß ẞ", "äöü ß ß"),
        ("ΣΑΣ σας", "σασ σασ"),
        ("İI", "i\u{307}i"),
        ("ПРИВЕТ", "привет"),
        ("Ǆ Ａ", "ǆ ａ"),
        ("é e\u{301}", "é e\u{301}"),
    ] {
        assert_eq!(fold(text), folded);
    }
}

#[test]
fn bodies_and_inner_headers_are_decoded_and_the_own_header_is_apart() {
    let raw = b"Subject: =?utf-8?q?=C3=89t=C3=A9?=\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n\
--b\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\ncaf=E9\r\n\
--b\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nPGI+w6k8L2I+\r\n\
--b\r\nContent-Type: text/plain; charset=x-nobody\r\n\r\n\x80\r\n\
--b\r\nContent-Type: application/x; name=report.pdf\r\n\r\nbinaryword\r\n\
--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: =?utf-8?q?inn=C3=A9r?=\r\n\r\ninner body\r\n--b--\r\n";
    let skeleton = parse(raw);
    let header = header_text(raw, &skeleton);
    assert!(header.contains("Subject: Été\n"), "{header}");
    let pieces: Vec<String> = search_text(raw, &skeleton).collect();
    for wanted in ["café", "<b>é</b>", "€", "inner body"] {
        assert!(pieces.iter().any(|piece| piece == wanted), "{wanted} in {pieces:?}");
    }
    let all = pieces.concat();
    assert!(all.contains("Subject: innér\n") && all.contains("report.pdf"));
    for absent in ["binaryword", "Été", "preamble"] {
        assert!(!all.contains(absent), "{absent}");
    }
}

#[test]
fn a_multipart_whose_boundary_never_comes_is_text() {
    let raw = b"Content-Type: multipart/mixed; boundary=never\r\n\r\nhello";
    assert_eq!(search_text(raw, &parse(raw)).collect::<Vec<_>>(), ["hello"]);
}

#[test]
fn a_plain_value_contains_what_its_folded_text_contains() {
    let values: [&[u8]; 8] = [
        b" Re: Hello World",
        b"  padded  ",
        b"",
        b" folded\r\n line",
        b" =?utf-8?q?=C3=89t=C3=A9?= rest",
        b" aab aAab",
        "\u{212a}elvin".as_bytes(),
        b" =not?a word",
    ];
    for value in values {
        for text in
            ["hello w", "", "padded", " padded", "padded ", "folded line", "été", "k", "aaab", "b aa", "=not?", "é"]
        {
            let slow = fold(&crate::decode_words(value)).contains(text);
            assert_eq!(value_contains(value, text), slow, "{text:?} in {:?}", String::from_utf8_lossy(value));
        }
    }
}
