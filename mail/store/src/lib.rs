//! Every SQLite file of a volume: mailboxes, spools, the directory; and `keys.json` beside them.
//!
//! Start with [`Mailboxes::attach`], which opens a mailbox with its key, and [`Mailbox`], which answers the verbs of
//! [`model::verbs`]. [`Spools`] keeps mail sealed for owners who are away; [`Layout`] says where everything lies.
//!
//! Invariants:
//! * What was answered is on disk; changes of flags alone are within a second.
//! * What came in comes out, byte for byte.
//! * Nothing readable is on disk: a mailbox is encrypted by its own key, which is in memory only, shielded.
//! * No read transaction spans a network wait, and blocking work never runs on the async workers.

pub mod adopt;
mod append;
mod archive;
mod bodies;
mod copy;
mod deliver;
mod delta;
mod directory;
mod done;
mod error;
mod expunge;
mod fetch;
mod flags;
mod folders;
mod grave;
mod hold;
mod keysfile;
mod layout;
mod mailbox;
mod mailboxes;
pub mod offline;
mod open;
pub mod purge;
mod restored;
mod rows;
mod schema;
pub mod sealed;
mod search;
mod select;
mod snapshot;
mod spool;
mod state;
mod wal;
mod writer;

pub use append::Body;
pub use archive::{Archive, Notices};
pub use deliver::{Delivered, Delivery};
pub use directory::DirectoryFile;
pub use error::StoreError;
pub use hold::Held;
pub use keysfile::KeysFile;
pub use layout::Layout;
pub use mailbox::Mailbox;
pub use mailboxes::{Fence, Limits, Mailboxes};
pub use restored::Soundness;
pub use snapshot::{Copied, Snapshotted};
pub use spool::{
    Aside, FINGERPRINT_LIFE, Inserted, NewWaiting, Spool, SpoolLimits, SpoolState, Spools, Taken, Waiting,
};
pub use state::Room;
