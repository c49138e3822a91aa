//! Logs: JSON lines on standard error for roles, nothing but problems for people's commands.

use tracing_subscriber::EnvFilter;

/// Logs of a role. `SEALPOST_LOG` takes `tracing` directives (`info` by default).
pub fn role() {
    let filter = EnvFilter::try_from_env("SEALPOST_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stderr).init();
}

/// Logs of a command a person runs.
pub fn person() {
    let filter = EnvFilter::try_from_env("SEALPOST_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().init();
}
