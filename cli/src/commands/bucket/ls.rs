//! `sealpost bucket ls`

use crypto::Keyset;
use jiff::Timestamp;
use model::Address;
use model::backup::ArchiveId;
use serde::Serialize;
use sidecar::assemble::{Source, archives};
use sidecar::catalog::{self, Listed};

use super::{Place, hinted, sources};
use crate::args::Output;

/// `sealpost bucket ls`
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    place: Place,
    /// Only archives of the mailbox with this address.
    #[arg(long)]
    address: Option<Address>,
    /// `text` or `json`.
    #[arg(short = 'o', long, default_value = "text")]
    output: Output,
}

#[derive(Serialize)]
struct Listing {
    archives: Vec<Listed>,
}

/// Lists.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let bucket = args.place.open()?;
    let mut found = Vec::new();
    let (sources, unowned) = sources(&*bucket).await?;
    for error in unowned {
        eprintln!("warning: {:#}", hinted(error));
    }
    for source in sources {
        for damage in &source.damages {
            eprintln!("warning: {damage}\n  {}", damage.hint());
        }
        for archive in archives(&*bucket, source.root()).await.map_err(hinted)? {
            if is_wanted(&source, &archive, args.address.as_ref()).await? {
                found.push(catalog::listed(&source, archive).await.map_err(hinted)?);
            }
        }
    }
    for damage in found.iter().flat_map(|listed| &listed.damages) {
        eprintln!("warning: {damage}\n  {}", damage.hint());
    }
    match args.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&Listing { archives: found })?),
        Output::Text => print(&found),
    }
    Ok(())
}

/// The bucket has no addresses; each `keys.json` has the salted hash of its mailbox's.
async fn is_wanted(source: &Source<'_>, archive: &ArchiveId, address: Option<&Address>) -> anyhow::Result<bool> {
    let Some(address) = address else { return Ok(true) };
    let (keys, damages) = source.keys(archive).await.map_err(hinted)?;
    for damage in damages {
        eprintln!("warning: {damage}\n  {}", damage.hint());
    }
    let Some((_, keys)) = keys else { return Ok(false) };
    match Keyset::from_json(&keys) {
        Ok(keyset) => Ok(keyset.matches_address(address)),
        Err(error) => {
            eprintln!("warning: the keys of {archive} cannot be read: {error}");
            Ok(false)
        }
    }
}

fn print(archives: &[Listed]) {
    if archives.is_empty() {
        println!("no archives");
    }
    let time = |time: Option<Timestamp>| time.map_or("?".to_owned(), |time| format!("{time:.0}"));
    for one in archives {
        let (first, last) = (time(one.first_time), time(one.last_time));
        println!("{}\n  {first} to {last}, {} commits, {} octets", one.id, one.commits, one.bytes);
        for gap in &one.gaps {
            let (from, to) = (time(gap.from), time(gap.to));
            println!("  gap in {} from {from} to {to}: {}", gap.database.name(), gap.reason);
        }
    }
}
