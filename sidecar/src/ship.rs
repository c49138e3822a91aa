//! From the files of a mailbox to a bucket, without any key: bases, then every committed frame of the WALs.
//!
//! * Only whole commits leave, after their frames were synced and each checksum was computed again.
//! * The archive of a database is one chain of headers. Where it stands is its [`Line`]; [`decide`] compares that with the
//!   WAL and its record and says how to go on. A **gap** (frames are lost to the archive, the file is sound) begins again with
//!   a base in the same timeline; a **fork** (the archive has frames that the volume has not) begins a new timeline.
//! * The bucket is the truth. The state on the volume is a memory of it: what is missing there is found again by a listing
//!   ([`resume`]), so no segment costs a durable write here.
//! * A mailbox that was restored in place goes on in a new timeline, which its manifests name the restore for ([`adopted`]):
//!   the numbers of its commits begin again where the restored file has them.
//! * An object that is there already under its name was our own write whose answer was lost, or the writer is not alone.
//! * Times never go back along an archive. A commit whose time was never told has that of the next one known, at the latest
//!   the time of its upload: so every commit is earlier than anything that was done because it had been archived.
//!
//! What a crash leaves: objects that no manifest names yet. A segment or base among them is found by the listing and used,
//! or lies beside the chain and is never needed. Tails in `outbox/` are whole or are not there.
//!
//! ```text
//! <data>/sidecar/signer.json           the key that signs
//! <data>/sidecar/mailboxes/<id>.json   where the archive of a mailbox stands
//! <data>/outbox/<id>/*.seg             tails of WALs that were folded in, on their way to the bucket
//! ```
//!
//! Start with [`Shipper::pass`].

mod adopted;
mod decide;
mod error;
mod keep;
mod line;
mod look;
mod make;
mod number;
mod outbox;
mod pass;
mod rest;
mod resume;
mod retain;
mod snapshot;
mod state;
mod step;

pub use adopted::adopted;
pub use decide::{Course, decide};
pub use error::ShipError;
pub use keep::kept;
pub use line::{LastBase, Line};
pub use look::{Log, Seen, look};
pub use make::{Made, Stamp, digest};
pub use number::{Renumbered, before_first, points};
pub use outbox::Outbox;
pub use pass::{Passed, Shipper, Told};
pub use rest::at_rest;
pub use retain::{Removed, Rules};
pub use snapshot::Uploaded;
pub use state::{MailboxState, Met, States};
