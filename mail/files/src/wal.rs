//! Reading a write-ahead log of SQLite from another process and without any key: which frames are whole, and where commits
//! end. SQLCipher keeps the format and computes the checksums over the encrypted pages.
//!
//! ```text
//! header: magic | version | page size | sequence | salt 1 | salt 2 | checksum 1 | checksum 2          (8 big-endian u32)
//! frame:  page number | pages of the database, 0 within a transaction | salts | checksum | the page   (6 u32, page size)
//! ```
//!
//! * The checksum runs: that of a frame covers the first 8 octets of its header and its page, beginning with the checksum
//!   before it. So a frame whose checksum fits proves every frame before it back to the header.
//! * A frame counts if its salts are the header's, its page number is not 0 and its checksum fits; the first that does not
//!   ends the log. Frames behind the last commit are no part of it yet: they may be overwritten.
//! * A reset gives the header other salts. What is left of the life before stays behind the new frames until it is
//!   overwritten, and its salts tell it apart.
//! * Committed frames do not change until the next reset. Whoever reads them without keeping that reset away checks again
//!   what was read: [`Wal::copy`] does.
//!
//! Start with [`Wal::open`]. Nothing is kept open or in memory for a log that nobody looks at.

mod checksum;
mod format;
mod reader;

pub use checksum::Checksum;
pub use format::{FRAME_HEADER, Frame, Frames, HEADER, Header};
pub use reader::{Commit, Position, Wal};

#[cfg(test)]
mod tests;
