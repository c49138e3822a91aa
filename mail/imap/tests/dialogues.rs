//! Plays `dialogues/*.txt` against a session over a mailbox in memory.
//!
//! `C: ` lines are sent, `S: ` lines must come, in this order; `C2: ` and `S2: ` are a second connection to the same
//! mailbox. `<any>` stands for any characters. A first line `@starttls` or `@tls` chooses the transport; without it
//! passwords are taken in clear. Lines that begin with `#` are remarks.

mod support;

use std::path::Path;

use sealpost_imap::Security;
use support::Fake;
use support::client::Peer;

#[tokio::test]
async fn every_dialogue_goes_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("dialogues");
    let (mut played, mut wrong) = (0, vec![]);
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        wrong.extend(play(&path.file_name().unwrap().to_string_lossy(), &text).await);
        played += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(played >= 8, "only {played} dialogues found");
}

/// The first line that went otherwise.
async fn play(name: &str, text: &str) -> Option<String> {
    let fake = Fake::new();
    let security = match text.lines().next() {
        Some("@starttls") => Security::StartTls,
        Some("@tls") => Security::Tls,
        _ => Security::DevPlain,
    };
    let mut first = Peer::connect(&fake, security);
    let mut second = None;
    for (n, line) in text.lines().enumerate() {
        let at = format!("{name}, line {}", n + 1);
        if line.is_empty() || line.starts_with('#') || line.starts_with('@') {
            continue;
        }
        let (who, said) = line.split_once(':').unwrap_or_else(|| panic!("{at}: no `:`"));
        let said = said.strip_prefix(' ').unwrap_or(said);
        let peer = match who {
            "C2" | "S2" => second.get_or_insert_with(|| Peer::connect(&fake, security)),
            _ => &mut first,
        };
        if who.starts_with('C') {
            peer.send(format!("{said}\r\n").as_bytes()).await;
        } else {
            let heard = peer.line().await;
            if !matches(said, &heard) {
                return Some(format!("{at}:\nexpected {said}\n   heard {heard}"));
            }
        }
    }
    None
}

fn matches(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split("<any>");
    let Some(mut rest) = parts.next().and_then(|start| line.strip_prefix(start)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}
