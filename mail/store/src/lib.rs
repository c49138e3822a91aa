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

mod append;
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
mod keysfile;
mod layout;
mod mailbox;
mod mailboxes;
mod open;
mod rows;
mod schema;
mod search;
mod select;
mod spool;
mod state;
mod writer;

pub use append::Body;
pub use deliver::{Delivered, Delivery};
pub use directory::DirectoryFile;
pub use error::StoreError;
pub use keysfile::KeysFile;
pub use layout::Layout;
pub use mailbox::Mailbox;
pub use mailboxes::{Limits, Mailboxes};
pub use spool::{Aside, FINGERPRINT_LIFE, Inserted, NewWaiting, Spool, SpoolLimits, SpoolState, Spools, Waiting};
pub use state::Room;
