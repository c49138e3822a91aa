//! What clients and people meet beyond the README: STARTTLS, other IMAP programs, `status`, keys made elsewhere.

use std::process::{Command, Stdio};

use crate::first_light::ANN;
use crate::harness::imap::{Client, says};
use crate::harness::{Options, have, sealpost, wait_until};
use crate::up::Manifests;

#[test]
fn without_dev_plain_nothing_listens_in_clear_and_status_reads_well() {
    let server = Options::samples().without_plain().start();
    let status = server.status();
    let names: Vec<&String> = status["endpoints"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["imap", "imaps", "mx"]);
    let output = server.sealpost(&["status"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("ready\n"), "{text}");
    for (name, what) in [
        ("imaps", status["endpoints"]["imaps"].as_str().unwrap()),
        ("mx", status["endpoints"]["mx"].as_str().unwrap()),
        ("ann@example.org", "Ready"),
        ("bob@example.org", "AwaitingOwner"),
    ] {
        let line = text.lines().find(|line| line.split_whitespace().next() == Some(name));
        assert!(line.is_some_and(|line| line.ends_with(what)), "{name} {what}: {text}");
    }
    server.smtp().deliver("a@elsewhere.example", &["ann@example.org"], b"Subject: one\r\n\r\nx\r\n");
    wait_until("status counts what waits", || {
        String::from_utf8(server.sealpost(&["status"]).stdout).unwrap().contains("Ready, 1 waiting")
    });
}

#[test]
fn a_login_in_clear_is_refused_and_starttls_opens_the_way() {
    let server = Options::samples().start();
    let mut client = Client::connect(server.endpoint("imap"));
    let offered = client.ok("CAPABILITY");
    assert!(says(&offered, "STARTTLS") && says(&offered, "LOGINDISABLED"), "{offered:?}");
    assert!(!says(&offered, "AUTH=PLAIN"), "{offered:?}");
    for command in [format!("LOGIN ann@example.org \"{ANN}\""), "AUTHENTICATE PLAIN".to_owned()] {
        let lines = client.run(&command);
        assert!(lines.last().unwrap().text.contains(" NO [PRIVACYREQUIRED]"), "{lines:?}");
    }
    if !have("curl") {
        return;
    }
    let url = format!("imap://{}/", server.endpoint("imap"));
    let user = format!("ann@example.org:{ANN}");
    let ca = server.state().join("pki/public-ca.crt");
    let output =
        Command::new("curl").args(["-sS", "--ssl-reqd", "--user", &user, "--cacert"]).arg(ca).arg(url).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8(output.stdout).unwrap().contains("INBOX"));
}

#[test]
fn keys_made_offline_and_put_into_the_manifests_open_with_the_password_that_was_shown() {
    let made = sealpost().args(["password", "bob@example.org", "--offline"]).stdin(Stdio::null()).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let secret = String::from_utf8(made.stdout).unwrap();
    let shown = String::from_utf8(made.stderr).unwrap();
    let password = shown.lines().find_map(|line| line.strip_prefix("password: ")).expect("a line with the password");
    assert!(!secret.contains(password), "the Secret must not open anything by itself");
    let manifests = Manifests::samples();
    manifests.write("bob-keys.yaml", &secret);
    let bob = manifests.read("mailbox-bob.yaml") + "  keysSecretRef: {name: bob-keys}\n";
    manifests.write("mailbox-bob.yaml", &bob);
    let server = Options::manifests(manifests.path()).start();
    server.smtp().deliver("a@elsewhere.example", &["bob@example.org"], b"Subject: one\r\n\r\nx\r\n");
    assert_eq!(server.imap("bob@example.org", password).count("INBOX"), 1);
}

/// What a desktop client does, by Python's own IMAP library over verified TLS.
const PYTHON: &str = r#"
import imaplib, ssl, sys
host, port, ca, user, password = sys.argv[1:6]
def ok(answer):
    assert answer[0] == 'OK', answer
    return answer[1]
m = imaplib.IMAP4_SSL(host, int(port), ssl_context=ssl.create_default_context(cafile=ca))
ok(m.login(user, password))
ok(m.create('Archive/2026')); ok(m.subscribe('Archive/2026'))
assert any(b'Archive/2026' in line for line in ok(m.list())), m.list()
assert any(b'Archive/2026' in line for line in ok(m.lsub()))
for n in range(5):
    text = f'From: <a@elsewhere.example>\r\nSubject: number {n}\r\nMessage-ID: <{n}@elsewhere.example>\r\n\r\nbody of {n}\r\n'
    ok(m.append('INBOX', r'(\Seen)' if n % 2 else None, None, text.encode()))
assert ok(m.select('INBOX')) == [b'5']
assert ok(m.search(None, 'UNSEEN')) == [b'1 3 5']
assert ok(m.search(None, 'SUBJECT', '"number 3"')) == [b'4']
assert ok(m.search(None, 'BODY', '"body of 2"')) == [b'3']
assert ok(m.search(None, 'OR', 'SEEN', 'SUBJECT', '"number 4"')) == [b'2 4 5']
ok(m.copy('2:3', 'Archive/2026'))
assert ok(m.uid('COPY', '1', 'Archive/2026'))
data = ok(m.fetch('4', '(FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)] BODY.PEEK[TEXT])'))
assert b'Subject: number 3' in data[0][1] and b'body of 3' in data[1][1], data
ok(m.store('1:2', '+FLAGS', r'(\Deleted)'))
assert ok(m.expunge()) == [b'1', b'1']
assert ok(m.search(None, 'ALL')) == [b'1 2 3']
ok(m.close())
assert ok(m.select('Archive/2026', readonly=True)) == [b'3']
assert ok(m.search(None, 'SUBJECT', '"number 1"')) == [b'1']
assert m.select('Nowhere')[0] == 'NO'
ok(m.rename('Archive/2026', 'Archive/Old'))
ok(m.delete('Archive/Old'))
assert m.logout()[0] == 'BYE'
print('done')
"#;

#[test]
fn pythons_imap_library_works_with_folders_and_mail_over_tls() {
    if !have("python3") {
        return;
    }
    let server = Options::samples().start();
    let imaps = server.endpoint("imaps");
    let output = Command::new("python3")
        .args(["-c", PYTHON, &imaps.ip().to_string(), &imaps.port().to_string()])
        .arg(server.state().join("pki/public-ca.crt"))
        .args(["ann@example.org", ANN])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.stdout, b"done\n");
}
