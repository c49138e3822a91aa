//! Mail into mailboxes: at once where the key is here, sealed into the spool otherwise, drained when the key comes.
//!
//! Invariants:
//! * `Stored` and `Duplicate` are said after the commit, in the mailbox or the spool, has been fsynced.
//! * A sealed message never waits beside an attached session: attaching schedules a drain after the session is
//!   registered, and an insert looks for a session after its commit; whichever comes second sees the other.
//! * A drain takes messages in order, each exactly once: its delivery id commits with it in the mailbox, and the row
//!   goes afterwards. One that cannot be stored is set aside and reported; it holds up nothing.
//!
//! What a crash leaves: rows that the mailbox has already; the next drain removes them.

mod arrival;
mod drain;
mod query;
mod route;

pub use arrival::Arrival;
pub use drain::Lanes;
pub use route::{deliver, settle};

#[cfg(test)]
mod tests;
