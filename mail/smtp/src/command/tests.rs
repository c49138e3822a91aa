use super::*;

fn code(line: &str) -> u16 {
    command(line.as_bytes()).map_or_else(|reply| reply.code, |_| 0)
}

#[test]
fn verbs_are_read_in_any_case() {
    let hello = |extended| Ok(Command::Hello { name: "c.example".into(), extended });
    assert_eq!(command(b"ehlo c.example"), hello(true));
    assert_eq!(command(b"HeLo  c.example "), hello(false));
    assert_eq!(command(b"data"), Ok(Command::Data));
    assert_eq!(command(b"BDAT 86 LAST"), Ok(Command::Bdat { size: 86, last: true }));
    assert_eq!(command(b"NOOP whatever"), Ok(Command::Noop));
}

#[test]
fn mail_takes_its_parameters_once_and_in_any_order() {
    let mail = command(b"MAIL FROM:<a@b.example> SMTPUTF8 BODY=8bitmime RET=hdrs ENVID=q+2B SIZE=12");
    let Ok(Command::Mail { from, params }) = mail else { panic!("{mail:?}") };
    assert_eq!((from.text(), params), ("a@b.example", MailParams { size: Some(12), utf8: true }));
    let huge = command(b"MAIL FROM:<> SIZE=99999999999999999999");
    let Ok(Command::Mail { params, .. }) = huge else { panic!("{huge:?}") };
    assert_eq!(params.size, Some(u64::MAX));
}

#[test]
fn each_mistake_has_its_code() {
    for (line, want) in [
        ("", 500),
        ("HELLO", 500),
        ("NOOP\0", 500),
        ("EHLO", 501),
        ("EHLO a b", 501),
        ("EHLO a(b", 501),
        ("DATA now", 501),
        ("MAIL <a@b.example>", 501),
        ("MAIL FROM:a@b.example", 501),
        ("MAIL FROM:<postmaster>", 501),
        ("MAIL FROM:<a@b.example> SIZE=x", 501),
        ("MAIL FROM:<a@b.example> SIZE=1 SIZE=1", 501),
        ("MAIL FROM:<a@b.example> BODY=BINARYMIME", 501),
        ("MAIL FROM:<a@b.example> SMTPUTF8=1", 501),
        ("MAIL FROM:<a@b.example> AUTH=<>", 555),
        ("RCPT TO:<>", 501),
        ("RCPT TO:<a@b.example> NOTIFY=NEVER,DELAY", 501),
        ("RCPT TO:<a@b.example> SIZE=1", 555),
        ("VRFY", 501),
    ] {
        assert_eq!(code(line), want, "{line}");
    }
    assert_eq!(code("RCPT TO:<a@b.example> NOTIFY=SUCCESS,delay ORCPT=rfc822;a+2Bb@c.example"), 0);
}

#[test]
fn a_chunk_that_cannot_be_skipped_ends_the_connection() {
    for line in ["BDAT", "BDAT x", "BDAT -1", "BDAT +1", "BDAT 1 FIRST", "BDAT 99999999999999999999", "BDAT 1\u{1}"] {
        assert!(command(line.as_bytes()).is_err_and(|reply| reply.close), "{line}");
    }
}
