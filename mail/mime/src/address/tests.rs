use super::*;

/// `name|route|local|host`, `-` for NIL.
fn list(value: &str) -> Vec<String> {
    let show =
        |text: &Option<Vec<u8>>| text.as_ref().map_or("-".into(), |text| String::from_utf8_lossy(text).into_owned());
    let found = addresses(value.as_bytes());
    found.iter().map(|m| [&m.name, &m.route, &m.local, &m.host].map(show).join("|")).collect()
}

#[test]
fn the_usual_forms() {
    assert_eq!(list("a@b.c"), ["-|-|a|b.c"]);
    assert_eq!(list("Joe Bloe <joe@x.org>"), ["Joe Bloe|-|joe|x.org"]);
    assert_eq!(list("\"Bloe, \\\"J\\\" (x)\" <joe@x.org>,b@c"), ["Bloe, \"J\" (x)|-|joe|x.org", "-|-|b|c"]);
    assert_eq!(list("joe@x.org (Joe (the) Bloe)"), ["Joe (the) Bloe|-|joe|x.org"]);
    assert_eq!(list("Mr. J. Smith <j@s>"), ["Mr. J. Smith|-|j|s"]);
    assert_eq!(list("=?utf-8?q?=C3=A9?= <e@x>"), ["=?utf-8?q?=C3=A9?=|-|e|x"]);
    assert_eq!(list("\"a b\"@[1.2.3.4]"), ["-|-|a b|[1.2.3.4]"]);
}

#[test]
fn groups_and_routes() {
    assert_eq!(list("A: b@c, D <d@e>; , f@g"), ["-|-|A|-", "-|-|b|c", "D|-|d|e", "-|-|-|-", "-|-|f|g"]);
    assert_eq!(list("undisclosed-recipients:;"), ["-|-|undisclosed-recipients|-", "-|-|-|-"]);
    assert_eq!(list("Open: a@b"), ["-|-|Open|-", "-|-|a|b", "-|-|-|-"]);
    assert_eq!(list("(c1) Joe (x) <@a,@b:joe@x.org>"), ["Joe|@a,@b|joe|x.org"]);
}

#[test]
fn obsolete_spaces_around_dots() {
    assert_eq!(list("A . B . C @ d . e"), ["-|-|A.B.C|d.e"]);
}

#[test]
fn broken_addresses_lose_only_themselves() {
    assert_eq!(list("foo, a@b"), ["-|-|foo|MISSING_DOMAIN", "-|-|a|b"]);
    assert_eq!(list("foo bar, a@b"), ["foo bar|-|MISSING_MAILBOX|MISSING_DOMAIN", "-|-|a|b"]);
    assert_eq!(
        list("<>, q@, <a@b, c d@e f, x@y z@w, <u@v> w, r@s"),
        [
            "-|-|MISSING_MAILBOX|MISSING_DOMAIN",
            "-|-|q|MISSING_DOMAIN",
            "-|-|a|b",
            "c|-|d|e",
            "-|-|x|y",
            "-|-|u|v",
            "-|-|r|s"
        ]
    );
    for nothing in ["", " ", ",,", ";", "()", "(", "\\", ")"] {
        assert_eq!(list(nothing), [""; 0], "{nothing:?}");
    }
}
