//! One process of the data plane: read the configuration, serve until told to stop.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use probes::Health;
use serde::de::DeserializeOwned;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::args::{Operator, Role};

/// How soon a sidecar begins again that could not work at all.
const SIDECAR_AGAIN: Duration = Duration::from_secs(10);

/// Serves one shard.
pub fn primary(role: &Role) -> anyhow::Result<()> {
    let config = read(&role.config)?;
    serve(role.supervised, role.probes, |health, stop| async move {
        Ok(primary::run(config, health, announce, stop).await?)
    })
}

/// Serves mail clients, or other mail servers.
pub fn secondary(role: &Role) -> anyhow::Result<()> {
    let config = read(&role.config)?;
    serve(role.supervised, role.probes, |health, stop| async move {
        Ok(secondary::run(config, health, announce, stop).await?)
    })
}

/// Archives the mailboxes of a shard. What keeps it from that keeps nobody else from anything: in a pod the primary is
/// started only while this process runs.
pub fn sidecar(role: &Role) -> anyhow::Result<()> {
    let config: sidecar::process::Config = read(&role.config)?;
    serve(role.supervised, role.probes, |health, stop| async move {
        // It listens nowhere.
        announce(&std::collections::BTreeMap::new());
        while let Err(error) = sidecar::run(config.clone(), health.clone(), stop.clone()).await {
            let hint = error.hint().unwrap_or_default();
            tracing::error!(
                error = format!("{:#}", anyhow::Error::from(error)),
                hint,
                "nothing is archived; trying again"
            );
            health.wait("what keeps it from its work");
            if stop.run_until_cancelled(tokio::time::sleep(SIDECAR_AGAIN)).await.is_none() {
                break;
            }
        }
        Ok(())
    })
}

/// Serves a cluster.
pub fn operator(options: Operator) -> anyhow::Result<()> {
    let Operator { namespace, name, image, watch_namespace, probes } = options;
    let only = watch_namespace.filter(|namespace| !namespace.is_empty());
    let config = operator::Config { namespace, name, image, only };
    serve(false, probes, |health, stop| async move {
        operator::run(config, health, stop).await.map_err(|error| {
            let hint = error.hint().map(|hint| format!("\n  {hint}")).unwrap_or_default();
            anyhow::anyhow!("{:#}{hint}", anyhow::Error::from(error))
        })
    })
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

/// Answers probes from the first moment on, so that a long start is not taken for a hanging one.
async fn answer_probes(at: Option<SocketAddr>, health: &Health, stop: &CancellationToken) -> anyhow::Result<()> {
    let Some(address) = at else { return Ok(()) };
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot answer probes on {address}"))?;
    tokio::spawn(probes::serve(listener, health.clone(), stop.clone()));
    Ok(())
}

fn serve<F, Fut>(supervised: bool, probes: Option<SocketAddr>, run: F) -> anyhow::Result<()>
where
    F: FnOnce(Health, CancellationToken) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    crate::logging::role();
    let hardened = sys::process::harden_process();
    tracing::info!(?hardened, "process hardened");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(async {
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
        // Probes are answered to the end: what drains is alive.
        let (health, probing) = (Health::starting(), CancellationToken::new());
        let _ended = probing.clone().drop_guard();
        let result = match answer_probes(probes, &health, &probing).await {
            Ok(()) => run(health, stop).await,
            Err(error) => Err(error),
        };
        if let Err(error) = &result {
            tracing::error!(error = format!("{error:#}"), "the role stopped");
        }
        result
    });
    // Not waited for: the thread that watches standard input reads until the supervisor closes it, which waits for us.
    runtime.shutdown_background();
    result
}

/// Returns when standard input has ended: the supervisor is gone.
async fn orphaned() {
    let mut stdin = tokio::io::stdin();
    let mut buffer = [0; 64];
    while matches!(stdin.read(&mut buffer).await, Ok(n) if n > 0) {}
}

#[cfg(test)]
mod tests;
