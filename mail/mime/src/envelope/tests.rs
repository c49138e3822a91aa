use super::*;

fn render(block: &str) -> String {
    String::from_utf8_lossy(&envelope(block.as_bytes())).into_owned()
}

#[test]
fn the_example_of_rfc_3501() {
    let block = "Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\nFrom: Terry Gray <gray@cac.washington.edu>\r\n\
        Subject: IMAP4rev1 WG mtg summary and minutes\r\nTo: imap@cac.washington.edu\r\n\
        cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>\r\n\
        Message-Id: <B27397-0100000@cac.washington.edu>\r\n\r\n";
    let gray = r#"(("Terry Gray" NIL "gray" "cac.washington.edu"))"#;
    assert_eq!(
        render(block),
        format!(
            "(\"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\" \"IMAP4rev1 WG mtg summary and minutes\" {gray} {gray} {gray} \
             ((NIL NIL \"imap\" \"cac.washington.edu\")) ((NIL NIL \"minutes\" \"CNRI.Reston.VA.US\")\
             (\"John Klensin\" NIL \"KLENSIN\" \"MIT.EDU\")) NIL NIL \"<B27397-0100000@cac.washington.edu>\")"
        )
    );
}

#[test]
fn absent_is_nil_and_empty_is_empty() {
    assert_eq!(render(""), "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)");
    assert_eq!(render("Subject:\r\nTo: \r\nMessage-ID:\r\n"), "(NIL \"\" NIL NIL NIL NIL NIL NIL NIL \"\")");
}

#[test]
fn sender_and_reply_to_default_to_from_also_when_empty() {
    let from = "((NIL NIL \"a\" \"b\"))";
    assert_eq!(render("From: a@b\nReply-To: \n"), format!("(NIL NIL {from} {from} {from} NIL NIL NIL NIL NIL)"));
    assert_eq!(
        render("From: a@b\nSender: c@d\n"),
        format!("(NIL NIL {from} ((NIL NIL \"c\" \"d\")) {from} NIL NIL NIL NIL NIL)")
    );
}

#[test]
fn a_list_may_be_spread_over_fields_and_the_last_subject_counts() {
    let list = "((NIL NIL \"a\" \"b\")(NIL NIL \"c\" \"d\"))";
    assert_eq!(
        render("Subject: 1\nTo: a@b\nSubject: 2\nTo: c@d\n"),
        format!("(NIL \"2\" NIL NIL NIL {list} NIL NIL NIL NIL)")
    );
}

#[test]
fn quotes_are_escaped_eight_bit_and_nul_are_literals_and_folds_a_space() {
    assert_eq!(
        envelope(b"Subject: a \"q\" \\\r\n\tb\r\n"),
        b"(NIL \"a \\\"q\\\" \\\\ b\" NIL NIL NIL NIL NIL NIL NIL NIL)"
    );
    assert_eq!(envelope(b"Subject: \xe9\r\n"), b"(NIL {1}\r\n\xe9 NIL NIL NIL NIL NIL NIL NIL NIL)");
    assert_eq!(envelope(b"Message-ID: a\0b\r\n"), b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL {3}\r\na\x80b)");
}
