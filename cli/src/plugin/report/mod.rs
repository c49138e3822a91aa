//! `kubectl sealpost report`: an archive for whoever helps, without names of people and places.
//!
//! Three steps, so that nothing gets into the archive by another way: [`gather`] asks the API server, [`Facts::redactor`] learns
//! from the objects what must not be told, [`write`] puts together what is left. Secrets are not asked for at all.
//!
//! Needed rights: get and list on MailServers, Mailboxes, Aliases, BackupPolicies, MailboxBackups and MailboxRestores, list on
//! pods, persistentvolumeclaims, events, statefulsets and deployments, get on pods/log.

mod gather;
mod redact;
mod tar;
mod write;

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use kube::Client;

use gather::Facts;
use tar::Form;

/// `kubectl sealpost report [SERVER]`
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The MailServer; all of the namespace unless told otherwise.
    server: Option<String>,
    /// The archive: something.tar.zst or something.tar, which is not there yet.
    #[arg(short = 'o', long, value_name = "FILE", default_value = "sealpost-report.tar.zst")]
    output: PathBuf,
    /// Logs from so long ago, for example 30m or 2h.
    #[arg(long, value_name = "TIME", default_value = "1h")]
    since: SignedDuration,
    /// Namespace of the operator, for its log; left out where it may not be read.
    #[arg(long, value_name = "NAMESPACE", default_value = "sealpost-system")]
    operator_namespace: String,
}

/// Gathers, redacts, writes.
pub async fn run(client: Client, namespace: &str, options: &Options) -> anyhow::Result<()> {
    let form = Form::of(&options.output)?;
    if let Some(server) = &options.server {
        super::pods::exists(&client, namespace, server).await?;
    }
    let facts: Facts = gather::gather(&client, namespace, options).await?;
    let now = Timestamp::now();
    let entries = write::entries(&facts, &mut facts.redactor());
    let packed = form.pack(&entries, now).context("the archive cannot be packed")?;
    let shown = options.output.display();
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&options.output);
    let written = file.and_then(|mut file| file.write_all(&packed));
    written.with_context(|| format!("{shown} cannot be written\n  name another file with -o"))?;
    println!("{shown} has {} files, with pseudonyms for addresses, domains and names", entries.len());
    for missing in &facts.missing {
        println!("  not in it: {missing}");
    }
    println!("  look through it before you give it away: tar --zstd -tf {shown}");
    Ok(())
}

#[cfg(test)]
mod tests;
