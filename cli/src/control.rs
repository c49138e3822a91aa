//! The socket on which a running `sealpost up` answers the other commands.
//!
//! `<state>/run/up.sock`, mode 0600. A client sends one JSON line, the server answers with one and closes. Nothing that
//! opens a mailbox travels here: key bundles are wrapped before they are sent.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, bail};
use control::report::RunReport;
use jiff::Timestamp;
use model::backup::ArchiveId;
use model::{Address, MailboxId};
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
    /// Restores a mailbox; answered by [`Told::Run`]. One of that id that is known already is told again.
    Restore(Box<Wish>),
    /// Makes a snapshot of a mailbox now; answered as a restore.
    Backup {
        /// Names it: one that was done is not done again.
        run: String,
        /// The mailbox.
        address: Address,
        /// It has failed if it is not done by then.
        deadline: Timestamp,
    },
    /// Removes a retained mailbox for good; answered as a restore. One that is at work on it already is told.
    Purge {
        /// Names it.
        run: String,
        /// The mailbox.
        mailbox: Retained,
        /// It has failed if it is not done by then.
        deadline: Timestamp,
    },
    /// How does that run fare?
    Run(String),
    /// Removes an object whose manifest is gone.
    Delete {
        /// Kind, in any case.
        kind: String,
        /// `metadata.name`.
        name: String,
    },
}

/// A restore.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wish {
    /// Names it: one that was done is not done again.
    pub run: String,
    /// The address of a mailbox, or an archive.
    pub source: Source,
    /// The last moment that is restored; none = all there is.
    pub at: Option<Timestamp>,
    /// The mailbox that gets it; none = in place.
    pub to: Option<Address>,
    /// It has failed when it is not done by then.
    pub deadline: Timestamp,
}

/// What is restored: an address, or `<serverId>/<mailboxId>/t<timeline>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// The newest archive of the mailbox with that address.
    Address(Address),
    /// Exactly this one.
    Archive(ArchiveId),
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains('@') {
            return text.parse().map(Self::Address).map_err(|error| format!("{error}"));
        }
        let wanted = "neither an address nor an archive: <serverId>/<mailboxId>/t<timeline>";
        text.parse().map(Self::Archive).map_err(|_| wanted.to_owned())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Archive(archive) => archive.fmt(f),
        }
    }
}

/// A mailbox that is to be purged: the address it had, or its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Retained {
    /// The one mailbox that is kept of that address.
    Address(Address),
    /// Exactly this one.
    Id(MailboxId),
}

impl FromStr for Retained {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains('@') {
            return text.parse().map(Self::Address).map_err(|error| format!("{error}"));
        }
        text.parse().map(Self::Id).map_err(|_| "neither an address nor the id of a mailbox".to_owned())
    }
}

impl fmt::Display for Retained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Id(id) => id.fmt(f),
        }
    }
}

/// The answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Told {
    /// To [`Ask::Status`].
    Status(Status),
    /// To [`Ask::Restore`], [`Ask::Backup`], [`Ask::Purge`] and [`Ask::Run`]
    Run(Box<RunReport>),
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
