use bytes::Bytes;
use model::verbs::{FetchEvent, Request, Search, SearchKey, View};
use model::{FolderId, ModSeq, SessionId, Uid, UidSet};

use super::{decode, encode};
use crate::WireError;
use crate::limits::MAX_REQUEST;
use crate::proto::{Call, Hello, Lane, LinkId, ToPrimary, ToSecondary};

fn view() -> View {
    View { folder: FolderId(1), since: ModSeq(2), uidnext: Uid(3), keywords: 4 }
}

fn search(key: SearchKey) -> ToPrimary {
    let request = Request::Search(Search { view: view(), key, recent: UidSet::default() });
    ToPrimary::Request { id: 7, call: Call::Request { session: SessionId([9; 16]), request } }
}

#[test]
fn a_request_reads_back() {
    let key = SearchKey::And(vec![
        SearchKey::Not(Box::new(SearchKey::Flag("\\Seen".to_owned()))),
        SearchKey::Since(jiff::civil::date(2026, 1, 2)),
        SearchKey::Header("Subject".to_owned(), "ünï".to_owned()),
    ]);
    let message = encode(&search(key.clone()), MAX_REQUEST).unwrap();
    let ToPrimary::Request { id: 7, call: Call::Request { session, request: Request::Search(found) } } =
        decode(&message).unwrap()
    else {
        panic!("another message came back");
    };
    assert_eq!((session, found.key, found.view), (SessionId([9; 16]), key, view()));
}

#[test]
fn fields_travel_by_name_and_bytes_as_bytes() {
    let hello = Hello { version: 1, oldest: 1, link: LinkId([1; 16]), lane: Lane::Bulk, generation: None, keyed: 0 };
    let text = encode(&ToPrimary::Hello(hello), MAX_REQUEST).unwrap();
    for name in ["Hello", "version", "oldest", "link", "lane", "Bulk", "generation"] {
        assert!(text.windows(name.len()).any(|part| part == name.as_bytes()), "{name}");
    }
    let event = FetchEvent::Data(Bytes::from(vec![200; 1000]));
    let message = encode(&ToSecondary::Event { id: 1, event }, MAX_REQUEST).unwrap();
    assert!(message.len() < 1050, "one byte each, not two: {}", message.len());
}

#[test]
fn a_field_of_a_later_version_is_skipped() {
    // {"Data": {"id": 5, "bytes": bin"xy", "later": true}}
    let mut message = vec![0x81, 0xa4];
    message.extend_from_slice(b"Data");
    message.push(0x83);
    message.extend_from_slice(b"\xa2id\x05\xa5bytes\xc4\x02xy\xa5later\xc3");
    assert!(matches!(decode(&message).unwrap(), ToPrimary::Data { id: 5, bytes } if &bytes[..] == b"xy"));
}

#[test]
fn what_is_cut_off_or_has_a_tail_is_refused() {
    let message = encode(&search(SearchKey::All), MAX_REQUEST).unwrap();
    for end in 0..message.len() {
        assert!(decode::<ToPrimary>(&message[..end]).is_err(), "{end}");
    }
    let mut longer = message.to_vec();
    longer.push(0);
    assert!(matches!(decode::<ToPrimary>(&longer), Err(WireError::Protocol(_))));
}

#[test]
fn a_message_over_the_limit_is_not_written() {
    let message = search(SearchKey::Body("x".repeat(MAX_REQUEST)));
    assert!(matches!(encode(&message, MAX_REQUEST), Err(WireError::TooBig { .. })));
}

#[test]
fn every_form_of_a_value_is_stepped_over() {
    let forms: [&[u8]; 20] = [
        b"\x7f",
        b"\xff",
        b"\xc0",
        b"\xc3",
        b"\xa1x",
        b"\xc4\x01x",
        b"\xc5\x00\x01x",
        b"\xc6\0\0\0\x01x",
        b"\xd9\x01x",
        b"\xc7\x01\x05x",
        b"\xcc\xff",
        b"\xcd\xff\xff",
        b"\xca\0\0\0\0",
        b"\xcb\0\0\0\0\0\0\0\0",
        b"\xd4\x05x",
        b"\xd8\x050123456789abcdef",
        b"\x91\xc0",
        b"\xdc\x00\x01\xc0",
        b"\xde\x00\x01\xc0\xc0",
        b"\x80",
    ];
    for form in forms {
        let mut pair = vec![0x92];
        pair.extend_from_slice(form);
        pair.extend_from_slice(form);
        assert!(super::skim::is_shallow(&pair, 2), "{form:?}");
        assert!(!super::skim::is_shallow(&pair[..pair.len() - 1], 2), "{form:?} cut off");
    }
    assert!(super::skim::is_shallow(b"\x91\x91\xc0", 2) && !super::skim::is_shallow(b"\x91\x91\x91\xc0", 2));
}

#[test]
fn nesting_ends_before_the_stack_does() {
    let start = encode(&search(SearchKey::Body("marker".to_owned())), MAX_REQUEST).unwrap();
    let inner = b"\x81\xa4Body\xa6marker";
    let at = start.windows(inner.len()).position(|part| part == inner).unwrap();
    let nested = |depth: usize| {
        let mut message = start[..at].to_vec();
        message.extend(b"\x81\xa3Not".repeat(depth));
        message.extend_from_slice(&start[at..]);
        message
    };
    assert!(decode::<ToPrimary>(&nested(200)).is_ok());
    assert!(decode::<ToPrimary>(&nested(1000)).is_err());
    assert!(decode::<ToPrimary>(&nested(100_000)).is_err());
}
