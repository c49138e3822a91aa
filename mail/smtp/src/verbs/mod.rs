//! A file for each verb. A verb is a method that returns its reply; all share the transaction they build.

mod accept;
mod bdat;
mod data;
mod ehlo;
mod mail;
mod quit;
mod rcpt;
mod rset;
mod starttls;
pub(crate) mod vrfy;

use std::sync::Arc;

use model::{Address, Directory, MailboxId};

use crate::body::Body;
use crate::path::Path;

/// From MAIL to the end of the content.
#[derive(Debug)]
pub(crate) struct Transaction {
    pub from: Path,
    /// SMTPUTF8 was asked for.
    pub utf8: bool,
    /// Those accepted.
    pub recipients: Vec<To>,
    /// Largest message, in octets, as it was when MAIL was answered.
    pub limit: u64,
    /// The directory by which the last recipient was accepted.
    pub directory: Option<Arc<Directory>>,
    /// Content of BDAT chunks so far.
    pub chunks: Option<Body>,
    /// A chunk was refused: the rest is skipped until RSET (RFC 3030 section 2).
    pub broken: bool,
}

/// An accepted recipient.
#[derive(Debug, Clone)]
pub(crate) struct To {
    /// RCPT TO as given.
    pub text: String,
    pub address: Address,
    pub mailboxes: Vec<MailboxId>,
}
