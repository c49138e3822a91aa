//! What a connection is configured with.

use std::net::SocketAddr;
use std::time::Duration;

/// Settings shared by all connections of a listener.
#[derive(Debug, Clone)]
pub struct Config {
    /// Host name in the greeting.
    pub hostname: String,
    /// Sizes and times.
    pub limits: Limits,
}

/// Bounds of one connection.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Longest command outside its literals, in octets. Clients send UID sets of some 10 KiB.
    pub line: usize,
    /// Most octets in the literals of one command other than an APPEND's message.
    pub literals: u64,
    /// The same before login.
    pub literals_before_login: u64,
    /// Largest message APPEND takes, in octets (announced as APPENDLIMIT).
    pub append: u64,
    /// A client that is not logged in may be silent for this long.
    pub before_login: Duration,
    /// A client that is logged in may be silent for this long (at least 30 minutes: RFC 3501 section 5.4).
    pub idle: Duration,
    /// A client may take this long to accept any octet of output, and to send any octet of a literal.
    pub stalled: Duration,
    /// After this many BAD answers in a row the connection ends.
    pub bad_commands: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            line: 64 << 10,
            literals: 1 << 20,
            literals_before_login: 8 << 10,
            append: 100 << 20,
            before_login: Duration::from_mins(1),
            idle: Duration::from_mins(30),
            stalled: Duration::from_mins(5),
            bad_commands: 20,
        }
    }
}

/// Who is on the other end, and how safe the way is.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    /// Its address.
    pub address: SocketAddr,
    /// See [`Security`].
    pub security: Security,
}

/// State of the transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// TLS from the first octet.
    Tls,
    /// Clear text on which STARTTLS is offered and nobody can log in.
    StartTls,
    /// TLS after STARTTLS: no greeting is sent again.
    Upgraded,
    /// Clear text on which one can log in: development and benchmarks on the loopback interface only.
    DevPlain,
}

impl Security {
    /// True where passwords may be sent.
    pub fn admits_passwords(self) -> bool {
        self != Self::StartTls
    }
}
