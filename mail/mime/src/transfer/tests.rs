use super::*;

#[test]
fn quoted_printable_joins_soft_breaks_and_keeps_broken_escapes() {
    assert_eq!(quoted_printable(b"a=3Db=\r\nc  \r\n=zz=4\r\nend="), b"a=bc\r\n=zz=4\r\nend");
    assert_eq!(quoted_printable(b"x=\ny\n"), b"xy\n");
}

#[test]
fn base64_skips_what_it_does_not_know() {
    assert_eq!(base64(b"aGVs\r\nbG8=\r\n"), b"hello");
    assert_eq!(base64(b"aGVs!!bG8"), b"hello");
    assert_eq!(base64(b"YQ==Yg=="), b"ab");
    assert_eq!(base64(b"===="), b"");
}

#[test]
fn unknown_encodings_are_taken_as_they_are() {
    assert_eq!(decode(b"a=3D", Some(b"x-uuencode")), b"a=3D");
    assert_eq!(decode(b"a=3D", Some(b"QUOTED-Printable")), b"a=");
}
