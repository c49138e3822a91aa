//! `sealpost bucket ls|verify|fetch`: archives of a bucket, with no server left. Credentials, and no password.

mod fetch;
mod ls;
mod place;
mod verify;

use anyhow::bail;
use clap::Subcommand;
use model::backup::ArchiveId;
use sidecar::assemble::{AssembleError, Source, roots};
use sidecar::bucket::Bucket;

pub use place::Place;

/// `sealpost bucket`
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the archives in a bucket.
    Ls(ls::Args),
    /// Read archives and say whether they are whole; the exit code is 1 where one is not.
    Verify(verify::Args),
    /// Make the files of a mailbox from its archive; `sealpost export` opens them.
    Fetch(fetch::Args),
}

/// Runs one of them.
pub async fn run(args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::Ls(args) => ls::run(args).await,
        Command::Verify(args) => verify::run(args).await,
        Command::Fetch(args) => fetch::run(args).await,
    }
}

/// The root below which an archive's server keeps everything, opened.
async fn source_of<'a>(bucket: &'a dyn Bucket, archive: &ArchiveId) -> anyhow::Result<Source<'a>> {
    let roots = roots(bucket).await.map_err(hinted)?;
    let found = roots.into_iter().find(|root| root.rsplit('.').next() == Some(archive.server.0.as_str()));
    let absent = || AssembleError::Absent { archive: archive.clone(), bucket: bucket.describe() };
    let root = found.ok_or_else(absent).map_err(hinted)?;
    Source::open(bucket, &root).await.map_err(hinted)
}

/// All roots, opened, and those of which nobody can say who wrote them; at least one of either.
async fn sources(bucket: &dyn Bucket) -> anyhow::Result<(Vec<Source<'_>>, Vec<AssembleError>)> {
    let (mut sources, mut unowned) = (Vec::new(), Vec::new());
    for root in roots(bucket).await.map_err(hinted)? {
        match Source::open(bucket, &root).await {
            Ok(source) => sources.push(source),
            Err(error @ AssembleError::Unowned { .. }) => unowned.push(error),
            Err(error) => return Err(hinted(error)),
        }
    }
    if sources.is_empty() && unowned.is_empty() {
        bail!("{} has no archives\n  look at the URL and its prefix", bucket.describe());
    }
    Ok((sources, unowned))
}

/// The error with what to do about it.
fn hinted(error: AssembleError) -> anyhow::Error {
    let hint = error.hint();
    let error = anyhow::Error::new(error);
    match hint {
        Some(hint) => anyhow::anyhow!("{error:#}\n  {hint}"),
        None => error,
    }
}
