//! Ends of lines and of messages that only some servers take for such.

use super::victim;
use super::watch::Watch;
use crate::harness::{Options, wait_until};

/// What could be taken for the end of a message, and is not.
const FALSE_ENDS: [&str; 14] = [
    "\n.\n",
    "\n.\r\n",
    "\r\n.\n",
    "\r.\r",
    "\r.\r\n",
    "\r\n.\r",
    "\r\r.\r\r",
    "\n\n.\n\n",
    "\r\n\0.\r\n",
    "\r\n.\0\r\n",
    "\r\r\n.\r\r\n",
    "\n.\r",
    "\r.\n",
    "\r\n.\r\r\n",
];

#[test]
fn no_false_end_of_a_message_smuggles_another_in() {
    let server = Options::bench().start();
    let watch = Watch::begin(&server);
    for end in FALSE_ENDS {
        let content = format!(
            "Subject: outer\r\n\r\nbody{end}MAIL FROM:<admin@example.test>\r\nRCPT TO:<ua@example.test>\r\nDATA\r\n\
             Subject: smuggled\r\n\r\nx"
        );
        let mut smtp = server.smtp();
        let reply = smtp.data("a@elsewhere.example", "ua@example.test", content.as_bytes());
        assert!(reply.starts_with("55") && reply.len() > 10, "{end:?}: {reply}");
        let next = smtp.run("QUIT");
        assert!(next.starts_with("221"), "{end:?}: one answer to one message, then to QUIT: {next}");
    }
    assert_eq!(victim(&server).count("INBOX"), 0);

    // The same in lines of commands: one answer, and nothing behind the false end is a command.
    for (sent, code) in
        [("NOOP\nRSET\r\n", "500"), ("NOOP\rRSET\r\n", "500"), ("NO\0OP\r\n", "500"), ("NOOP \0\r\n", "250")]
    {
        let mut smtp = server.smtp();
        smtp.send(sent.as_bytes());
        let reply = smtp.reply().unwrap();
        assert!(reply.starts_with(code) || reply.starts_with("50"), "{sent:?}: {reply}");
        smtp.send(b"QUIT\r\n");
        let last = smtp.reply().unwrap_or_default();
        assert!(last.is_empty() || last.starts_with("221"), "{sent:?}: {last}");
    }

    // A true end ends: what follows is a command, also in the same packet.
    let mut smtp = server.smtp();
    let reply = smtp.data("a@elsewhere.example", "ua@example.test", b"Subject: one\r\n\r\n..\r\n..x");
    assert!(reply.starts_with("250"), "{reply}");
    let mut client = victim(&server);
    wait_until("one message is there", || client.count("INBOX") == 1);
    client.ok("SELECT INBOX");
    assert!(client.bodies()[0].ends_with(b"Subject: one\r\n\r\n.\r\n.x\r\n"));
    watch.end();
}

#[test]
fn what_a_client_sends_in_clear_after_starttls_is_forgotten() {
    let server = Options::bench().start();
    let mut smtp = server.smtp();
    smtp.send(b"STARTTLS\r\nMAIL FROM:<evil@elsewhere.example>\r\n");
    assert!(smtp.reply().unwrap().starts_with("220"));
    // No TLS comes: whatever the server says now, it is not an answer to MAIL.
    smtp.send(b"RCPT TO:<ua@example.test>\r\n");
    let said = smtp.reply().unwrap_or_default();
    assert!(!said.starts_with('2'), "{said}");
}

#[test]
fn absurd_smtp_commands_are_answered_and_end_in_421() {
    let server = Options::bench().start();
    let watch = Watch::begin(&server);
    let long = "x".repeat(1 << 20);
    let lines = [
        format!("MAIL FROM:<{long}@x>"),
        format!("NOOP {long}"),
        "MAIL FROM:<\"\\".to_owned(),
        "MAIL FROM:<@a,@b:c@d> SIZE=-1".to_owned(),
        "MAIL FROM:<> SIZE=99999999999999999999999".to_owned(),
        "MAIL FROM:<> BODY=\u{1F9AD} SMTPUTF8".to_owned(),
        "RCPT TO:<ua@example.test>".to_owned(),
        "BDAT 99999999999999999999".to_owned(),
        "BDAT -1 LAST".to_owned(),
        "BDAT".to_owned(),
        "DATA now".to_owned(),
        "\u{7f}\u{1b}[2J".to_owned(),
        String::new(),
    ];
    for line in &lines {
        let mut smtp = server.smtp();
        let reply = smtp.run(line);
        let shown = &line[..line.len().min(40)];
        assert!(reply.starts_with(['2', '4', '5']) && reply.len() > 6, "{shown:?}: {reply:?}");
        assert!(!reply.starts_with("25") || line.starts_with("NOOP") || line.contains("<>"), "{shown:?}: {reply:?}");
    }
    let mut smtp = server.smtp();
    let last = std::iter::from_fn(|| Some(smtp.run("NONSENSE"))).take(50).find(|reply| !reply.starts_with("500"));
    assert!(last.as_ref().is_some_and(|reply| reply.starts_with("421")), "{last:?}");
    assert_eq!(smtp.reply(), None, "the connection is closed");
    watch.end();
}
