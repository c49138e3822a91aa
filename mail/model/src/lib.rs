//! The words every part of Sealpost shares: ids, addresses, the directory, and the verbs spoken about a mailbox.
//!
//! Pure values: no I/O, no clock, no randomness, no async runtime. A store answers in these types, the wire carries
//! them, the IMAP front end renders them; nothing is translated on the way.
//!
//! Start with [`verbs`] for what can be asked of a mailbox, [`Directory`] for where mail goes, [`Address`] for how a
//! recipient is compared. [`backup`] and [`cron`] are about copies of mailboxes.

mod address;
pub mod backup;
mod class;
mod columns;
pub mod cron;
mod directory;
mod flags;
mod ids;
pub mod mutf7;
pub mod plan;
mod uidset;
pub mod verbs;

pub use address::{Address, AddressError, Domain};
pub use class::Class;
pub use directory::{
    AliasEntry, Directory, Entry, MailboxEntry, MailboxState, Protocol, Reply, Route, Target, Unready,
};
pub use flags::{FlagSet, Keywords, SystemFlag};
pub use ids::{
    BootId, ContentId, DeliveryId, FolderId, Generation, IdError, KeysetId, MailboxId, ModSeq, ServerId, SessionId,
    ShardId, SlotId, Term, TxId, Uid, UidValidity,
};
pub use plan::{Binding, Bindings, Finding, ObjectRef, Plan, Purge, World};
pub use uidset::{UidSet, UidSetError};
