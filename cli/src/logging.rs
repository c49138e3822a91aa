//! Logs: JSON lines on standard error for roles, nothing but problems for people's commands.
//!
//! `SEALPOST_LOG` takes `tracing` directives. Whatever it says, only our own code may speak below `info`: libraries of
//! protocols trace what they send and receive, and that is mail.

use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// Logs of a role (`info` by default).
pub fn role() {
    let lines = tracing_subscriber::fmt::layer().json().with_writer(std::io::stderr);
    tracing_subscriber::registry().with(lines.with_filter(filter_fn(is_harmless))).with(directives("info")).init();
}

/// Logs of a command a person runs (`warn` by default).
pub fn person() {
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).without_time();
    tracing_subscriber::registry().with(lines.with_filter(filter_fn(is_harmless))).with(directives("warn")).init();
}

fn directives(default: &str) -> EnvFilter {
    EnvFilter::try_from_env("SEALPOST_LOG").unwrap_or_else(|_| EnvFilter::new(default))
}

/// True for what we say ourselves, and for what libraries say at `info` and above.
fn is_harmless(metadata: &tracing::Metadata<'_>) -> bool {
    metadata.target().starts_with("sealpost") || *metadata.level() <= tracing::Level::INFO
}
