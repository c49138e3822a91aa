//! Every limit of the wire, with its unit and its reason.

use std::time::Duration;

/// Largest message to a primary, in bytes: bodies come in pieces, so only a long UID set comes near.
pub const MAX_REQUEST: usize = 1024 * 1024;
/// Largest single answer or event, in bytes: the delta or the folder list of a very large mailbox.
pub const MAX_REPLY: usize = 16 * 1024 * 1024;
/// Largest message to a secondary, in bytes: the directory travels in one piece (some 200 bytes per mailbox).
pub const MAX_DIRECTORY: usize = 64 * 1024 * 1024;
/// Piece of a body, in bytes: large enough to cost nothing per piece, small enough to share a socket.
pub const PIECE: usize = 128 * 1024;
/// What a stream may have under way, in bytes: at 1 ms round trip 500 MB/s. Costs that much memory per stream whose reader
/// is slow, at the receiver.
pub const WINDOW: usize = 512 * 1024;
/// Calls that a secondary has in flight on one control socket; more wait. The primary refuses twice as many: calls that
/// nobody waits for any more still run there.
pub const MAX_CALLS: usize = 1024;
/// The same for streams on one bulk socket: times [`WINDOW`] is the most memory they hold.
pub const MAX_STREAMS: usize = 256;
/// Messages waiting for the writer of a socket.
pub const QUEUE: usize = 64;
/// Octets of them: what a peer that does not read can hold, beside one answer of any size.
pub const QUEUE_BYTES: usize = 4 * 1024 * 1024;
/// Live sessions that one link may report.
pub const MAX_SESSIONS: usize = 200_000;
/// Live sessions in one message.
pub const SESSIONS_PER_MESSAGE: usize = 4096;
/// Folders that a hint names; more become "any".
pub const MAX_HINT_FOLDERS: usize = 64;
/// Key queries that a secondary works on at a time; more are answered with none.
pub const MAX_KEY_QUERIES: usize = 64;
/// Connections that a primary serves at a time, whatever is spoken on them.
pub const MAX_CONNECTIONS: usize = 2048;
/// Nesting of a message: a search key within search keys. Deeper is refused before the stack ends.
pub const MAX_DEPTH: usize = 256;

/// How long a call waits, all in all, for a link: a primary restarts in seconds, a client gives up after 30.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// How long an answer may take on a link that is alive: the search of a very large mailbox.
pub const CALL_LIMIT: Duration = Duration::from_mins(5);
/// How long a stream may stand still before it counts as broken: on the side that waits for bytes.
pub const STALL: Duration = Duration::from_mins(1);
/// A body must make so much progress, in octets, ...
pub const PACE: u64 = 64 * 1024;
/// ... in each such span (3 KiB/s): while it comes, it holds memory that others wait for.
pub const PACE_SPAN: Duration = Duration::from_secs(20);
/// How long a stream may stand still because its reader takes nothing: a phone in a tunnel.
pub const READER_STALL: Duration = Duration::from_mins(10);
/// TCP, TLS, WebSocket and Hello, together.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Between two pings.
pub const PING_EVERY: Duration = Duration::from_secs(5);
/// Between two reports of all live sessions; keys of sessions not reported for 30 s are dropped.
pub const LIVE_EVERY: Duration = Duration::from_secs(10);
/// After so long without a message the peer's buffers are overwritten: less than [`PING_EVERY`].
pub const QUIET: Duration = Duration::from_secs(1);
/// How long the last words on a socket may take.
pub const FAREWELL: Duration = Duration::from_secs(1);
/// A link on which nothing comes for so long is dead.
pub const SILENCE: Duration = Duration::from_secs(15);
/// First and longest pause before connecting again; each pause is doubled and drawn between half and all of it.
pub const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// For so long after a primary said that it stops, no pause grows: it is being started again.
pub const HURRY: Duration = Duration::from_secs(15);
/// `TCP_NOTSENT_LOWAT`, in bytes: what waits in the kernel cannot be overtaken by a small answer.
pub const NOTSENT_LOWAT: u32 = 128 * 1024;
