//! `sealpost up`: a whole mail server on one machine, from the manifests a cluster would get.
//!
//! It plays the operator (see [`reconcile`]) and the kubelet (see [`child`]): one process per role, on loopback, restarted
//! with backoff, stopped front ends first. Everything it keeps is under one folder (see [`state`]).

mod buckets;
mod child;
mod objects;
mod pki;
mod plane;
mod ports;
mod purge;
mod reconcile;
mod restore;
mod runs;
mod serve;
mod state;
mod status;

use std::time::Duration;

use anyhow::{Context, bail};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

pub use status::Status;

use crate::args::Up;
use crate::control::{Ask, Told};
use plane::Plane;
use ports::Chooser;
use reconcile::Reconciler;
use state::StateDir;

/// How often manifests are looked at, and what failed is tried again.
const PERIOD: Duration = Duration::from_secs(1);
/// How long a start may take: opening directories, certificates, processes.
const START: Duration = Duration::from_mins(1);
/// How much longer for each object: the first keys of a mailbox are one run of Argon2id, one mailbox after the other.
const FIRST_KEYS: Duration = Duration::from_secs(2);

/// Runs until Ctrl-C or SIGTERM.
pub async fn run(options: Up) -> anyhow::Result<()> {
    let manifests = objects::read(&options.files)?;
    objects::server(&manifests.objects)?;
    let state = StateDir::open(&options.state)?;
    let chooser = Chooser(options.ports);
    chooser.check(options.imap_replicas, options.dev_plain)?;
    let mut memory = state.recall()?;
    objects::follows(&manifests.objects, &memory.objects)?;
    if memory.own(state.volume()?) {
        eprintln!("! the volume is another one than before: it is owned under term {} from now on", memory.term);
    }
    let objects = objects::merge(manifests.objects.clone(), &mut memory.objects)?;
    let server = objects::server(&objects.all)?;
    let pki = pki::prepare(&state, &memory.server)?;
    if let pki::Public { files: None, broken: true, finding: Some(finding), .. } =
        pki::public(&state, server, &objects.all)?
    {
        bail!(finding);
    }
    let listener = serve::listen(state.root())?;

    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut plane = Plane::new(&state, &memory, server, pki, chooser)?;
    let mut reconciler = Reconciler::new(state, memory, options.files.clone(), options.buckets, manifests.objects)?;
    let patience =
        START.saturating_add(FIRST_KEYS.saturating_mul(u32::try_from(objects.all.len()).unwrap_or(u32::MAX)));
    let started = async {
        tokio::time::timeout(patience, start(&mut plane, &mut reconciler, &options))
            .await
            .context("the server does not start")?
    };
    let result = tokio::select! {
        started = started => started,
        _ = interrupt.recv() => Err(anyhow::anyhow!("interrupted")),
        _ = terminate.recv() => Err(anyhow::anyhow!("terminated")),
    };
    if let Err(error) = result {
        plane.stop().await;
        return Err(error);
    }
    print!("{}", plane.greeting(&reconciler));

    let (send, mut questions) = mpsc::channel(16);
    let socket = tokio::spawn(serve::serve(listener, send));
    let mut tick = tokio::time::interval(PERIOD);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut current = true;
    loop {
        if !plane.has_fronts() && reconciler.public.files.is_some() {
            tokio::select! {
                started = start_fronts(&mut plane, &reconciler, &options) => started?,
                _ = interrupt.recv() => break,
                _ = terminate.recv() => break,
            }
        }
        // People first: where every pass takes its whole deadline, the next one is always due.
        tokio::select! {
            biased;
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            Some((ask, back)) = questions.recv() => {
                let told = answer(ask, &mut reconciler, &plane, current).await;
                let _ = back.send(told);
            }
            // A pass that a signal cuts short is made good by the next start.
            _ = tick.tick() => tokio::select! {
                settled = settle(&mut reconciler, &plane) => current = settled,
                _ = interrupt.recv() => break,
                _ = terminate.recv() => break,
            },
        }
    }
    socket.abort();
    println!("stopping");
    plane.stop().await;
    println!("stopped; everything is kept in {}", options.state.display());
    Ok(())
}

