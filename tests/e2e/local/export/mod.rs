//! The owner's tools: files out of a stopped server, a password, and mail that other programs read; and back in.

mod bucket;
mod dovecot;
mod faults;
mod files;
mod python;
mod round_trip;
