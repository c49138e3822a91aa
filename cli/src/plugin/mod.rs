//! `kubectl sealpost`: what people do with mail servers in a cluster. The executable is the plugin when it is called
//! `kubectl-sealpost`.
//!
//! It reads and writes objects with the rights of whoever calls it, and talks to nobody but the API server.

mod fence;
mod logs;
mod numbers;
mod password;
mod pods;
mod report;
mod run;
mod show;
mod status;

use std::process::ExitCode;

use anyhow::{Context, bail};
use api::Mailbox;
use clap::{Parser, Subcommand};
use kube::api::ListParams;
use kube::config::KubeConfigOptions;
use kube::{Api, Client};

use crate::args::Output;

/// Mail servers and mailboxes of a cluster.
#[derive(Debug, Parser)]
#[command(name = "kubectl sealpost", bin_name = "kubectl sealpost", version)]
struct Args {
    /// What to do.
    #[command(subcommand)]
    command: Command,
    /// Namespace; unless told otherwise, that of the context.
    #[arg(short = 'n', long, global = true, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Context of the kubeconfig.
    #[arg(long, global = true, value_name = "CONTEXT")]
    context: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say how mail servers and their mailboxes are, and what there is to do.
    Status(status::Options),
    /// Make a password for a mailbox that awaits its owner, show it for 30 seconds, and forget it.
    Password(password::Options),
    /// Make a snapshot of a mailbox now, and follow it.
    Backup(run::Backup),
    /// Bring a mailbox back from its bucket, and follow that.
    Restore(run::Restore),
    /// Show the logs of all pods of a mail server, merged.
    Logs(logs::Options),
    /// Write objects, events, states and logs into an archive for whoever helps, without names of people and places.
    Report(report::Options),
    /// Close the files of a mailbox, or of all on a shard, for repair; nobody reads or writes them until `unfence`.
    Fence(fence::Fence),
    /// Let the files of a fenced mailbox or shard be opened again.
    Unfence(fence::Unfence),
}

/// True where the executable was called as the plugin.
pub fn is_called() -> bool {
    let called = std::env::args_os().next();
    let called = called.as_deref().map(std::path::Path::new).and_then(std::path::Path::file_name);
    called.is_some_and(|name| name == "kubectl-sealpost")
}

/// Runs the command.
pub fn run() -> ExitCode {
    crate::commands::finish(crate::commands::person(dispatch(Args::parse())))
}

/// The Mailbox of that name or address.
async fn find(mailboxes: &Api<Mailbox>, namespace: &str, wanted: &str) -> anyhow::Result<Mailbox> {
    if wanted.contains('@') {
        let fields = ListParams::default().fields(&format!("spec.address={wanted}"));
        let found = mailboxes.list(&fields).await.map_err(said("cannot list mailboxes".to_owned()))?;
        let Some(mailbox) = found.items.into_iter().next() else {
            bail!("no Mailbox in the namespace {namespace} has the address {wanted}\n  name another with -n")
        };
        return Ok(mailbox);
    }
    let found = mailboxes.get_opt(wanted).await.map_err(said(format!("cannot read mailbox/{wanted}")))?;
    found
        .with_context(|| format!("there is no Mailbox `{wanted}` in the namespace {namespace}\n  name another with -n"))
}

async fn dispatch(args: Args) -> anyhow::Result<()> {
    let options = KubeConfigOptions { context: args.context, ..KubeConfigOptions::default() };
    let config = kube::Config::from_kubeconfig(&options).await;
    let config = config.context("no cluster is known\n  name one with KUBECONFIG or --context")?;
    let namespace = args.namespace.unwrap_or_else(|| config.default_namespace.clone());
    let client = Client::try_from(config).context("the cluster cannot be used")?;
    match args.command {
        Command::Status(options) => status::run(client, &namespace, &options).await,
        Command::Password(options) => password::run(client, &namespace, &options).await,
        Command::Backup(options) => run::backup(client, &namespace, &options).await,
        Command::Restore(options) => run::restore(client, &namespace, &options).await,
        Command::Report(options) => report::run(client, &namespace, &options).await,
        Command::Logs(options) => logs::run(client, &namespace, &options).await,
        Command::Fence(options) => fence::fence(client, &namespace, &options).await,
        Command::Unfence(options) => fence::unfence(client, &namespace, &options).await,
    }
}

/// An answer of the API server in words.
fn said(what: String) -> impl FnOnce(kube::Error) -> anyhow::Error {
    move |error| match &error {
        kube::Error::Api(status) => anyhow::anyhow!("{what}: {}", status.message),
        _ => anyhow::Error::from(error).context(what),
    }
}
