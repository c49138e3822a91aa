use model::verbs::{Part, Section, StoreMode};
use proptest::prelude::*;

use super::*;

fn verb(text: &str) -> Verb {
    parse(format!("a {text}").as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}")).verb
}

fn wrong(text: &str) -> &'static str {
    parse(format!("a {text}").as_bytes()).expect_err(text).text
}

#[test]
fn strings_come_bare_quoted_or_as_literals() {
    for name in ["x]y", "\"x]y\"", "{3}\r\nx]y", "\"x\\]y\""] {
        assert_eq!(verb(&format!("DELETE {name}")), Verb::Delete { name: b"x]y".to_vec() });
    }
    for name in ["", "x(", "\"x", "{4}\r\nx]y", "{x}\r\n", "a b", "\"x\\"] {
        wrong(&format!("DELETE {name}"));
    }
}

#[test]
fn fetch_items_keep_their_order_and_their_names() {
    let Verb::Fetch(fetch) =
        verb("uid fetch 4,2:* (BODY.PEEK[1.2.HEADER.FIELDS.NOT (From \"x-y\")]<10.20> flags RFC822)")
    else {
        panic!("not FETCH")
    };
    assert_eq!(fetch.set, Sequence(vec![(4, 4), (2, STAR)]));
    let part = Part::HeaderFields { names: vec!["From".into(), "x-y".into()], not: true };
    let section = Section { path: vec![1, 2], part, partial: Some((10, 20)) };
    let labels: Vec<_> = fetch
        .items
        .iter()
        .filter_map(|i| if let FetchItem::Section { label, .. } = i { Some(label.as_str()) } else { None })
        .collect();
    assert_eq!(labels, ["BODY[1.2.HEADER.FIELDS.NOT (From x-y)]<10>", "RFC822"]);
    assert!(matches!(&fetch.items[1], FetchItem::Section { section: s, peek: true, .. } if *s == section));
    assert_eq!((&fetch.items[0], &fetch.items[2]), (&FetchItem::Uid, &FetchItem::Flags));
}

#[test]
fn sections_that_cannot_be_are_refused() {
    for section in ["MIME", "1.", "0", "1.HEADERS", "HEADER.FIELDS ()", "1]<0.0>", "4294967296"] {
        wrong(&format!("FETCH 1 BODY[{section}]"));
    }
    for set in ["0", "1:", "a", "1,,2", "4294967296", ""] {
        wrong(&format!("FETCH {set} FLAGS"));
    }
}

#[test]
fn store_takes_flags_with_and_without_parentheses() {
    let Verb::Store(store) = verb("STORE 1 (UNCHANGEDSINCE 9) -flags.silent \\seen $Junk") else { panic!("not STORE") };
    assert_eq!((store.mode, store.silent, store.unchanged_since), (StoreMode::Remove, true, Some(9)));
    assert_eq!(store.flags, ["\\Seen", "$Junk"]);
    assert!(matches!(verb("STORE 1 FLAGS ()"), Verb::Store(store) if store.flags.is_empty()));
}

#[test]
fn search_nests_and_has_a_bottom() {
    let Verb::Search(search) = verb("SEARCH OR (FROM x SINCE 1-Feb-1994) NOT 3:* MODSEQ \"/flags/x\" all 7") else {
        panic!("not SEARCH")
    };
    assert_eq!(search.terms.len(), 2);
    assert!(
        matches!(&search.terms[0], SearchTerm::Or(a, b) if matches!((&**a, &**b), (SearchTerm::And(_), SearchTerm::Not(_))))
    );
    assert_eq!(search.terms[1], SearchTerm::ModSeq(7));
    assert_eq!(wrong(&format!("SEARCH {}ALL", "NOT ".repeat(100))), "Search is nested too deeply");
    assert_eq!(wrong(&format!("SEARCH {}", "(".repeat(10_000))), "Search is nested too deeply");
    wrong("SEARCH ON 30-Feb-1994");
}

#[test]
fn append_is_known_in_front_of_its_message_only() {
    assert!(append_head(b"a APPEND ").is_none(), "the name comes as a literal");
    assert!(append_head(b"a LOGIN x ").is_none());
    let head =
        append_head(b"a append {5}\r\nInbox (\\Recent \\seen x) \" 1-Jul-2026 00:00:00 +0200\" ").unwrap().unwrap();
    assert_eq!((head.name.as_slice(), head.flags), (b"Inbox".as_slice(), vec!["\\Seen".to_owned(), "x".to_owned()]));
    assert_eq!(head.date.unwrap().to_string(), "2026-06-30T22:00:00Z");
    assert!(append_head(b"a APPEND x (\\Seen) y ").unwrap().is_err());
}

#[test]
fn names_are_utf7_outside_and_utf8_inside() {
    for (outside, inside) in
        [("~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/台北/日本語"), ("R&-D", "R&D"), ("&2D3eAA-", "😀")]
    {
        assert_eq!(name::decode(outside.as_bytes()).as_deref(), Some(inside));
        assert_eq!(name::encode(inside), outside);
    }
    assert_eq!(name::folder(b"iNbOx/x").as_deref(), Some("INBOX/x"));
    assert_eq!(name::folder(b"inboxes").as_deref(), Some("inboxes"));
    assert_eq!(name::folder("Entwürfe".as_bytes()), None, "raw UTF-8 is no name before UTF8=ACCEPT");
    for bad in ["&", "&Jjo", "&2D3-", "a//b", "/a", "a/", "", "a\u{7}b"] {
        assert_eq!(name::folder(bad.as_bytes()), None, "{bad}");
    }
}

proptest! {
    #[test]
    fn no_input_makes_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes);
        let _ = append_head(&bytes);
        let _ = name::decode(&bytes);
    }

    #[test]
    fn nor_does_input_that_looks_like_commands(
        words in prop::collection::vec(prop::sample::select(vec![
            "a", " ", "UID ", "FETCH ", "STORE ", "SEARCH ", "LIST ", "APPEND ", "1:*", ",", "(", ")", "BODY[", "1.", "]", "<0.",
            "HEADER.FIELDS ", "\"", "{3}\r\n", "NOT ", "OR ", "+FLAGS ", "\\Seen", "1-Jan-2026", "RETURN ", "STATUS ", "%", "MODSEQ ",
        ]), 0..30)
    ) {
        let text = words.concat();
        let _ = parse(text.as_bytes());
        let _ = append_head(text.as_bytes());
    }

    #[test]
    fn every_name_survives_the_way_out_and_in(inside in "[a-zA-Z &/äß台😀-]{0,30}") {
        let outside = name::encode(&inside);
        prop_assert!(outside.is_ascii());
        prop_assert_eq!(name::decode(outside.as_bytes()), Some(inside));
    }
}
