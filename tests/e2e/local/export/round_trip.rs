//! Everything survives the way out and the way back in.

use std::path::Path;
use std::process::{Command, Stdio};

use super::files::{FOLDERS, copy, export, fill, folder_of, import, json, manifest, odd, quoted, succeeded};
use crate::harness::corpus::Corpus;
use crate::harness::{Options, Server, have, sealpost, wait_until};

const FORMATS: [(&str, &str); 4] = [
    ("maildir", "ub@example.test"),
    ("mbox", "uc@example.test"),
    ("eml", "ud@example.test"),
    ("sqlite", "bench@example.test"),
];

/// Exports of a mailbox whose folder was copied: its manifest is the one of `eml`.
fn out(server: &Server, format: &str) -> std::path::PathBuf {
    server.dir.path().join(format!("out-{format}"))
}

/// A server with mail in `ua`, some of it waiting, stopped, and a copy of the mailbox's files.
fn filled(server: &mut Server, messages: impl Iterator<Item = Vec<u8>>, waiting: &[Vec<u8>]) -> std::path::PathBuf {
    fill(server, "ua@example.test", messages);
    // Nobody is logged in after a restart.
    server.restart();
    let mut smtp = server.smtp();
    for message in waiting {
        smtp.deliver("sender@elsewhere.example", &["ua@example.test"], message);
    }
    drop(smtp);
    let folder = folder_of(server, "ua@example.test");
    let copied = server.dir.path().join("copied");
    server.stop();
    copy(&folder, &copied);
    copied
}

/// Out in every format, in to a mailbox each, out again, and compared.
fn there_and_back(server: &mut Server, copied: &Path) {
    for (format, _) in FORMATS {
        succeeded(&export(copied, "pass", format, &out(server, format)));
    }
    server.start();
    for (format, address) in FORMATS {
        let from = out(server, format);
        let total = manifest(&out(server, "eml")).values().map(Vec::len).sum::<usize>();
        let said = succeeded(&import(server, address, format, &from));
        assert!(said.starts_with(&format!("{total} messages added, 0 were there already")), "{format}: {said}");
        let said = succeeded(&import(server, address, format, &from));
        assert!(said.starts_with(&format!("0 messages added, {total} were there already")), "{format}: {said}");
    }
    let folders = FORMATS.map(|(_, address)| folder_of(server, address));
    server.stop();
    let (mut before, subscribed) = (manifest(&out(server, "eml")), json(&out(server, "eml"))["subscriptions"].clone());
    // What waited has arrived.
    before.values_mut().flatten().for_each(|message| message.4 = false);
    for ((format, _), folder) in FORMATS.iter().zip(folders) {
        let again = server.dir.path().join(format!("again-{format}"));
        succeeded(&export(&folder, "pass", "eml", &again));
        let after = manifest(&again);
        assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>(), "{format}");
        for (name, messages) in &before {
            assert!(after[name] == *messages, "{format}: {name} differs");
        }
        let mut subscriptions = json(&again)["subscriptions"].clone();
        // Every mailbox is born with it; an import takes no subscription away.
        subscriptions.as_array_mut().unwrap().retain(|name| name != "Junk");
        assert_eq!(subscriptions, subscribed, "{format}");
    }
}

#[test]
fn odd_messages_and_waiting_ones_go_out_and_in_again_in_every_format() {
    let mut server = Options::bench().start();
    let waiting: Vec<Vec<u8>> = (0..3).map(|n| format!("Subject: waits {n}\r\n\r\nFrom me\r\n").into_bytes()).collect();
    let copied = filled(&mut server, odd().into_iter().cycle().take(64), &waiting);
    there_and_back(&mut server, &copied);
    let told = manifest(&out(&server, "eml"));
    for name in FOLDERS {
        assert!(told.contains_key(name), "no {name}");
    }
    let waited: Vec<_> = told["INBOX"].iter().map(|message| message.4).collect();
    assert_eq!(waited, [vec![false; 8], vec![true; 3]].concat(), "what waited comes last, in order");
    let last = json(&out(&server, "eml"))["messages"]
        .as_array()
        .unwrap()
        .iter()
        .rfind(|m| m["waiting"] == true)
        .unwrap()["file"]
        .clone();
    let last = std::fs::read_to_string(out(&server, "eml").join(last.as_str().unwrap())).unwrap();
    assert!(last.ends_with("Subject: waits 2\r\n\r\nFrom me\r\n") && last.starts_with("Return-Path: "), "{last}");
}

