//! The SMTP receiver (MX role): RFC 5321 with STARTTLS, SIZE, PIPELINING, 8BITMIME, SMTPUTF8, CHUNKING and
//! ENHANCEDSTATUSCODES. It does not relay and does not authenticate.
//!
//! Start with [`run`], which serves one connection, and [`Delivery`], through which it sees the rest.
//!
//! Invariants:
//! * `250` after a message is said only when every recipient's delivery reported it stored.
//! * DATA ends at CRLF `.` CRLF and at nothing else; content with a bare CR, a bare LF or a NUL is read to its end and
//!   refused. A command line ends at CRLF and at nothing else.
//! * `550 5.1.1` is said only with a complete directory at hand.
//! * Memory of a connection is bounded: one command line, one block of replies, and message bytes that are paid for
//!   from [`Budget`].
//! * Nothing that was sent in clear after STARTTLS is ever interpreted.
//! * Addresses and message contents are not logged.

mod body;
mod command;
mod config;
mod data;
mod delivery;
mod error;
mod fuzz;
mod head;
mod link;
mod path;
mod reply;
mod session;
mod trace;
mod verbs;

pub use body::Budget;
pub use config::{Config, Timeouts};
pub use delivery::{Delivery, Message};
pub use error::SmtpError;
pub use fuzz::parse;
pub use link::{BoxStream, Stream, TlsUpgrade};
pub use session::run;
