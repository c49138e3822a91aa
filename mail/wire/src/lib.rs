//! The wire: how secondaries ask a primary, and how it tells them what changed.
//!
//! Per link two WebSockets at `/v1/wire`, both inside mutual TLS 1.3 with X25519MLKEM768: *control* for small calls and
//! pushes, *bulk* for what has a body (FETCH, APPEND, mail). A link is up only when both are; if one breaks, both go.
//!
//! Start with [`proto`] for what travels, [`Service`] for what a primary implements, [`Server`] to serve it,
//! [`ShardClient`] to ask it, [`Events`] for what a secondary is told.
//!
//! Invariants:
//! * Every limit is explicit (see [`limits`]); what is full answers a [`Failure`](model::verbs::Failure) and drops nothing.
//! * The reader of a socket never waits: stream data is bounded by credit, so a slow reader of one stream delays only that
//!   stream.
//! * A role may call what its scope lists (see [`scope`]), checked on the server before anything else is looked at.
//! * An unreachable shard is `Unavailable`, never an unknown user or a wrong password.
//! * Pushes are hints: they coalesce, may repeat and may be lost with a link; the next call tells the truth.
//! * Calls of one session run concurrently on the server. Where order matters, the caller waits, or `seq` says it.

mod client;
mod codec;
mod error;
mod fuzz;
pub mod limits;
mod outbox;
pub mod proto;
pub mod scope;
mod server;
mod socket;
mod window;

pub use client::{Body, ClientConfig, Events, FetchStream, ShardClient};
pub use error::WireError;
#[doc(hidden)]
pub use fuzz::{frames, parse};
pub use proto::{Hello, HelloReply, LinkId, LiveSession};
pub use scope::Verb;
pub use server::{BodyReader, Caller, FetchSender, PushHandle, Server, Service};
