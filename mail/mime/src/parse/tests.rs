use super::*;

/// Kind, depth-free: `kind body-text` of every part.
fn shape(raw: &str) -> Vec<(Kind, u32, &str)> {
    let skeleton = parse(raw.as_bytes());
    skeleton.parts().iter().map(|part| (part.kind, part.parent, &raw[part.body_range()])).collect()
}

#[test]
fn empty_and_header_only_messages_have_one_part() {
    assert_eq!(shape(""), [(Kind::Leaf, 0, "")]);
    assert_eq!(shape("Subject: x"), [(Kind::Leaf, 0, "")]);
    assert_eq!(shape("\r\n"), [(Kind::Leaf, 0, "")]);
    assert_eq!(shape("\nx\n"), [(Kind::Leaf, 0, "x\n")]);
}

#[test]
fn the_longest_boundary_that_begins_a_line_wins() {
    let raw = "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=bb\n\n\
               --bb\n\nin\n--bb--\nepi\n--b\n\nout\n--bfoo\n\nfoo\n--b--\n--b\n\nafter";
    let leaves: Vec<_> =
        shape(raw).into_iter().filter(|part| part.0 == Kind::Leaf).map(|part| (part.1, part.2)).collect();
    assert_eq!(leaves, [(1, "in"), (0, "out"), (0, "foo")]);
}

#[test]
fn an_outer_boundary_closes_inner_parts_that_were_left_open() {
    let raw = "Content-Type: multipart/mixed; boundary=out\r\n\r\n--out\r\nContent-Type: multipart/mixed; boundary=in\r\n\r\n\
               --in\r\n\r\na\r\n--out\r\n\r\nb\r\n--out--";
    let parts = shape(raw);
    assert_eq!(parts[2], (Kind::Leaf, 1, "a"));
    assert_eq!(parts[3], (Kind::Leaf, 0, "b"));
}

#[test]
fn a_boundary_ends_a_header_without_an_empty_line() {
    let raw = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nSubject: x\r\n--b\r\n\r\ny\r\n--b--";
    let skeleton = parse(raw.as_bytes());
    assert_eq!(&raw[skeleton.parts()[1].header_range()], "Subject: x\r\n");
    assert_eq!(&raw[skeleton.parts()[1].body_range()], "");
    assert_eq!(&raw[skeleton.parts()[2].body_range()], "y");
}

#[test]
fn digest_parts_are_messages_unless_they_say_otherwise() {
    let raw = "Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: x\n\nbody\n--b\nContent-Type: text/plain\n\ny\n--b--\n";
    let kinds: Vec<Kind> = parse(raw.as_bytes()).parts().iter().map(|part| part.kind).collect();
    assert_eq!(kinds, [Kind::Multipart, Kind::Message, Kind::Leaf, Kind::Leaf]);
}

#[test]
fn a_boundary_may_be_folded_quoted_and_in_pieces() {
    for value in ["\"b c\"", "\r\n \"b c\" ; x=y", "\"b c \"", "\"b\\ c\"; boundary=no"] {
        let raw = format!("CONTENT-type : Multipart/X;boundary={value}\r\n\r\n--b c\r\n\r\nhi\r\n--b c--");
        assert_eq!(shape(&raw).len(), 2, "{value}");
    }
    let raw = "Content-Type: multipart/x; boundary*0=b; boundary*1=c\r\n\r\n--bc\r\n\r\nhi\r\n--bc--";
    assert_eq!(shape(raw)[1].2, "hi");
}

#[test]
fn lines_are_counted_for_each_level() {
    let raw = "Content-Type: message/rfc822\n\nSubject: x\n\na\nb\n";
    let lines: Vec<u64> = parse(raw.as_bytes()).parts().iter().map(|part| part.lines).collect();
    assert_eq!(lines, [4, 2]);
}

#[test]
fn nesting_and_number_of_parts_stop_at_their_limits() {
    let deep = "Content-Type: message/rfc822\r\n\r\n".repeat(5000);
    let skeleton = parse(deep.as_bytes());
    assert_eq!(skeleton.parts().len(), MAX_DEPTH);
    assert_eq!(skeleton.parts()[MAX_DEPTH - 1].kind, Kind::Leaf);

    let many =
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n".to_owned() + &"--b\r\n\r\nx\r\n".repeat(MAX_PARTS + 50);
    let skeleton = parse(many.as_bytes());
    assert_eq!(skeleton.parts().len(), MAX_PARTS);
    assert_eq!(skeleton.parts()[MAX_PARTS - 1].end, many.len() as u64);
}
