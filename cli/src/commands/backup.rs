//! `sealpost backup ADDRESS`
//!
//! Like a restore it belongs to `sealpost up`, and one that is repeated with the same `--run` is followed, not done again.

use model::Address;

use super::restore::{Asking, follow};
use crate::args::Output;
use crate::control::{self as up, Ask};

/// `sealpost backup`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The mailbox's address.
    pub address: Address,
    /// How it is asked for.
    #[command(flatten)]
    pub asking: Asking,
}

/// Asks for it, follows it, says what came of it.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let (name, deadline) = args.asking.named();
    let ask = Ask::Backup { run: name.clone(), address: args.address.clone(), deadline };
    let asked = up::ask(&args.asking.state, &ask).await?;
    let report = follow("backup", &name, asked, &args.asking).await?;
    if args.asking.output == Output::Text {
        let archive = report.archive.as_deref().unwrap_or("its archive");
        match (report.reached_commit, report.reached_time) {
            (Some(commit), Some(time)) => {
                println!("backed up {} to {archive}\n  commit {commit} at {time}: {}", args.address, report.message);
            }
            _ => println!("{}\n  its archive is {archive}", report.message),
        }
    }
    Ok(())
}
