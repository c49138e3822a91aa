//! One process of the data plane: read the configuration, serve until told to stop.

use std::path::Path;

use anyhow::Context;
use serde::de::DeserializeOwned;
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::args::Role;

/// Serves one shard.
pub fn primary(role: &Role) -> anyhow::Result<()> {
    let config = read(&role.config)?;
    serve(role.supervised, |stop| async move { Ok(primary::run(config, announce, stop).await?) })
}

/// Serves mail clients, or other mail servers.
pub fn secondary(role: &Role) -> anyhow::Result<()> {
    let config = read(&role.config)?;
    serve(role.supervised, |stop| async move { Ok(secondary::run(config, announce, stop).await?) })
}

fn read<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is not a configuration of this role", path.display()))
}

/// Tells the supervisor that the role serves, and where: one JSON line on standard output.
fn announce(endpoints: &std::collections::BTreeMap<String, std::net::SocketAddr>) {
    if let Ok(line) = serde_json::to_string(endpoints) {
        println!("{line}");
    }
}

fn serve<F, Fut>(supervised: bool, run: F) -> anyhow::Result<()>
where
    F: FnOnce(CancellationToken) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    crate::logging::role();
    let hardened = sys::process::harden_process();
    tracing::info!(?hardened, "process hardened");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let stop = CancellationToken::new();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let token = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                // Ctrl-C reaches the whole process group; a supervised child leaves the order of things to its parent.
                _ = interrupt.recv(), if !supervised => {}
                () = orphaned(), if supervised => {}
            }
            token.cancel();
        });
        let result = run(stop).await;
        if let Err(error) = &result {
            tracing::error!(error = format!("{error:#}"), "the role stopped");
        }
        result
    })
}

/// Returns when standard input has ended: the supervisor is gone.
async fn orphaned() {
    let mut stdin = tokio::io::stdin();
    let mut buffer = [0; 64];
    while matches!(stdin.read(&mut buffer).await, Ok(n) if n > 0) {}
}