async fn start(plane: &mut Plane, reconciler: &mut Reconciler, options: &Up) -> anyhow::Result<()> {
    plane.start_primary(&reconciler.state).await?;
    // Before the sidecar claims archives for it.
    reconciler.remember_volume()?;
    plane.start_sidecar(&reconciler.state).await?;
    reconciler.reconcile(&plane.shard()?).await?;
    if reconciler.public.files.is_none() {
        return Ok(());
    }
    start_fronts(plane, reconciler, options).await
}

async fn start_fronts(plane: &mut Plane, reconciler: &Reconciler, options: &Up) -> anyhow::Result<()> {
    let Some(public) = reconciler.public.files.clone() else { return Ok(()) };
    let started = plane.start_secondaries(&reconciler.state, &public, options);
    tokio::time::timeout(START, started).await.context("the front ends do not start")?
}

/// One reconciliation; true where the shard has what is declared.
async fn settle(reconciler: &mut Reconciler, plane: &Plane) -> bool {
    // While the primary restarts there is nothing to reconcile with; the next tick tries again.
    let Ok(shard) = plane.shard() else { return false };
    match reconciler.reconcile(&shard).await {
        Ok(current) => current,
        Err(error) => {
            tracing::warn!(error = format!("{error:#}"), "the directory could not be brought up to date; trying again");
            false
        }
    }
}

async fn answer(ask: Ask, reconciler: &mut Reconciler, plane: &Plane, current: bool) -> Told {
    match ask {
        Ask::Status => {
            let mut status = plane.status();
            status.ready &= current;
            status.mailboxes.clone_from(&reconciler.mailboxes);
            status.findings.clone_from(&reconciler.findings);
            status.backups.clone_from(&reconciler.backups);
            status.runs = reconciler.runs();
            status.declared_runs = runs::statuses(&reconciler.memory.declared_runs);
            Told::Status(status)
        }
        Ask::Awaiting(address) => {
            reconciler.awaiting(&address).map_or_else(Told::Refused, |id| Told::Done(id.to_string()))
        }
        Ask::Delete { kind, name } => match reconciler.delete(&kind, &name) {
            Ok(done) => {
                settle(reconciler, plane).await;
                Told::Done(done)
            }
            Err(why) => Told::Refused(why),
        },
        Ask::Restore(wish) => match reconciler.restore(&wish) {
            Ok(report) => {
                settle(reconciler, plane).await;
                Told::Run(Box::new(report))
            }
            Err(why) => Told::Refused(why),
        },
        Ask::Backup { run, address, deadline } => match reconciler.back_up(&run, &address, deadline) {
            Ok(report) => {
                settle(reconciler, plane).await;
                Told::Run(Box::new(report))
            }
            Err(why) => Told::Refused(why),
        },
        Ask::Purge { run, mailbox, deadline } => match reconciler.purge(&run, &mailbox, deadline) {
            Ok(report) => {
                settle(reconciler, plane).await;
                Told::Run(Box::new(report))
            }
            Err(why) => Told::Refused(why),
        },
        Ask::Run(id) => reconciler.run(&id).map_or_else(Told::Refused, |report| Told::Run(Box::new(report))),
        Ask::Keys { address, keys } => match install(&address, keys, reconciler, plane).await {
            Ok(()) => Told::Done(format!("{address} has its keys")),
            Err(why) => Told::Refused(why),
        },
    }
}

async fn install(
    address: &model::Address,
    keys: String,
    reconciler: &mut Reconciler,
    plane: &Plane,
) -> Result<(), String> {
    let id = reconciler.awaiting(address)?;
    let later = |error: anyhow::Error| format!("the shard cannot take keys now: {error:#}\n  try again in a moment");
    let shard = plane.shard().map_err(later)?;
    if !shard.install_keys(id, keys.into_bytes()).await.map_err(|error| later(error.into()))? {
        return Err(format!("{address} has its keys already"));
    }
    settle(reconciler, plane).await;
    Ok(())
}
