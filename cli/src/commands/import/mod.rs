//! `sealpost import ADDRESS PATH`: mail into a mailbox of a running `up`, through IMAP, as any mail program would.
//!
//! Run again, it adds what is missing and nothing else: a message is there if its folder has one of the same bytes and the
//! same date. So an import that was interrupted goes on, and two equal messages in the source stay two.

mod imap;
mod merge;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use interchange::{Folder, Message, Source};
use model::Address;
use store::offline::Offline;

use super::export::{self, Format, PLAIN, hinted};
use super::owner;
use crate::args::DEFAULT_STATE;
use crate::control::{self, Ask, Told};
use imap::Imap;

/// `sealpost import`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The mailbox's address.
    pub address: Address,
    /// What to import: an export, or mail of another program (a Maildir++, a folder of `.mbox` files or one of them, a
    /// folder of `.eml` files).
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// State folder of the running `sealpost up`.
    #[arg(long, default_value = DEFAULT_STATE, value_name = "DIR")]
    pub state: PathBuf,
    /// File with the mailbox's password, or an app password for IMAP.
    #[arg(long, value_name = "FILE")]
    pub password_file: PathBuf,
    /// What it is.
    #[arg(long)]
    pub format: Format,
    /// Also add messages that the mailbox has already.
    #[arg(long)]
    pub duplicates: bool,
}

/// Imports.
pub async fn run(options: Args) -> anyhow::Result<()> {
    let password = owner::password(&options.password_file)?;
    let Told::Status(status) = control::ask(&options.state, &Ask::Status).await? else { bail!("unexpected answer") };
    let endpoint = status.endpoints.get("imaps").context("this `up` has no IMAP listener")?;
    let endpoint: SocketAddr = endpoint.parse()?;
    let tls = tls::pinned_client_config(&certificates(&options.state)?)?;
    let work = move || {
        let source = Origin::open(options.format, &options.path)?;
        let mut imap = Imap::connect(endpoint, tls)?;
        imap.log_in(&options.address, &password)?;
        merge::run(&source, &mut imap, options.duplicates)
    };
    tokio::task::spawn_blocking(work).await?
}

/// The certificates that the listeners of this `up` may show.
fn certificates(state: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let folder = state.join("pki");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("cannot look at {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let shown = name == "declared.crt" || (name.starts_with("public-") && name != "public-ca.crt");
        if shown && name.ends_with(".crt") {
            found.push(path);
        }
    }
    Ok(found)
}

/// Where mail comes from.
enum Origin {
    Mail(Source),
    Plain(Offline),
}

impl Origin {
    fn open(format: Format, path: &Path) -> anyhow::Result<Self> {
        if !path.exists() {
            bail!("there is nothing at {}", path.display());
        }
        let Some(mail) = format.mail() else {
            let file = if path.is_dir() { path.join(PLAIN) } else { path.to_owned() };
            let opened = Offline::open_plain(&file).with_context(|| {
                format!("cannot read {}\n  `sealpost export --format sqlite` writes such files", file.display())
            });
            return Ok(Self::Plain(opened?));
        };
        Ok(Self::Mail(Source::open(mail, path).map_err(hinted)?))
    }

    fn folders(&self) -> anyhow::Result<Vec<Folder>> {
        Ok(match self {
            Self::Mail(source) => source.folders().to_vec(),
            Self::Plain(mailbox) => {
                mailbox.folders()?.iter().map(|folder| export::described(mailbox, folder)).collect()
            }
        })
    }

    fn subscriptions(&self) -> anyhow::Result<Vec<String>> {
        Ok(match self {
            Self::Mail(source) => source.subscriptions().to_vec(),
            Self::Plain(mailbox) => mailbox.subscriptions()?,
        })
    }

    /// Shows every message of a folder, in order.
    fn each(&self, folder: &str, mut show: impl FnMut(Message) -> anyhow::Result<()>) -> anyhow::Result<()> {
        match self {
            Self::Mail(source) => {
                for message in source.messages(folder).map_err(hinted)? {
                    show(message.map_err(hinted)?)?;
                }
            }
            Self::Plain(mailbox) => {
                let Some(folder) = mailbox.folders()?.into_iter().find(|known| known.name() == folder) else {
                    return Ok(());
                };
                for message in mailbox.messages(&folder)? {
                    show(export::read(mailbox, &message)?)?;
                }
            }
        }
        Ok(())
    }
}
