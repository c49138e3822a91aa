//! `sealpost purge ADDRESS`
//!
//! It cannot be undone, so it wants to be told twice: by `--yes` with the same address or id, or by typing that at a terminal. Like a
//! restore it belongs to `sealpost up`, but once it is taken up nobody can cancel it.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::path::Path;

use anyhow::bail;
use control::report::RunReport;

use super::restore::{Asking, ended, heard, megabytes, volume};
use crate::args::Output;
use crate::control::{self as up, Ask, Retained};

/// `sealpost purge`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The address that the deleted mailbox had, or its id.
    #[arg(value_name = "ADDRESS|ID")]
    pub mailbox: Retained,
    /// The same once more: yes, all of it, and for good.
    #[arg(long, value_name = "ADDRESS|ID")]
    pub yes: Option<Retained>,
    /// How it is asked for.
    #[command(flatten)]
    pub asking: Asking,
}

/// Asks for it, follows it, says what is gone.
pub async fn run(args: Args) -> anyhow::Result<()> {
    confirm(&args.mailbox, args.yes.as_ref())?;
    let (name, deadline) = args.asking.named();
    let (state, output) = (args.asking.state.as_path(), args.asking.output);
    let ask = Ask::Purge { run: name.clone(), mailbox: args.mailbox.clone(), deadline };
    let report = heard(up::ask(state, &ask).await?)?;
    let name = report.id.rsplit('/').next().unwrap_or(&name).to_owned();
    if output == Output::Text {
        eprintln!("purge {name} (it goes on to its end; to follow it: the same with --run {name})");
    }
    let report = ended("purge", &name, report, state, output).await?;
    match output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&report)?),
        Output::Text => print!("{}", told(&report, state)),
    }
    if report.succeeded == Some(false) {
        bail!("{}: {}", report.reason, report.message.replace("; ", "\n  "));
    }
    Ok(())
}

/// Somebody means it.
fn confirm(mailbox: &Retained, yes: Option<&Retained>) -> anyhow::Result<()> {
    match yes {
        Some(yes) if yes == mailbox => return Ok(()),
        Some(yes) => bail!("{yes} is not {mailbox}\n  nothing was done"),
        None => {}
    }
    if !std::io::stdin().is_terminal() {
        bail!("a purge of {mailbox} cannot be undone\n  confirm it with --yes {mailbox}");
    }
    eprint!(
        "All mail of {mailbox}, its waiting mail, its keys and its copies in every bucket go for good.\nType {mailbox} to go on: "
    );
    std::io::stderr().flush()?;
    let mut typed = String::new();
    std::io::stdin().read_line(&mut typed)?;
    if typed.trim() == mailbox.to_string() { Ok(()) } else { bail!("nothing was done") }
}

/// What is gone, what is left, and what was not looked for.
fn told(report: &RunReport, state: &Path) -> String {
    let Some(purged) = &report.purged else { return String::new() };
    let mut text = String::new();
    let done = if report.succeeded == Some(true) { "is gone" } else { "is not gone everywhere" };
    // Writing into a string does not fail.
    let _ = writeln!(text, "mailbox {} {done}", purged.mailbox);
    let _ = writeln!(text, "  volume: {} files, {} MB removed", purged.files, megabytes(purged.bytes));
    for bucket in &purged.buckets {
        let (name, objects, bytes) = (&bucket.bucket, bucket.objects, megabytes(bucket.bytes));
        let _ = write!(text, "  {name}: {objects} objects, {bytes} MB removed");
        let _ = if bucket.remaining > 0 { writeln!(text, ", {} remain", bucket.remaining) } else { writeln!(text) };
    }
    for copy in &purged.copies {
        let _ = writeln!(text, "  a restore has put a copy with the same keys into mailbox {copy}: purge that as well");
    }
    for place in &purged.elsewhere {
        let _ = writeln!(text, "  not reached: {place}");
    }
    let list = volume(state).join("sidecar/purged").join(purged.mailbox.as_str());
    let _ = writeln!(text, "  the list of what was removed: {} and {}.json", list.display(), list.display());
    let _ =
        writeln!(text, "  not looked for: exports, downloads, copies of the volume or the bucket made by other means");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purge_is_confirmed_by_the_same_words_and_nothing_else() {
        let of = |text: &str| text.parse::<Retained>().unwrap();
        let ann = of("ann@example.org");
        assert!(confirm(&ann, Some(&of("ann@example.org"))).is_ok());
        assert!(confirm(&ann, Some(&of("bob@example.org"))).unwrap_err().to_string().contains("nothing was done"));
        assert!("ann".parse::<Retained>().is_err());
        assert!(matches!(of("abcdefghijklmnopqrstuvwxyz"), Retained::Id(_)));
    }
}
