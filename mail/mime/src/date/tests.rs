use super::*;

fn show(value: &str) -> String {
    parse_date(value.as_bytes()).map_or("none".into(), |found| format!("{} {}", found.utc, found.day))
}

#[test]
fn dates_as_people_send_them() {
    for (value, expected) in [
        ("Fri, 21 Nov 1997 09:55:06 -0600", "1997-11-21T15:55:06Z 1997-11-21"),
        ("Tue, 1 Jul 2003 23:52:37 -0500 (CDT)", "2003-07-02T04:52:37Z 2003-07-01"),
        ("1 Jan 2020 00:30 +0100", "2019-12-31T23:30:00Z 2020-01-01"),
        ("21 Nov 97 09:55:06 GMT", "1997-11-21T09:55:06Z 1997-11-21"),
        ("Sat, 1 Jan 05 10:00:00 PST", "2005-01-01T18:00:00Z 2005-01-01"),
        ("1 Jan 104 10:00:00 Z", "2004-01-01T10:00:00Z 2004-01-01"),
        ("Thu,\r\n 13\tFeb (c) 1969 23:32 -0330", "1969-02-14T03:02:00Z 1969-02-13"),
        ("Mon Jan  6 10:00:00 2020", "2020-01-06T10:00:00Z 2020-01-06"),
        ("6-Jan-2020 10:00:60 +0000", "2020-01-06T10:00:59Z 2020-01-06"),
        ("6 January 2020", "2020-01-06T00:00:00Z 2020-01-06"),
    ] {
        assert_eq!(show(value), expected, "{value}");
    }
}

#[test]
fn nonsense_is_no_date() {
    for value in ["", "yesterday", "32 Jan 2020 10:00", "31 Feb 2020", "1 2 3 4", "Jan 2020", "1 Jan 99999", "::: ((("]
    {
        assert_eq!(show(value), "none", "{value}");
    }
}

#[test]
fn the_date_of_a_header() {
    assert_eq!(
        sent_date(b"X: y\r\nDate:\r\n 1 Jan 2020 10:00 EST\r\n\r\n").unwrap().utc.to_string(),
        "2020-01-01T15:00:00Z"
    );
    assert_eq!(sent_date(b"X: y\r\n"), None);
}
