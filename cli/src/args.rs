//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use model::Address;

use crate::commands::{backup, bucket, export, import, key, purge, restore};

/// Where `up` keeps everything, unless told otherwise.
pub const DEFAULT_STATE: &str = "sealpost-state";

/// Encrypted mailboxes that only their owners' passwords open.
#[derive(Debug, Parser)]
#[command(name = "sealpost", version, propagate_version = true)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a whole mail server on this machine from the manifests a cluster would get.
    Up(Up),
    /// Make a password for a mailbox, show it for 30 seconds, and forget it.
    Password(Password),
    /// Say what runs under a state folder, and where.
    Status(Status),
    /// Remove an object whose manifest is gone; a mailbox keeps its mail until it is declared again.
    Delete(Delete),
    /// Make a snapshot of a mailbox of a running `up` now, beside those that its policy makes.
    Backup(backup::Args),
    /// Bring a mailbox of a running `up` back from its archive, as it was at a time, into another mailbox or in place.
    Restore(restore::Args),
    /// Remove a deleted mailbox of a running `up` for good: its mail, its keys, and its objects in every bucket.
    Purge(purge::Args),
    /// Write a mailbox's files, offline, as mail that other programs read.
    Export(export::Args),
    /// Put exported or other mail into a mailbox of a running `up`.
    Import(import::Args),
    /// Print the raw key of a mailbox's database, for any SQLCipher tool.
    Key(key::Args),
    /// List, verify and fetch archives of a bucket; no server is needed.
    Bucket(bucket::Args),
    /// Run the owner process of a shard.
    #[command(hide = true)]
    Primary(Role),
    /// Run a protocol front end.
    #[command(hide = true)]
    Secondary(Role),
    /// Archive the mailboxes of a shard, beside its primary.
    #[command(hide = true)]
    Sidecar(Role),
    /// Bring a cluster to what its MailServers, Mailboxes and Aliases declare.
    #[command(hide = true)]
    Operator(Operator),
}

/// `sealpost up`
#[derive(Debug, clap::Args)]
pub struct Up {
    /// Manifest file or folder; may be repeated.
    #[arg(short = 'f', long = "filename", required = true, value_name = "FILE|DIR")]
    pub files: Vec<PathBuf>,
    /// Folder that holds all state: volumes, keys, certificates, logs.
    #[arg(long, default_value = DEFAULT_STATE, value_name = "DIR")]
    pub state: PathBuf,
    /// `fixed` (1993, 1143, 2525, ...) or `auto` (any free ports; see `sealpost status`).
    #[arg(long, default_value = "fixed")]
    pub ports: Ports,
    /// Also listen for IMAP in clear text on 127.0.0.1, for measurements.
    #[arg(long)]
    pub dev_plain: bool,
    /// How many IMAP processes to run; the MailServer's `spec.imap.replicas` is for clusters.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=16))]
    pub imap_replicas: u16,
    /// Where copies go: `folder`, one below the state for each policy, or `s3`, the buckets that the policies name, with
    /// what opens them from the Secrets in the manifests.
    #[arg(long, default_value = "folder")]
    pub buckets: Buckets,
}

/// What the destinations of policies are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Buckets {
    /// A folder of the state.
    Folder,
    /// What the policies say.
    S3,
}

/// How listeners get their ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Ports {
    /// The same every time.
    Fixed,
    /// Whatever is free.
    Auto,
}

/// `sealpost password`
#[derive(Debug, clap::Args)]
pub struct Password {
    /// The mailbox's address.
    pub address: Address,
    /// State folder of the running `sealpost up`.
    #[arg(long, default_value = DEFAULT_STATE, value_name = "DIR")]
    pub state: PathBuf,
    /// Also make a recovery key: a second secret to be kept on paper.
    #[arg(long)]
    pub recovery: bool,
    /// Do not talk to a server: print a Secret with the wrapped keys for `keysSecretRef`.
    #[arg(long)]
    pub offline: bool,
}

/// `sealpost status`
#[derive(Debug, clap::Args)]
pub struct Status {
    /// State folder.
    #[arg(long, default_value = DEFAULT_STATE, value_name = "DIR")]
    pub state: PathBuf,
    /// `text` or `json`.
    #[arg(short = 'o', long, default_value = "text")]
    pub output: Output,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// `sealpost delete`
#[derive(Debug, clap::Args)]
pub struct Delete {
    /// Kind of the object, for example `Mailbox`; `run` for a restore that is to be cancelled.
    pub kind: String,
    /// Its `metadata.name`; of a restore what `--run` says.
    pub name: String,
    /// State folder of the running `sealpost up`.
    #[arg(long, default_value = DEFAULT_STATE, value_name = "DIR")]
    pub state: PathBuf,
}

/// A role of the data plane.
#[derive(Debug, clap::Args)]
pub struct Role {
    /// The role's configuration (JSON).
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Where to answer probes: `/livez`, `/readyz`, `/metrics`.
    #[arg(long, value_name = "ADDRESS")]
    pub probes: Option<SocketAddr>,
    /// Stop when standard input closes, so that no child outlives its supervisor.
    #[arg(long)]
    pub supervised: bool,
}

/// `sealpost operator`. The API server is found as `kubectl` finds it: from the pod's service account, or `KUBECONFIG`.
#[derive(Debug, clap::Args)]
pub struct Operator {
    /// The namespace that its Lease is in: its own.
    #[arg(long, env = "SEALPOST_NAMESPACE", value_name = "NAMESPACE")]
    pub namespace: String,
    /// Its name, which no other process has: its pod's.
    #[arg(long, env = "SEALPOST_NAME", value_name = "NAME")]
    pub name: String,
    /// The image of fresh MailServers that name none; unless told otherwise, what its own pod runs.
    #[arg(long, env = "SEALPOST_IMAGE", value_name = "IMAGE")]
    pub image: Option<String>,
    /// Look at the objects of this namespace only, not of the whole cluster.
    #[arg(long, env = "SEALPOST_WATCH_NAMESPACE", value_name = "NAMESPACE")]
    pub watch_namespace: Option<String>,
    /// Where to answer probes: `/livez`, `/readyz`, `/metrics`.
    #[arg(long, value_name = "ADDRESS")]
    pub probes: Option<SocketAddr>,
}

/// The command line of this process; prints help or errors and ends the process itself.
pub fn parse() -> Args {
    Args::parse()
}
