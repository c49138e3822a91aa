//! Runs every `dialogues/*.txt`:
//!
//! * `C: text` is sent with CRLF, `C- text` without; `\r \n \0 \t \\ \xNN` are escapes. Lines are sent together with those
//!   that follow, up to the next expectation: that is a pipeline.
//! * `S: text` is the next line from the server; a `*` in it stands for anything.
//! * `X:` the server has closed. `N: 2` so many messages came to the delivery so far.
//! * `B: text` is the body of the last message; `T: text` is in the trace headers of its first recipient.
//! * `R: a b` are the RCPT addresses of the last message's recipients.
//! * `#` begins a comment; `! no directory` starts the server without one; `! new connection` reconnects to it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod support;

use std::path::Path;

use support::{Memory, Peer, config, directory};

struct Run {
    peer: Peer,
    pending: Vec<u8>,
}

#[tokio::test]
async fn every_dialogue_goes_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("dialogues");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 8, "dialogues are missing");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let known = if text.contains("! no directory") { None } else { Some(directory()) };
        let peer = Peer::connect(&Memory::new(known), config());
        let mut run = Run { peer, pending: Vec::new() };
        for (number, line) in text.lines().enumerate() {
            let place = format!("{}:{}", file.file_name().unwrap().display(), number + 1);
            run.line(line, &place).await;
        }
    }
}

impl Run {
    async fn line(&mut self, line: &str, place: &str) {
        let (kind, text) = (line.get(..2).unwrap_or(""), line.get(3..).unwrap_or(""));
        match kind {
            "C:" => self.pending.extend([&unescape(text), b"\r\n".as_slice()].concat()),
            "C-" => self.pending.extend(unescape(text)),
            "" | "# " => {}
            _ => {
                let pending = std::mem::take(&mut self.pending);
                self.peer.send(&pending).await;
                self.expect(kind, text, place).await;
            }
        }
    }

    async fn expect(&mut self, kind: &str, text: &str, place: &str) {
        let last = || self.peer.delivery.messages().pop().unwrap_or_else(|| panic!("{place}: no message"));
        match kind {
            "S:" => {
                let line = self.peer.line().await.unwrap_or_else(|| panic!("{place}: closed"));
                assert!(matches(text, &line), "{place}: expected `{text}`, got `{line}`");
            }
            "X:" => assert_eq!(self.peer.line().await, None, "{place}"),
            "N:" => assert_eq!(self.peer.delivery.messages().len(), text.parse::<usize>().unwrap(), "{place}"),
            "B:" => assert_eq!(
                support::body(&last()).escape_ascii().to_string(),
                unescape(text).escape_ascii().to_string(),
                "{place}"
            ),
            "T:" => {
                let trace = last().recipients[0].trace.escape_ascii().to_string();
                assert!(trace.contains(&unescape(text).escape_ascii().to_string()), "{place}: {trace}");
            }
            "R:" => {
                let recipients: Vec<_> = last().recipients.into_iter().map(|r| r.rcpt_to).collect();
                assert_eq!(recipients.join(" "), text, "{place}");
            }
            "! " if text.ends_with("connection") => self.peer = Peer::connect(&self.peer.delivery.clone(), config()),
            "! " => {}
            _ => panic!("{place}: what is `{kind}`?"),
        }
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match (byte, if byte == b'\\' { bytes.next() } else { None }) {
            (_, Some(b'r')) => b'\r',
            (_, Some(b'n')) => b'\n',
            (_, Some(b't')) => b'\t',
            (_, Some(b'0')) => 0,
            (_, Some(b'x')) => {
                let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            (_, Some(other)) => other,
            (byte, None) => byte,
        });
    }
    out
}

fn matches(pattern: &str, line: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == line };
    line.len() >= head.len() + tail.len() && line.starts_with(head) && line.ends_with(tail)
}
