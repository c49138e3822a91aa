//! One file per verb: each adds a method to [`crate::session::Session`] that does its work, writes its untagged
//! responses, and returns its tagged answer.

mod capability;
mod close;
mod copy;
mod create;
mod delete;
mod enable;
mod expunge;
mod fetch;
mod id;
mod idle;
mod list;
mod login;
mod lsub;
mod namespace;
mod noop;
mod rename;
mod search;
mod select;
mod starttls;
mod status;
mod store;
mod subscribe;

use model::verbs::{Answer, FolderChange, Request};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::ImapError;
use crate::backend::Accounts;
use crate::parse::name;
use crate::reply::{Reply, Stop};
use crate::session::Session;

/// A folder name that a client gave, or the answer that it is none.
fn folder_name(raw: &[u8]) -> Result<String, Stop> {
    name::folder(raw).ok_or_else(|| Reply::no("Invalid mailbox name").code("CANNOT").into())
}

/// Appends a folder name as clients read it: modified UTF-7, quoted where it is no atom.
fn write_name(out: &mut Vec<u8>, name: &str) {
    let encoded = name::encode(name);
    if !encoded.is_empty() && encoded.bytes().all(crate::parse::is_atom) && !encoded.eq_ignore_ascii_case("NIL") {
        out.extend_from_slice(encoded.as_bytes());
        return;
    }
    out.push(b'"');
    for byte in encoded.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send, A: Accounts> Session<S, A> {
    /// Changes the folder tree.
    async fn change_folders(&mut self, change: FolderChange) -> Result<(), Stop> {
        let seq = self.next_seq()?;
        match self.ask(Request::FolderChange { seq, change }).await? {
            Answer::Done => Ok(()),
            _ => Err(ImapError::Answer("FolderChange").into()),
        }
    }

    /// Messages that a sequence command asked for have gone: nothing is done, the client is told at the next chance.
    fn expunge_issued() -> Reply {
        Reply::no("Some of the messages no longer exist").code("EXPUNGEISSUED")
    }
}
