//! The IMAP4rev1 front end (RFC 3501 and extensions): grammar, sessions, one file per verb under `verbs`.
//!
//! It knows mailboxes only through [`Accounts`] and [`Mailbox`], so nothing here opens a file or a socket: the caller
//! hands over a stream, this crate speaks on it until one side leaves or asks for TLS.
//!
//! Start with [`run`] for the life of a connection, [`backend`] for what an implementor promises, and
//! [`parse::parse`] for the grammar.
//!
//! Invariants:
//! * Sequence numbers exist only here: [`Mailbox`] sees UIDs. A number changes its message only by an EXPUNGE response
//!   that this session has sent.
//! * A command is read only after the one before it was answered; up to 16 consecutive APPENDs to one folder excepted.
//! * Memory is bounded per connection: a line, the literals of one command, a few output buffers, and at most
//!   16 APPEND bodies of 1 MiB; larger bodies and large FETCH literals stream.
//! * Passwords are wiped after use, and neither they nor folder names nor mail are ever logged.

pub mod backend;
mod capability;
mod config;
mod error;
mod folder;
mod frame;
mod io;
pub mod parse;
mod reply;
mod session;
mod verbs;

pub use backend::{Accounts, Body, Ended, LoginError, Mailbox, Notice};
pub use config::{Client, Config, Limits, Security};
pub use error::ImapError;
pub use session::{Outcome, run};
