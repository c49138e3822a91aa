use super::*;
use crate::parse;

fn render(raw: &str, extended: bool) -> String {
    String::from_utf8_lossy(&body_structure(raw.as_bytes(), &parse(raw.as_bytes()), extended)).into_owned()
}

#[test]
fn a_message_without_mime_is_plain_text() {
    let raw = "Subject: x\r\n\r\na\r\nb\r\n";
    assert_eq!(render(raw, false), r#"("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 6 2)"#);
    assert_eq!(render(raw, true), r#"("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 6 2 NIL NIL NIL NIL)"#);
}

#[test]
fn every_field_of_a_part() {
    let raw = "Content-Type: TEXT/Plain; CHARSET=us-ascii; format=\"flowed\"\r\nContent-ID: <id@x> \r\n\
        Content-Description: a\r\n b\r\nContent-MD5: md5==\r\nContent-Language: en, de (c)\r\nContent-Location: http://x/\r\n\
        Content-Disposition: ATTACHMENT; filename=\"a \\\"b.txt\"; size=3\r\n\
        Content-Transfer-Encoding: Quoted-Printable (c)\r\n\r\nhello\r\n";
    assert_eq!(
        render(raw, true),
        r#"("TEXT" "Plain" ("CHARSET" "us-ascii" "format" "flowed") "<id@x>" "a b" "Quoted-Printable" 7 1 "md5==" ("ATTACHMENT" ("filename" "a \"b.txt" "size" "3")) ("en" "de") "http://x/")"#
    );
}

#[test]
fn multipart_and_nested_message() {
    let raw = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhi\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n\
        Subject: in\r\n\r\nx\r\ny\r\n--b\r\nContent-Type: image/png; name=a b\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--b--\r\n";
    let text = r#"("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 2 0)"#;
    let inner = r#"("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 4 1)"#;
    assert_eq!(
        render(raw, false),
        format!(
            "({text}(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 19 (NIL \"in\" NIL NIL NIL NIL NIL NIL NIL NIL) {inner} 3)\
             (\"image\" \"png\" (\"name\" \"a\") NIL NIL \"base64\" 4) \"mixed\")"
        )
    );
    assert!(render(raw, true).ends_with(r#" "mixed" ("boundary" "b") NIL NIL NIL)"#));
}

#[test]
fn rfc_2231_pieces_are_joined_and_stay_encoded() {
    let raw = "Content-Type: a/b; title*1=b; x=y; TITLE*0=a; n*0*=utf-8''%41; n*1=c; f*=us-ascii''d; gap*1=z\r\n\r\n";
    assert!(
        render(raw, false)
            .starts_with(r#"("a" "b" ("x" "y" "f*" "us-ascii''d" "gap*1" "z" "n*" "utf-8''%41c" "TITLE" "ab")"#)
    );
}

#[test]
fn a_multipart_without_parts_shows_an_empty_text_part() {
    let empty = r#"("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0)"#;
    assert_eq!(render("Content-Type: multipart/mixed\r\n\r\nhello", false), format!("({empty} \"mixed\")"));
    assert_eq!(render("Content-Type: multipart/x; boundary=n\r\n\r\nhello", false), format!("({empty} \"x\")"));
}

#[test]
fn a_part_beyond_the_limits_claims_no_parts() {
    let raw = "Content-Type: message/rfc822\r\n\r\n".repeat(300);
    let rendered = render(&raw, true);
    assert_eq!(rendered.matches("\"rfc822\"").count(), crate::MAX_DEPTH - 1);
    assert_eq!(rendered.matches("\"octet-stream\"").count(), 1);
}
