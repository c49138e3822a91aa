//! `sealpost bucket fetch`

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;

use anyhow::bail;
use interchange::Staging;
use jiff::Timestamp;
use model::backup::ArchiveId;
use sidecar::assemble::{Assembled, Progress, Target, assemble};

use super::{Place, hinted, source_of};
use crate::commands::export;

/// `sealpost bucket fetch`
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    place: Place,
    /// Which archive: `<server>/<mailbox>/t<timeline>`, as `sealpost bucket ls` shows it.
    archive: ArchiveId,
    /// The last moment that is restored, for example 2026-01-31T09:30:00Z. Without it all there is, and only where the
    /// archive is whole.
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// Folder for `mailbox.sqlite`, `spool.sqlite` and `keys.json`; it must not exist, or be empty.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Fetches.
pub async fn run(args: Args) -> anyhow::Result<()> {
    Staging::check(&args.out).map_err(export::hinted)?;
    let bucket = args.place.open()?;
    let source = source_of(&*bucket, &args.archive).await?;
    let staging = Staging::begin(&args.out).map_err(export::hinted)?;
    let target = args.at.map_or(Target::Latest, Target::Time);
    let assembled = assemble(&source, &args.archive, target, &staging.result(), &mut show).await.map_err(hinted);
    let assembled = match assembled.and_then(|assembled| acceptable(&args, assembled)) {
        Ok(assembled) => assembled,
        Err(error) => {
            staging.discard().map_err(export::hinted)?;
            return Err(error);
        }
    };
    staging.finish().map_err(export::hinted)?;
    tell(&args, &assembled)
}

/// Whoever asks for all there is gets no less without knowing. Whoever asks for a moment gets it where nothing that is
/// damaged is needed for it.
fn acceptable(args: &Args, assembled: Assembled) -> anyhow::Result<Assembled> {
    let reached = assembled.mailbox.into_iter().chain(assembled.spool).map(|reached| reached.time).max();
    let Some(reached) = reached.filter(|_| args.at.is_none() && !assembled.damages.is_empty()) else {
        return Ok(assembled);
    };
    let damages: Vec<String> = assembled.damages.iter().map(ToString::to_string).collect();
    bail!("the archive is not whole: {}\n  up to {reached} it can be restored: add --at {reached}", damages.join("; "))
}

fn show(progress: Progress) {
    if std::io::stderr().is_terminal() && progress.total > 0 {
        eprint!("\r{:3} %", progress.done * 100 / progress.total);
        let _ = std::io::stderr().flush();
        if progress.done >= progress.total {
            eprintln!();
        }
    }
}

fn tell(args: &Args, assembled: &Assembled) -> anyhow::Result<()> {
    let out = args.out.display();
    for (name, reached) in [("mailbox", assembled.mailbox), ("spool", assembled.spool)] {
        match reached {
            Some(reached) => println!("{name}: commit {} of {}", reached.commit, reached.time),
            None if name == "mailbox" => println!("mailbox: none; its owner had not logged in"),
            None => println!("spool: none; no mail waited"),
        }
    }
    for damage in &assembled.damages {
        eprintln!("warning: {damage}\n  {}", damage.hint());
    }
    match assembled.keys {
        Some(_) => {
            println!(
                "all of it is in {out}; open it: sealpost export {out} --password-file FILE --format maildir --out MAIL"
            );
            Ok(())
        }
        None => bail!("{out} has no keys.json: the bucket has none, and without it nothing opens the mail"),
    }
}
