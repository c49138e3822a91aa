//! The primary's side: listener, links, calls.

mod calls;
mod connection;
mod listen;
mod push;
mod service;
mod streams;

pub use listen::Server;
pub use push::PushHandle;
pub use service::{Caller, Service};
pub use streams::{BodyReader, FetchSender};
