//! Whoever looks at the disk finds nothing.

use crate::harness::needles::{contains, find};
use crate::harness::{Options, wait_until};

const NEEDLES: [&str; 9] = [
    "zebrasubject",
    "kingfisher.correspondent",
    "marzipanbody",
    "obsidianattachment",
    "Walrusfolder",
    "$lavenderkeyword",
    "quokkaencoded",
    "cinnabarheader",
    "tangerinedisplay",
];

fn message() -> Vec<u8> {
    let encoded = data_encoding::BASE64.encode(b"some text with quokkaencoded in it");
    format!(
        "From: tangerinedisplay <kingfisher.correspondent@elsewhere.example>\r\nTo: <ua@example.test>\r\n\
         Subject: zebrasubject\r\nX-Thing: cinnabarheader\r\nMessage-ID: <1@elsewhere.example>\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nmarzipanbody\r\n\
         --b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\
         Content-Disposition: attachment; filename=obsidianattachment.txt\r\n\r\n{encoded}\r\n--b--\r\n"
    )
    .into_bytes()
}

#[test]
fn after_a_whole_life_no_word_of_mail_password_or_key_is_on_disk() {
    let mut server = Options::bench().start();
    // Once to the locked mailbox, once to the open one; the second on the same connection, which settles the first.
    let mut smtp = server.smtp();
    smtp.deliver("kingfisher.correspondent@elsewhere.example", &["ua@example.test"], &message());
    let mut imap = server.imap("ua@example.test", "pass");
    imap.ok("CREATE Walrusfolder");
    imap.ok("SELECT INBOX");
    smtp.deliver("kingfisher.correspondent@elsewhere.example", &["ua@example.test"], &message());
    wait_until("both are there", || imap.count("INBOX") == 2);
    imap.ok("NOOP");
    imap.ok("STORE 1:2 +FLAGS ($lavenderkeyword)");
    imap.ok("COPY 1:2 Walrusfolder");
    imap.ok("SEARCH TEXT zebrasubject");

    // What a client can see, a file made by it must show: this proves that the search below can find every needle.
    let mut seen = imap.bodies().concat();
    for line in [imap.ok("LIST \"\" *"), imap.ok("FETCH 1 (FLAGS)")].concat() {
        seen.extend(line.text.bytes());
    }
    let decoded = data_encoding::BASE64.decode(b"c29tZSB0ZXh0IHdpdGggcXVva2thZW5jb2RlZCBpbiBpdA==").unwrap();
    assert!(contains(&seen, b"c29tZSB0ZXh0IHdpdGggcXVva2thZW5jb2RlZCBpbiBpdA=="));
    seen.extend(decoded);
    let proof = tempfile::tempdir().unwrap();
    std::fs::write(proof.path().join("fetched"), &seen).unwrap();
    let mut needles: Vec<Vec<u8>> = NEEDLES.iter().map(|n| n.as_bytes().to_vec()).collect();
    let found = find(proof.path(), &needles);
    assert_eq!(found.len(), needles.len(), "the search must find every needle where it is: {found:?}");
    needles.push(b"c29tZSB0ZXh0IHdpdGggcXVva2thZW5jb2RlZCBpbiBpdA".to_vec());
    needles.extend(dek_forms(&server));

    imap.ok("LOGOUT");
    drop(imap);
    assert_eq!(find(&server.state(), &needles), [], "while running, with all sessions gone");
    server.stop();
    assert_eq!(find(&server.state(), &needles), [], "after the end");
}

/// The mailbox's key, raw, in hexadecimal and in base64, got from its keyset with the password.
fn dek_forms(server: &crate::harness::Server) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    for folder in walk(&server.state()).into_iter().filter(|p| p.file_name().is_some_and(|n| n == "keys.json")) {
        let keyset = crypto::Keyset::from_json(&std::fs::read(folder).unwrap()).unwrap();
        let Ok(unlocked) = keyset.unlock(&crypto::Secret::new("pass")) else { continue };
        let dek = unlocked.dek.bytes().to_vec();
        forms.push(data_encoding::HEXLOWER.encode(&dek).into_bytes());
        forms.push(data_encoding::BASE64.encode(&dek).into_bytes());
        forms.push(dek);
    }
    assert_eq!(forms.len(), 15, "the password opens five keysets");
    forms
}

fn walk(root: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(root).unwrap().flatten();
    entries.flat_map(|e| if e.path().is_dir() { walk(&e.path()) } else { vec![e.path()] }).collect()
}
