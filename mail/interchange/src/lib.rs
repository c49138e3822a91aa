//! Mail as other programs keep it: Maildir++, mbox (mboxrd), and folders of .eml files; written and read back.
//!
//! Start with [`Writer`], which puts folders and messages into one of the [`Format`]s, and [`Source`], which reads them,
//! also where another program wrote them. [`Staging`] makes sure that a result is there whole or not at all.
//!
//! Invariants:
//! * What goes in comes out: bytes, system flags, keywords, INTERNALDATE to the second, folder names, subscriptions.
//! * Files of another program are read with its conventions: `Status` headers of an mbox are flags and not part of the
//!   message, and a message in which no line ends in CRLF gets them. Bytes that we wrote are never changed: the manifest
//!   (Maildir, EML) or our header block (mbox) tells them.
//! * A folder name never leads out of the folder it is written to, whatever characters it is made of.
//! * Everything is readable by its owner only (0600, 0700).
//!
//! What a crash leaves: see [`Staging`].

mod eml;
mod error;
mod maildir;
mod manifest;
mod mbox;
mod message;
mod names;
mod output;
mod source;
mod staging;
mod writer;

pub use error::InterchangeError;
pub use manifest::{Aside, Damaged};
pub use message::{Folder, Format, Message};
pub use source::{Messages, Source};
pub use staging::Staging;
pub use writer::{Writer, Written};

#[cfg(test)]
mod tests;
