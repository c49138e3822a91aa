//! What can be set, with its unit, default and reason.

use std::time::Duration;

use crate::Budget;

/// Settings shared by all connections of a listener.
#[derive(Debug, Clone)]
pub struct Config {
    /// Name in greetings and trace headers while there is no directory to give one.
    pub hostname: String,
    /// Octets of a message while there is no directory to give a limit. Default 50 MiB.
    pub max_message_size: u64,
    /// Recipients of one transaction; RFC 5321 section 4.5.3.1.8 asks for at least 100. Default 1000.
    pub max_recipients: usize,
    /// Errors in one connection before 421. Default 20: people type, machines do not make so many.
    pub max_errors: u32,
    /// Refused recipients in one connection before 421: it makes harvesting addresses slow. Default 100.
    pub max_refused: u32,
    /// Commands since the last stored message before 421. Default 20,000: well above ten full transactions.
    pub max_commands: u32,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// Memory for messages being received, shared by all connections.
    pub budget: Budget,
}

impl Config {
    /// The defaults, under that host name.
    pub fn new(hostname: impl Into<String>) -> Self {
        Self {
            hostname: hostname.into(),
            max_message_size: 50 << 20,
            max_recipients: 1000,
            max_errors: 20,
            max_refused: 100,
            max_commands: 20_000,
            timeouts: Timeouts::default(),
            budget: Budget::default(),
        }
    }
}

/// Bounds in time (RFC 5321 section 4.5.3.2).
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For the rest of a command line. Default 5 minutes.
    pub command: Duration,
    /// Between two blocks of message content. Default 3 minutes.
    pub block: Duration,
    /// For the whole content of a message, so that a trickle does not hold memory for ever. Default 1 hour.
    pub content: Duration,
    /// For the client to take our replies. Default 5 minutes.
    pub write: Duration,
    /// For the TLS handshake. Default 1 minute.
    pub handshake: Duration,
    /// For storing a message. Default 5 minutes: clients wait 10 for the answer to the final dot.
    pub delivery: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            command: Duration::from_mins(5),
            block: Duration::from_mins(3),
            content: Duration::from_hours(1),
            write: Duration::from_mins(5),
            handshake: Duration::from_mins(1),
            delivery: Duration::from_mins(5),
        }
    }
}
