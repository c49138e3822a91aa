//! The socket on which a running `sealpost up` answers the other commands.
//!
//! `<state>/run/up.sock`, mode 0600. A client sends one JSON line, the server answers with one and closes. Nothing that
//! opens a mailbox travels here: key bundles are wrapped before they are sent.

use std::path::Path;

use anyhow::{Context, bail};
use model::Address;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use crate::up::Status;

/// What can be asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Ask {
    /// What runs, and where.
    Status,
    /// Which mailbox has this address? Answered by [`Told::Done`] if it awaits its keys.
    Awaiting(Address),
    /// Installs a first keyset.
    Keys {
        /// The mailbox's address.
        address: Address,
        /// `keys.json`: wrapped, so no secret.
        keys: String,
    },
    /// Removes an object whose manifest is gone.
    Delete {
        /// Kind, in any case.
        kind: String,
        /// `metadata.name`.
        name: String,
    },
}

/// The answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Told {
    /// To [`Ask::Status`].
    Status(Status),
    /// It is done; the text says what.
    Done(String),
    /// It is not; the text says why and what to do.
    Refused(String),
}

/// Path of the socket.
pub fn socket(state: &Path) -> std::path::PathBuf {
    state.join("run/up.sock")
}

/// Asks the `up` that runs on this state folder.
pub async fn ask(state: &Path, question: &Ask) -> anyhow::Result<Told> {
    let path = socket(state);
    let Ok(stream) = UnixStream::connect(&path).await else {
        bail!(
            "nothing runs on the state folder {}\n  start it with: sealpost up -f config/samples --state {}",
            state.display(),
            state.display()
        );
    };
    let mut stream = BufReader::new(stream);
    let mut line = serde_json::to_vec(question)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    let mut answer = String::new();
    stream.read_line(&mut answer).await?;
    serde_json::from_str(&answer).context("the answer of `sealpost up` makes no sense; are both of the same version?")
}
