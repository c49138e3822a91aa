use super::*;
use crate::parse;

fn of(raw: &str) -> String {
    preview(raw.as_bytes(), &parse(raw.as_bytes()))
}

#[test]
fn plain_text_is_preferred_and_white_space_collapsed() {
    let raw = "Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>html</p>\r\n\
        --b\r\nContent-Type: text/plain\r\n\r\n  plain \r\n\r\n\ttext  \r\n--b--";
    assert_eq!(of(raw), "plain text");
}

#[test]
fn html_loses_its_markup() {
    let raw = "Content-Type: text/html\n\n<html><head><title>t</title><STYLE type=x>p > a { }</Style></head>\
        <!-- c > --><p>A&nbsp;&amp;&#x42;&bogus; <script>if (a</b) {}</script>d&lt;e</p>";
    assert_eq!(of(raw), "A &B&bogus; d<e");
}

#[test]
fn attachments_do_not_count_and_nothing_readable_is_empty() {
    let raw =
        "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Disposition: attachment\n\nno\n--b\n\nyes\n--b--";
    assert_eq!(of(raw), "yes");
    assert_eq!(of("Content-Type: image/png\n\nabc"), "");
    assert_eq!(of("Content-Type: text/html\n\n<"), "");
}

#[test]
fn at_most_two_hundred_characters() {
    assert_eq!(of(&format!("\n{}", "é ".repeat(300))).chars().count(), 199);
    assert_eq!(of(&format!("\n{}", "é".repeat(300))).chars().count(), 200);
}

#[test]
fn a_nested_message_shows_its_text_and_not_its_header() {
    let raw = "Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: x\n\nbody\n--b--";
    assert_eq!(of(raw), "body");
    assert_eq!(of("Content-Type: multipart/mixed; boundary=never\n\nhello"), "hello");
}
