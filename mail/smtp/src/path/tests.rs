use super::*;

fn text(input: &str) -> Option<(String, String)> {
    path(input).map(|(path, rest)| (path.text().to_owned(), rest.to_owned()))
}

#[test]
fn paths_are_read_as_rfc_5321_writes_them() {
    for (input, want, rest) in [
        ("<>", "", ""),
        ("<ann@example.org>", "ann@example.org", ""),
        ("<ann@example.org> SIZE=1 BODY=7BIT", "ann@example.org", "SIZE=1 BODY=7BIT"),
        ("<\"a > b\\\"@\"@example.org> X", "\"a > b\\\"@\"@example.org", "X"),
        ("<@a.example,@b.example:ann@example.org>", "ann@example.org", ""),
        ("<ann@[192.0.2.1]>", "ann@[192.0.2.1]", ""),
        ("<ann@[IPv6:2001:db8::1]>", "ann@[IPv6:2001:db8::1]", ""),
        ("<a..b.@example.org>", "a..b.@example.org", ""),
        ("<PostMaster>", "PostMaster", ""),
        ("<jürgen@bücher.example> SMTPUTF8", "jürgen@bücher.example", "SMTPUTF8"),
    ] {
        assert_eq!(text(input), Some((want.to_owned(), rest.to_owned())), "{input}");
    }
}

#[test]
fn what_is_no_path_is_refused() {
    for input in [
        "",
        "<",
        "ann@example.org",
        "<ann>",
        "<ann@>",
        "<@example.org>",
        "<ann@example.org",
        "<a b@example.org>",
        "<ann@exa mple.org>",
        "<ann@example.org>SIZE=1",
        "<ann@@example.org>",
        "<\"ann@example.org>",
        "<\"\"@x.org>",
        "<\"a\u{1}\"@x.org>",
        "<ann@[]>",
        "<ann@[1.2.3.4>",
        "<@a,b:ann@x.org>",
        "<@a:>",
        "<ann\u{a0}@x.org>",
        "<ann@x.org>>",
        "<<ann@x.org>",
        "<ann(comment)@x.org>",
    ] {
        assert_eq!(text(input), None, "{input}");
    }
    assert_eq!(text(&format!("<{}@example.org>", "x".repeat(600))), None);
}

#[test]
fn parameters_keep_their_values_and_refuse_odd_forms() {
    assert_eq!(
        params("size=10  Body=8bitmime X-Y"),
        Some(vec![("SIZE".to_owned(), Some("10")), ("BODY".to_owned(), Some("8bitmime")), ("X-Y".to_owned(), None),])
    );
    for text in ["=1", "SIZE=", "SI ZE=1=2", "-A", "A=b\u{1}"] {
        assert_eq!(params(text), None, "{text}");
    }
    assert!(is_xtext("rfc822;a+2Bb", 100) && !is_xtext("a+2", 100) && !is_xtext("a=b", 100) && !is_xtext("aaa", 2));
}
