//! `sealpost bucket verify`

use anyhow::bail;
use model::backup::ArchiveId;
use serde::Serialize;
use sidecar::assemble::archives;
use sidecar::catalog::{self, Depth, Restorable, Verified};

use super::{Place, hinted, source_of, sources};
use crate::args::Output;

/// `sealpost bucket verify`
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    place: Place,
    /// Which archive; all of them without.
    archive: Option<ArchiveId>,
    /// Read headers and manifests only, not the content.
    #[arg(long)]
    quick: bool,
    /// `text` or `json`.
    #[arg(short = 'o', long, default_value = "text")]
    output: Output,
}

#[derive(Serialize)]
struct Report {
    archives: Vec<Verified>,
}

/// Verifies.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let bucket = args.place.open()?;
    let depth = if args.quick { Depth::Headers } else { Depth::Everything };
    let (mut verified, mut wrong) = (Vec::new(), 0);
    if let Some(archive) = &args.archive {
        let source = source_of(&*bucket, archive).await?;
        verified.push(catalog::verify(&source, archive, depth).await.map_err(hinted)?);
    } else {
        let (sources, unowned) = sources(&*bucket).await?;
        wrong += unowned.len();
        for error in unowned {
            eprintln!("{:#}", hinted(error));
        }
        for source in sources {
            for archive in archives(&*bucket, source.root()).await.map_err(hinted)? {
                verified.push(catalog::verify(&source, &archive, depth).await.map_err(hinted)?);
            }
        }
    }
    wrong += verified.iter().map(|archive| archive.damages.len()).sum::<usize>();
    match args.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&Report { archives: verified })?),
        Output::Text => verified.iter().for_each(print),
    }
    if wrong > 0 {
        bail!(
            "the archives are not whole\n  if the bucket keeps versions, bring back the earlier ones of these objects"
        );
    }
    Ok(())
}

fn print(archive: &Verified) {
    let state = if archive.damages.is_empty() { "whole" } else { "damaged" };
    println!("{}\n  {state}: {} objects, {} octets", archive.id, archive.objects, archive.bytes);
    for damage in &archive.damages {
        println!("  {damage}");
    }
    for one in &archive.restorable {
        let Restorable { database, first_commit, first_time, last_commit, last_time } = one;
        let name = database.name();
        println!("  {name} can be restored from {first_time} to {last_time} (commits {first_commit} to {last_commit})");
    }
}
