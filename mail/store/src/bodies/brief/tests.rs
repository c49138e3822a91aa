use proptest::prelude::*;

use super::*;

/// Names: kept, kept in odd case, others.
const NAMES: [&str; 10] =
    ["From", "subject", "REFERENCES", "List-Id", "Received", "X-Project", "From ", "", "X-Mailer", "Message-ID"];
const ENDS: [&str; 3] = ["\r\n", "\n", "\r\n \t folded\r\n"];

fn headers() -> impl Strategy<Value = Vec<u8>> {
    let field = (0..NAMES.len(), "[ -~é]{0,12}", 0..ENDS.len(), any::<bool>());
    let line = field.prop_map(|(name, value, end, colon)| {
        format!("{}{}{value}{}", NAMES[name], if colon { ":" } else { "" }, ENDS[end])
    });
    let end = prop_oneof![Just("\r\n"), Just("\n"), Just(""), Just("Subject: no line end"), Just("X-Last: none")];
    (prop::collection::vec(line, 0..12), end).prop_map(|(lines, end)| (lines.concat() + end).into_bytes())
}

proptest! {
    /// A row answers exactly what its header would, or nothing.
    #[test]
    fn a_brief_says_what_the_header_says(header in headers(), picked in prop::collection::vec(0..NAMES.len(), 1..5)) {
        let names: Vec<String> = picked.iter().map(|n| NAMES[*n].trim().to_owned()).collect();
        let brief = Brief::make(&header).unwrap();
        if let Some(fields) = brief.header_fields(&names) {
            prop_assert_eq!(fields, mime::header_fields(&header, &names, false));
        }
        let values = |block: &[u8], name: &str| -> Vec<Vec<u8>> {
            let named = mime::fields(block).filter(|field| block[field.name.clone()].eq_ignore_ascii_case(name.as_bytes()));
            named.map(|field| block[field.value].to_vec()).collect()
        };
        for name in &names {
            if let Some(block) = brief.searched(name) {
                prop_assert_eq!(values(block, name), values(&header, name));
            }
        }
    }
}

#[test]
fn kept_fields_are_answered_from_the_row_and_absent_ones_are_known() {
    let header = b"Received: by a\r\nX-Mailer: m\r\nfrom: a@b.example\r\nSubject: one\r\n two\r\n\r\n";
    let brief = Brief::make(header).unwrap();
    assert_eq!(brief.header_fields(&["SUBJECT".into()]).unwrap(), b"Subject: one\r\n two\r\n\r\n");
    assert_eq!(brief.header_fields(&["Subject".into(), "X-Mailer".into()]), None);
    assert!(brief.searched("X-Project").is_some(), "no such field");
    assert!(brief.searched("x-mailer").is_none(), "only the header can tell");
}

#[test]
fn long_headers_have_no_brief() {
    let long = format!("References: {}\r\n\r\n", "<a@b>".repeat(1000));
    assert_eq!(Brief::make(long.as_bytes()), None);
    let many: Vec<String> = (0..200).map(|n| format!("X-{n}: 1\r\n")).collect();
    assert_eq!(Brief::make(many.concat().as_bytes()), None);
}

proptest! {
    /// Read together or one by one, in whatever order: the same.
    #[test]
    fn many_briefs_are_those_of_each(there in prop::collection::btree_set(1..60_i64, 0..30), asked in prop::collection::vec(1..60_i64, 0..40)) {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE brief(mail INTEGER PRIMARY KEY, fields BLOB NOT NULL, others BLOB NOT NULL)").unwrap();
        for content in there {
            Brief { fields: vec![content as u8; 3], others: vec![content as u8] }.insert(&connection, content).unwrap();
        }
        let mut together = Vec::new();
        Brief::each(&connection, &asked, |n, brief| together.push((n, brief.cloned()))).unwrap();
        let one_by_one: Vec<_> = asked.iter().map(|content| Brief::load(&connection, *content).unwrap()).enumerate().collect();
        prop_assert_eq!(together, one_by_one);
    }
}
