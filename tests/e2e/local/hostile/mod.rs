//! Input that no honest client sends: it is stored byte for byte or refused with a reason, in bounded memory and time,
//! while everybody else is served and no process ends.

mod commands;
mod floods;
mod folders;
mod large;
mod messages;
mod smuggling;
mod watch;

use crate::harness::Server;
use crate::harness::imap::{Client, Line};

/// A session of the mailbox that is attacked. The one that must not notice is `ud@example.test`, see [`watch::Watch`].
fn victim(server: &Server) -> Client {
    server.imap("ua@example.test", "pass")
}

/// The tagged answer without its tag.
fn answer(lines: &[Line]) -> &str {
    let text = &lines.last().unwrap().text;
    text.split_once(' ').unwrap().1
}

/// A header and a body that say nothing.
fn message(id: &str) -> Vec<u8> {
    format!("From: <a@elsewhere.example>\r\nMessage-ID: <{id}@elsewhere.example>\r\nSubject: {id}\r\n\r\nbody {id}\r\n")
        .into_bytes()
}

/// Octets that no compressor shrinks, the same ones each time.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
