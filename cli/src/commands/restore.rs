//! `sealpost restore ADDRESS`
//!
//! The restore belongs to `sealpost up`: a command that is ended changes nothing of it, and one that is repeated with the same
//! `--run` follows it again.

use std::path::Path;
use std::time::Duration;

use anyhow::bail;
use control::report::RunReport;
use data_encoding::HEXLOWER;
use jiff::{SignedDuration, Timestamp};
use model::Address;

use crate::args::{DEFAULT_STATE, Output};
use crate::control::{self as up, Ask, Source, Told, Wish};

/// How often the server is asked how far it is.
const LOOK: Duration = Duration::from_millis(300);

/// `sealpost restore`
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("target").required(true).args(["to", "in_place"])))]
pub struct Args {
    /// The mailbox's address, or an archive as `<serverId>/<mailboxId>/t<timeline>`.
    #[arg(value_name = "ADDRESS|ARCHIVE")]
    pub source: Source,
    /// As it was at that moment, for example 2026-01-02T03:04:05Z; unless given, all there is.
    #[arg(long, value_name = "RFC3339")]
    pub at: Option<Timestamp>,
    /// Into this mailbox, which is declared and has neither keys nor mail; the source's password opens it.
    #[arg(long, value_name = "ADDRESS")]
    pub to: Option<Address>,
    /// Into the mailbox itself; what it has now is kept beside it.
    #[arg(long)]
    pub in_place: bool,
    /// How it is asked for.
    #[command(flatten)]
    pub asking: Asking,
}

/// What all runs that a person asks for have in common.
#[derive(Debug, clap::Args)]
pub struct Asking {
    /// Name of the run; one that was done is not done again, one that is at work is followed.
    #[arg(long, value_name = "NAME")]
    pub run: Option<String>,
    /// It has failed if it is not done so many minutes after its start.
    #[arg(long, value_name = "MINUTES", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=10_080))]
    pub deadline: u32,
    /// State folder of the running `sealpost up`.
    #[arg(long, default_value = DEFAULT_STATE, value_name = "DIR")]
    pub state: std::path::PathBuf,
    /// `text` or `json`.
    #[arg(short = 'o', long, default_value = "text")]
    pub output: Output,
}

impl Asking {
    /// Its name, made up where none was given, and when it has failed.
    pub fn named(&self) -> (String, Timestamp) {
        let name = self.run.clone().unwrap_or_else(|| HEXLOWER.encode(&crypto::random::<8>()));
        (name, Timestamp::now() + SignedDuration::from_mins(self.deadline.into()))
    }
}

/// Asks for it, follows it, says what came of it.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let (name, deadline) = args.asking.named();
    let wish = Wish { run: name.clone(), source: args.source.clone(), at: args.at, to: args.to.clone(), deadline };
    let asked = up::ask(&args.asking.state, &Ask::Restore(Box::new(wish))).await?;
    let report = follow("restore", &name, asked, &args.asking).await?;
    if args.asking.output == Output::Text {
        print!("{}", result(&args, &report));
    }
    Ok(())
}

/// Follows a run to its end. What is on the way is told to people; a run that failed is an error.
pub async fn follow(what: &str, name: &str, asked: Told, asking: &Asking) -> anyhow::Result<RunReport> {
    let (state, output) = (asking.state.as_path(), asking.output);
    let report = heard(asked)?;
    if output == Output::Text {
        eprintln!("{what} {name} (to follow it: the same with --run {name}; to cancel it: sealpost delete run {name})");
    }
    let report = ended(what, name, report, state, output).await?;
    if output == Output::Json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    }
    if report.succeeded == Some(false) {
        bail!("{}: {}", report.reason, report.message.replacen("; ", "\n  ", 1));
    }
    Ok(report)
}

/// Looks at a run until it is over.
pub async fn ended(
    what: &str,
    name: &str,
    mut report: RunReport,
    state: &Path,
    output: Output,
) -> anyhow::Result<RunReport> {
    let id = report.id.clone();
    let mut told = String::new();
    while report.succeeded.is_none() {
        let line = line(&report);
        if output == Output::Text && line != told {
            eprintln!("{line}");
            told = line;
        }
        tokio::time::sleep(LOOK).await;
        report = match up::ask(state, &Ask::Run(id.clone())).await {
            Ok(answer) => heard(answer)?,
            Err(error) => {
                bail!("{error:#}\n  the {what} goes on with it; follow it with the same command and --run {name}")
            }
        };
    }
    Ok(report)
}

/// The report of an answer that has one.
pub fn heard(told: Told) -> anyhow::Result<RunReport> {
    match told {
        Told::Run(report) => Ok(*report),
        Told::Refused(why) => bail!(why),
        Told::Done(_) | Told::Status(_) => bail!("unexpected answer"),
    }
}

/// How far it is.
fn line(report: &RunReport) -> String {
    let what = if report.message.is_empty() { "waiting for its turn" } else { &report.message };
    match report.progress {
        (_, 0) => what.to_owned(),
        (done, total) => format!("{what}: {} of {} MB", megabytes(done), megabytes(total)),
    }
}

/// Bytes in megabytes.
pub fn megabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}

fn result(args: &Args, report: &RunReport) -> String {
    let target = args.to.as_ref().map_or_else(|| args.source.to_string(), Address::to_string);
    let mut lines = vec![format!("restored {target} from {}", report.archive.as_deref().unwrap_or("its archive"))];
    if let (Some(commit), Some(time)) = (report.reached_commit, report.reached_time) {
        lines.push(format!("up to commit {commit} of {time}"));
    }
    if let Some(replaced) = &report.replaced {
        let kept = volume(&args.asking.state).join(replaced);
        lines.push(format!("what it replaced is kept in {}; remove it when nobody misses anything", kept.display()));
    }
    lines.extend(report.message.split("; ").map(str::to_owned));
    lines.join("\n  ") + "\n"
}

/// Where the files of mailboxes are.
pub fn volume(state: &Path) -> std::path::PathBuf {
    state.join("shard-0")
}
