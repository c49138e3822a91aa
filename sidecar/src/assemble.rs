//! From a bucket to the files of a mailbox, without any key: a base, the segments behind it, `keys.json`.
//!
//! * Every object is checked before a byte of it counts: signature, signer, name, size, hash; then SQLite's checksum of each
//!   frame, and that it follows the object before it. The first that fails ends the work with a [`Damage`] that names it, and
//!   with the last commit that can still be restored.
//! * What is asked for inside a gap is cut before it, or refused where a certain commit was asked for. The gap is named.
//! * The spool is cut at the time of the mailbox's last commit, or at the time asked for. That is enough: a message leaves the
//!   spool only after the mailbox commit that took it was archived, so that commit's time is the earlier one.
//! * Before the window, and inside a gap, the newest snapshot at or before the time that was asked for is restored.
//! * The keys are always the newest: a restored mailbox opens with its owner's present password.
//!
//! What a crash leaves: `*.partial` files in the folder. A file with its final name is whole and synced.
//!
//! Start with [`Source::open`], then [`assemble`].
//!
//! ```text
//! <folder>/mailbox.sqlite   absent where nobody ever logged in
//! <folder>/spool.sqlite     absent where no mail ever waited
//! <folder>/keys.json
//! ```

mod apply;
mod error;
mod fetch;
mod inventory;
mod plan;
mod run;
mod snapshot;
mod source;

pub use error::{AssembleError, Gone};
pub use inventory::{BaseName, Inventory, Names, SegmentName, SnapshotName};
pub use plan::{Plan, PlanFault, plan};
pub use run::{Assembled, Progress, Reached, Target, assemble};
pub use snapshot::newest_snapshot;
pub use source::{Source, archives, roots, timelines};

#[cfg(doc)]
use crate::format::Damage;
