//! Why a verb failed, in the words IMAP has for it.

use serde::{Deserialize, Serialize};

use crate::Class;

/// Response codes of RFC 9051 section 7.1 and RFC 5530 that a store or the wire may give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Code {
    /// Nothing more precise.
    None,
    /// No such folder, and CREATE would not help.
    NonExistent,
    /// The target folder does not exist; CREATE would help.
    TryCreate,
    /// The name is taken.
    AlreadyExists,
    /// A name or value that cannot be.
    Cannot,
    /// The folder has children, or is in use.
    InUse,
    /// A message was expunged by another session.
    ExpungeIssued,
    /// Over quota.
    OverQuota,
    /// The volume is full: nothing the owner of the mailbox can do about.
    NoSpace,
    /// Too many keywords, folders, ...
    Limit,
    /// Not allowed: scope, read-only.
    NoPerm,
    /// A peer, a disk, a fence: later.
    Unavailable,
    /// The session must attach again: its key is gone from the primary.
    NotAttached,
    /// The slot was revoked or replaced; the session ends.
    Revoked,
    /// Another shard owns it.
    WrongShard,
    /// Larger than allowed.
    TooBig,
    /// Stored by APPEND or COPY, but the bytes are not acceptable (NUL).
    BadMessage,
    /// We are wrong.
    ServerBug,
}

/// A verb that failed. `text` is for people and never holds mail, keys or folder names of others.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{text}")]
pub struct Failure {
    /// What should happen next.
    pub class: Class,
    /// What to tell an IMAP client.
    pub code: Code,
    /// One line.
    pub text: String,
}

impl Failure {
    /// A failure whose class follows from its code.
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        let class = match code {
            Code::Unavailable | Code::NotAttached | Code::WrongShard | Code::InUse => Class::Transient,
            Code::OverQuota | Code::NoSpace => Class::Blocked,
            Code::ServerBug => Class::Bug,
            _ => Class::Invalid,
        };
        Self { class, code, text: text.into() }
    }

    /// A peer or disk that may be back soon.
    pub fn unavailable(text: impl Into<String>) -> Self {
        Self::new(Code::Unavailable, text)
    }
}
