//! Certificates that are replaced while a process runs.

use std::time::Duration;

use crate::TlsError;

/// How often files are looked at: it costs a few small reads, and whoever replaces one by hand wants to see it in force.
const PERIOD: Duration = Duration::from_secs(2);

/// Reads files again and again, for ever: `reload` is [`Identity::reload`](crate::Identity::reload) or
/// [`PublicCertificate::reload`](crate::PublicCertificate::reload). Files that cannot be used are told of once.
pub async fn follow(what: &'static str, reload: impl Fn() -> Result<bool, TlsError>) {
    let mut clock = tokio::time::interval(PERIOD);
    let mut fails = false;
    loop {
        clock.tick().await;
        match reload() {
            Ok(changed) => {
                if changed {
                    tracing::info!(what, "a certificate was replaced");
                }
                fails = false;
            }
            Err(error) => {
                if !fails {
                    tracing::warn!(what, error = error.to_string(), "the previous certificate stays in force");
                }
                fails = true;
            }
        }
    }
}
