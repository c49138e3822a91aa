//! What is in a bucket, and whether it is whole: looked at from outside, with neither server nor key.
//!
//! * [`listed`] reads names, the newest manifest and the header of the last segments: a few requests per archive.
//! * [`verify`] reads everything: that every object is what its name says, is signed by an owner of the shard, has the
//!   content that was signed, and follows the one before it; that manifests follow each other, and that what the newest one
//!   lists is there. What cannot be seen from here is whether frames are those of a sound database: a restore shows that.
//! * Damage is collected, not fatal: the rest is looked at all the same, and what can still be restored is said.
//!
//! Whose signatures count is the [`Source`]'s business.

mod chain;
mod listing;
mod reach;
mod verify;

pub use listing::{Listed, listed};
pub use reach::Restorable;
pub use verify::{Depth, Verified, verify};

#[cfg(doc)]
use crate::assemble::Source;

#[cfg(test)]
mod tests;
