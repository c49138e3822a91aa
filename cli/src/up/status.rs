//! What runs, and where: shared by `up`'s own output and `sealpost status`.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// State of a running `up`. Other programs rely on `ready`, `endpoints` and `pids`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Status {
    /// Everything serves, and the directory in force is the declared one.
    pub ready: bool,
    /// `imaps`, `imap`, `imap-plain`, `mx`; those of a further replica N end in `-N`.
    pub endpoints: BTreeMap<String, String>,
    /// `primary-0`, `secondary-imap-0`, `secondary-mx-0`.
    pub pids: BTreeMap<String, u32>,
    /// Mailboxes and their state, by address.
    pub mailboxes: BTreeMap<String, Mailbox>,
    /// What a person should know or do.
    pub findings: Vec<String>,
}

/// One mailbox.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Mailbox {
    /// Its opaque id: the name of its folder.
    pub id: String,
    /// `Ready`, `AwaitingOwner`, `Retained`, ...
    pub state: String,
    /// Messages waiting for their owner.
    pub waiting: u64,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", if self.ready { "ready" } else { "not ready" })?;
        for (name, address) in &self.endpoints {
            writeln!(f, "  {name:<14} {address}")?;
        }
        for (address, mailbox) in &self.mailboxes {
            let waiting = if mailbox.waiting == 0 { String::new() } else { format!(", {} waiting", mailbox.waiting) };
            writeln!(f, "  {address:<24} {}{waiting}", mailbox.state)?;
        }
        for finding in &self.findings {
            writeln!(f, "  ! {finding}")?;
        }
        Ok(())
    }
}