#[test]
fn two_thousand_real_messages_go_out_and_in_again_in_every_format() {
    let Some(corpus) = Corpus::fetch() else { return };
    let mut server = Options::bench().start();
    let (read, waiting) = (corpus.messages(3).count(), corpus.messages(500).collect::<Vec<_>>());
    let copied = filled(&mut server, corpus.messages(3), &waiting);
    there_and_back(&mut server, &copied);
    assert!(read > 2_000);
    assert_eq!(manifest(&out(&server, "eml")).values().map(Vec::len).sum::<usize>(), read + waiting.len());
}

#[test]
fn an_import_that_was_killed_goes_on_and_equal_messages_stay_as_many_as_they_were() {
    let mut server = Options::bench().start();
    let messages = (0..2_000).map(|n| format!("Subject: {}\r\n\r\n{}\r\n", n / 2, "x".repeat(500)).into_bytes());
    let copied = filled(&mut server, messages, &[]);
    let from = out(&server, "mbox");
    succeeded(&export(&copied, "pass", "mbox", &from));
    server.start();
    let password = server.dir.path().join("password");
    std::fs::write(&password, "pass").unwrap();
    let mut command = sealpost();
    command.args(["import", "ub@example.test", "--format", "mbox", "--password-file"]).arg(&password);
    command.arg("--state").arg(server.state()).arg(&from).stdin(Stdio::null()).stdout(Stdio::null());
    let mut running = command.spawn().unwrap();
    let mut imap = server.imap("ub@example.test", "pass");
    wait_until("something has arrived", || imap.count("INBOX") > 20);
    running.kill().unwrap();
    running.wait().unwrap();
    succeeded(&import(&server, "ub@example.test", "mbox", &from));
    for folder in FOLDERS {
        assert_eq!(imap.count(quoted(folder).trim_matches('"')), 250, "{folder}");
    }
}

#[test]
fn the_printed_key_opens_the_database_in_any_sqlcipher_tool() {
    let mut server = Options::bench().start();
    let copied = filled(&mut server, odd().into_iter(), &[]);
    let password = server.dir.path().join("password");
    std::fs::write(&password, "pass\r\n").unwrap();
    let key = sealpost().arg("key").arg(&copied).arg("--password-file").arg(&password).output().unwrap();
    let pragmas = succeeded(&key);
    assert!(String::from_utf8_lossy(&key.stderr).contains("opens the whole mailbox"));
    let connection = rusqlite::Connection::open(copied.join("mailbox.sqlite")).unwrap();
    connection.execute_batch(&pragmas).unwrap();
    let messages: i64 = connection.query_row("SELECT count(*) FROM msg", [], |row| row.get(0)).unwrap();
    assert_eq!(messages, 8);
}

#[test]
fn the_sqlite3_tool_reads_the_plain_database() {
    if !have("sqlite3") {
        return;
    }
    let mut server = Options::bench().start();
    let copied = filled(&mut server, odd().into_iter(), &[b"Subject: waits\r\n\r\n".to_vec()]);
    let to = out(&server, "sqlite");
    succeeded(&export(&copied, "pass", "sqlite", &to));
    let query = "SELECT count(*) FROM msg; SELECT count(*) FROM hdr WHERE CAST(data AS TEXT) LIKE '%Subject: waits%';";
    let output = Command::new("sqlite3").arg(to.join("mailbox.sqlite")).arg(query).output().unwrap();
    assert_eq!(succeeded(&output), "9\n1\n");
}
