use super::*;
use crate::parse;

/// The example of RFC 3501 section 6.4.5, filled in.
const RFC3501: &str = "Content-Type: multipart/mixed; boundary=o\r\n\r\n\
--o\r\nContent-Type: text/plain\r\n\r\none\r\n\
--o\r\nContent-Type: application/octet-stream\r\n\r\ntwo\r\n\
--o\r\nContent-Type: message/rfc822\r\n\r\nSubject: three\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n\
--i\r\n\r\nthree-one\r\n--i\r\nContent-Type: application/x\r\n\r\nthree-two\r\n--i--\r\n\r\n\
--o\r\nContent-Type: multipart/mixed; boundary=m\r\n\r\n\
--m\r\nContent-Type: image/gif\r\n\r\nfour-one\r\n\
--m\r\nContent-Type: message/rfc822\r\nX-Mime: yes\r\n\r\nSubject: four-two\r\nContent-Type: multipart/alternative; boundary=a\r\n\r\n\
--a\r\nContent-Type: text/plain\r\n\r\nfour-two-one\r\n--a\r\nContent-Type: text/richtext\r\n\r\nfour-two-two\r\n--a--\r\n\r\n\
--m--\r\n\r\n--o--\r\n";

fn section(raw: &str, path: &[u32], what: Section) -> Option<String> {
    parse(raw.as_bytes()).locate(path, what).map(|range| raw[range].to_owned())
}

#[test]
fn the_example_of_rfc_3501_is_numbered_as_written_there() {
    let body = |path: &[u32]| section(RFC3501, path, Section::Body);
    assert_eq!(body(&[1]).unwrap(), "one");
    assert_eq!(body(&[2]).unwrap(), "two");
    assert_eq!(body(&[3, 1]).unwrap(), "three-one");
    assert_eq!(body(&[3, 2]).unwrap(), "three-two");
    assert_eq!(body(&[4, 1]).unwrap(), "four-one");
    assert_eq!(body(&[4, 2, 1]).unwrap(), "four-two-one");
    assert_eq!(body(&[4, 2, 2]).unwrap(), "four-two-two");
    for absent in [&[5][..], &[0], &[1, 1], &[3, 3], &[4, 2, 3], &[4, 2, 1, 1]] {
        assert_eq!(body(absent), None, "{absent:?}");
    }
}

#[test]
fn header_text_and_mime_of_nested_messages() {
    let get = |path: &[u32], what| section(RFC3501, path, what);
    let header = "Subject: three\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n";
    assert_eq!(get(&[3], Section::Header).unwrap(), header);
    assert!(get(&[3], Section::Text).unwrap().starts_with("--i\r\n\r\nthree-one"));
    assert_eq!(get(&[3], Section::Body).unwrap(), header.to_owned() + &get(&[3], Section::Text).unwrap());
    assert_eq!(get(&[3], Section::Mime).unwrap(), "Content-Type: message/rfc822\r\n\r\n");
    assert_eq!(get(&[4, 2], Section::Mime).unwrap(), "Content-Type: message/rfc822\r\nX-Mime: yes\r\n\r\n");
    assert!(get(&[4, 2], Section::Header).unwrap().starts_with("Subject: four-two\r\n"));
    assert_eq!(get(&[4, 2, 1], Section::Mime).unwrap(), "Content-Type: text/plain\r\n\r\n");
    assert_eq!(get(&[1], Section::Header), None);
    assert_eq!(get(&[4], Section::Text), None);
}

#[test]
fn the_message_as_a_whole() {
    let get = |what| section(RFC3501, &[], what);
    assert_eq!(get(Section::Body).unwrap(), RFC3501);
    assert_eq!(get(Section::Header).unwrap(), "Content-Type: multipart/mixed; boundary=o\r\n\r\n");
    assert_eq!(get(Section::Header).unwrap() + &get(Section::Text).unwrap(), RFC3501);
    assert_eq!(get(Section::Mime), None);
}

#[test]
fn part_one_of_a_plain_message_is_its_body() {
    let raw = "Subject: x\r\n\r\nhello\r\n";
    assert_eq!(section(raw, &[1], Section::Body).unwrap(), "hello\r\n");
    assert_eq!(section(raw, &[1], Section::Mime).unwrap(), "Subject: x\r\n\r\n");
    assert_eq!(section(raw, &[2], Section::Body), None);
    assert_eq!(section("", &[1], Section::Body).unwrap(), "");
}

#[test]
fn a_message_that_is_a_message_counts_twice() {
    let raw = "Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nhello";
    assert_eq!(section(raw, &[1], Section::Body).unwrap(), "Subject: in\r\n\r\nhello");
    assert_eq!(section(raw, &[1], Section::Header).unwrap(), "Subject: in\r\n\r\n");
    assert_eq!(section(raw, &[1, 1], Section::Body).unwrap(), "hello");
    assert_eq!(section(raw, &[1, 1, 1], Section::Body), None);
}

#[test]
fn a_multipart_without_parts_has_the_empty_part_that_bodystructure_shows() {
    let raw = "Content-Type: multipart/mixed; boundary=never\r\n\r\nhello";
    assert_eq!(section(raw, &[1], Section::Body).unwrap(), "");
    assert_eq!(section(raw, &[2], Section::Body), None);
    assert_eq!(section(raw, &[], Section::Text).unwrap(), "hello");
}

#[test]
fn stored_as_message_pack_arrays_and_read_back() {
    let skeleton = parse(b"A: b\r\n\r\nc\r\n");
    let bytes = rmp_serde::to_vec(&skeleton).unwrap();
    // [1, [[leaf, parent 0, header 0, body 8, end 11, 1 line]]]
    assert_eq!(bytes, [0x92, 1, 0x91, 0x96, 0, 0, 0, 8, 11, 1]);
    assert_eq!(rmp_serde::from_slice::<Skeleton>(&bytes).unwrap(), skeleton);
    let large = parse(RFC3501.as_bytes());
    assert_eq!(rmp_serde::from_slice::<Skeleton>(&rmp_serde::to_vec(&large).unwrap()).unwrap(), large);
}
