use super::*;

const BLOCK: &[u8] = b"Subject: one\r\n two\r\nX-A : b\r\nno colon\r\nTo: x@y,\r\n\tz@w\r\n\r\nbody: no\r\n";

#[test]
fn fields_are_found_with_their_folds_and_stop_at_the_empty_line() {
    let names: Vec<&[u8]> = fields(BLOCK).map(|field| &BLOCK[field.name]).collect();
    assert_eq!(names, [b"Subject".as_slice(), b"X-A", b"no colon", b"To"]);
    let to = fields(BLOCK).last().unwrap();
    assert_eq!(&BLOCK[to.value], b" x@y,\r\n\tz@w");
    assert_eq!(&BLOCK[to.whole], b"To: x@y,\r\n\tz@w\r\n");
}

#[test]
fn a_value_is_unfolded_and_its_name_has_no_case() {
    assert_eq!(header_value(BLOCK, "SUBJECT").unwrap(), b"one two");
    assert_eq!(header_value(BLOCK, "x-a").unwrap(), b"b");
    assert_eq!(header_value(BLOCK, "body"), None);
}

#[test]
fn chosen_fields_are_byte_exact_in_message_order_and_end_with_an_empty_line() {
    assert_eq!(
        header_fields(BLOCK, &["to", "subject", "absent"], false),
        b"Subject: one\r\n two\r\nTo: x@y,\r\n\tz@w\r\n\r\n"
    );
    assert_eq!(header_fields(BLOCK, &["To", "Subject"], true), b"X-A : b\r\nno colon\r\n\r\n");
    assert_eq!(header_fields(BLOCK, &["absent"], false), b"\r\n");
}

#[test]
fn a_block_that_just_ends_still_gives_whole_lines() {
    assert_eq!(header_fields(b"A: b", &["a"], false), b"A: b\r\n\r\n");
    assert_eq!(header_fields(b"", &["a"], true), b"\r\n");
    assert_eq!(header_fields(b"A: b\nB: c\n\n", &["a"], false), b"A: b\n\n");
}
