//! The README, as its reader would go through it.

use std::process::{Command, Stdio};

use crate::harness::{Options, Server, have, have_swaks_with_tls, project};

/// The password in the sample Secret of ann@example.org.
pub const ANN: &str = "correct horse battery staple";

fn curl(server: &Server, path: &str) -> String {
    let url = format!("imaps://{}/{path}", server.endpoint("imaps"));
    let user = format!("ann@example.org:{ANN}");
    let output = Command::new("curl").args(["-sS", "--insecure", "--user", &user, &url]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn mail_sent_by_swaks_is_read_by_curl_and_survives_a_restart() {
    if !have_swaks_with_tls() || !have("curl") {
        return;
    }
    let mut server = Options::samples().start();
    let mx = server.endpoint("mx");
    let output = Command::new("swaks")
        .args(["--server", &mx.ip().to_string(), "--port", &mx.port().to_string(), "--tls"])
        .args(["--from", "friend@elsewhere.example", "--to", "info@example.org"])
        .args(["--header", "Subject: first light", "--body", "it works"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    for _ in 0..2 {
        let mail = curl(&server, "INBOX;MAILINDEX=1");
        assert!(mail.contains("Subject: first light") && mail.contains("it works"), "{mail}");
        server.restart();
    }
}

#[test]
fn mail_sent_by_curl_is_pulled_by_mbsync() {
    if !have("mbsync") || !have("curl") {
        return;
    }
    let server = Options::samples().start();
    let mail = server.dir.path().join("mail.eml");
    std::fs::write(&mail, "From: <friend@elsewhere.example>\r\nSubject: over curl\r\n\r\nhello\r\n").unwrap();
    let url = format!("smtp://{}/sender.example", server.endpoint("mx"));
    let send = Command::new("curl")
        .args(["-sS", "--mail-from", "friend@elsewhere.example", "--mail-rcpt", "ann@example.org", "--upload-file"])
        .args([mail.to_str().unwrap(), &url])
        .output()
        .unwrap();
    assert!(send.status.success(), "{send:?}");
    let pulled = mbsync(&server, "ann@example.org", ANN);
    assert_eq!(pulled.len(), 1);
    assert!(String::from_utf8_lossy(&pulled[0]).contains("Subject: over curl"));
}

/// Pulls INBOX into a Maildir with `mbsync` over TLS and returns the messages.
pub fn mbsync(server: &Server, user: &str, password: &str) -> Vec<Vec<u8>> {
    let maildir = tempfile::tempdir().unwrap();
    let here = maildir.path().display();
    let imaps = server.endpoint("imaps");
    let ca = server.state().join("pki/public-ca.crt");
    let rc = format!(
        "IMAPStore far\nHost localhost\nPort {}\nUser {user}\nPass \"{password}\"\nSSLType IMAPS\nCertificateFile {}\n\n\
         MaildirStore near\nPath {here}/\nInbox {here}/INBOX\n\n\
         Channel c\nFar :far:\nNear :near:\nPatterns INBOX\nCreate Near\nSync Pull\nSyncState *\n",
        imaps.port(),
        ca.display()
    );
    let config = maildir.path().join("mbsyncrc");
    std::fs::write(&config, rc).unwrap();
    let output = Command::new("mbsync").arg("-c").arg(&config).arg("c").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let new = std::fs::read_dir(maildir.path().join("INBOX/new")).unwrap();
    let cur = std::fs::read_dir(maildir.path().join("INBOX/cur")).unwrap();
    new.chain(cur).map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect()
}

#[test]
fn an_owner_gets_a_password_and_mail_waits_for_nobody_before() {
    let server = Options::samples().start();
    let early = server.smtp().try_deliver("a@elsewhere.example", &["bob@example.org"], b"Subject: early\r\n\r\nx\r\n");
    assert!(early.unwrap().starts_with("450"), "mail for a mailbox without keys must wait at its sender");
    let made = server.sealpost(&["password", "bob@example.org"]);
    assert!(made.status.success(), "{made:?}");
    let text = String::from_utf8(made.stdout).unwrap();
    let password = text.lines().find_map(|l| l.strip_prefix("password: ")).expect("a line with the password").trim();
    crate::harness::wait_until("the MX learns of the keys", || {
        let reply =
            server.smtp().try_deliver("a@elsewhere.example", &["bob@example.org"], b"Subject: now\r\n\r\nx\r\n");
        reply.unwrap().starts_with("250")
    });
    let mut imap = server.imap("bob@example.org", password);
    assert_eq!(imap.count("INBOX"), 1);
    let again = server.sealpost(&["password", "bob@example.org"]);
    assert!(!again.status.success(), "a second first password must be refused");
}

#[test]
fn a_wrong_password_and_an_unknown_user_look_the_same() {
    let server = Options::samples().start();
    let mut answers = Vec::new();
    for (user, password) in
        [("ann@example.org", "wrong"), ("nobody@example.org", "wrong"), ("x@elsewhere.example", "wrong")]
    {
        let mut client = crate::harness::imap::Client::connect(server.endpoint("imap-plain"));
        let lines = client.run(&format!("LOGIN {user} \"{password}\""));
        answers.push(lines.last().unwrap().text.clone());
    }
    assert!(answers[0].contains("NO [AUTHENTICATIONFAILED]"), "{answers:?}");
    assert!(answers.iter().all(|a| *a == answers[0]), "{answers:?}");
}

#[test]
fn the_readme_names_the_two_commands() {
    let readme = std::fs::read_to_string(project("README.md")).unwrap();
    assert!(readme.contains("cargo run --release -- up -f config/samples"));
    assert!(readme.contains("cargo test --workspace"));
}
