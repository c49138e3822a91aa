//! `sealpost export DIR`: the end of the disaster path. Files, a password, no server and no bucket.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::ValueEnum;
use interchange::{Aside, Damaged, Folder, InterchangeError, Message, Staging, Writer, Written};
use jiff::Timestamp;
use model::verbs::Scope;
use store::StoreError;
use store::offline::{self, Offline};

use super::owner;

/// `sealpost export`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder with `keys.json`, `mailbox.sqlite` and `spool.sqlite`: of a mailbox of a stopped server, or fetched from a
    /// bucket. Nothing in it is changed.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// File with the mailbox's password, its recovery key, or an app password that may read mail.
    #[arg(long, value_name = "FILE")]
    pub password_file: PathBuf,
    /// What to write.
    #[arg(long)]
    pub format: Format,
    /// Folder to write to; it must not exist, or be empty.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// Formats of `sealpost export` and `sealpost import`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Maildir++, for Dovecot, Courier, mutt, ...
    Maildir,
    /// A file per folder (mboxrd).
    Mbox,
    /// A `.eml` file per message and `manifest.json`.
    Eml,
    /// The decrypted database.
    Sqlite,
}

impl Format {
    /// The same where it is a format of mail.
    pub fn mail(self) -> Option<interchange::Format> {
        match self {
            Self::Maildir => Some(interchange::Format::Maildir),
            Self::Mbox => Some(interchange::Format::Mbox),
            Self::Eml => Some(interchange::Format::Eml),
            Self::Sqlite => None,
        }
    }
}

/// Name of the database in a result of [`Format::Sqlite`].
pub const PLAIN: &str = "mailbox.sqlite";

/// Exports.
pub async fn run(options: Args) -> anyhow::Result<()> {
    owner::refuse_live(&options.folder)?;
    Staging::check(&options.out).map_err(hinted)?;
    let opened = owner::open(&options.folder, &options.password_file, &[Scope::Owner, Scope::Imap])?;
    if !opened.has_mailbox {
        eprintln!("there is no mailbox.sqlite: its owner has never logged in; what waits is exported");
    }
    let sealing = opened.keyset.unwrap_sealing_key(&opened.dek).context("the sealing key does not open")?;
    let staging = Staging::begin(&options.out).map_err(hinted)?;
    let explain = |error| owner::explain(&options.folder, error);
    let mailbox = Offline::open(&opened.files, &staging.aside(), &opened.dek, &sealing).await.map_err(explain)?;
    let (written, damaged) = match options.format.mail() {
        Some(format) => write_mail(&mailbox, format, &staging)?,
        None => write_plain(&mailbox, &staging).map_err(explain)?,
    };
    let report = mailbox.report().clone();
    drop(mailbox);
    staging.finish().map_err(hinted)?;
    tell(&written, &report, &damaged, &options)
}

/// The summary. What is missing fails the command, after the rest has been written.
fn tell(written: &Written, report: &offline::Report, damaged: &[Damaged], options: &Args) -> anyhow::Result<()> {
    println!(
        "{} messages in {} folders, {} octets, are in {} ({} of them waited for their owner)",
        written.messages,
        written.folders,
        written.bytes,
        options.out.display(),
        written.waiting
    );
    for (delivery, reason) in &report.set_aside {
        eprintln!("missing: the waiting message {delivery}: {reason}");
    }
    for Damaged { folder, uid, reason } in damaged {
        eprintln!("missing: message {uid} of {folder}: {reason}");
    }
    let missing = report.set_aside.len() + damaged.len();
    if missing > 0 {
        bail!(
            "{missing} messages could not be read; everything else is there\n  manifest.json lists them; look for them in an older state of the mailbox (`sealpost bucket fetch --at`)"
        );
    }
    Ok(())
}

fn write_mail(
    mailbox: &Offline,
    format: interchange::Format,
    staging: &Staging,
) -> anyhow::Result<(Written, Vec<Damaged>)> {
    let mut writer = Writer::begin(format, &staging.result()).map_err(hinted)?;
    let mut damaged = Vec::new();
    for folder in mailbox.folders()? {
        writer.folder(&described(mailbox, &folder)).map_err(hinted)?;
        for message in mailbox.messages(&folder)? {
            match read(mailbox, &message) {
                Ok(message) => writer.message(&message).map_err(hinted)?,
                Err(error) => {
                    let missing =
                        Damaged { folder: folder.name().to_owned(), uid: message.uid, reason: error.to_string() };
                    damaged.push(missing.clone());
                    writer.damaged(missing);
                }
            }
        }
    }
    for (delivery, reason) in &mailbox.report().set_aside {
        writer.set_aside(Aside { delivery: delivery.to_string(), reason: reason.clone() });
    }
    Ok((writer.finish(mailbox.subscriptions()?).map_err(hinted)?, damaged))
}

fn write_plain(mailbox: &Offline, staging: &Staging) -> Result<(Written, Vec<Damaged>), StoreError> {
    mailbox.write_plain(&staging.result().join(PLAIN))?;
    let mut written = Written { waiting: mailbox.report().waiting, ..Written::default() };
    for folder in mailbox.folders()? {
        written.folders += 1;
        for message in mailbox.messages(&folder)? {
            written.messages += 1;
            written.bytes += message.size;
        }
    }
    Ok((written, Vec::new()))
}

/// A folder as the formats know it.
pub fn described(mailbox: &Offline, folder: &offline::Folder) -> Folder {
    Folder {
        name: folder.name().to_owned(),
        uidvalidity: Some(folder.uidvalidity()),
        uidnext: Some(folder.uidnext()),
        special: folder.special().map(str::to_owned),
        keywords: mailbox.keywords().to_vec(),
    }
}

/// A message as the formats know it.
pub fn read(mailbox: &Offline, message: &offline::Message) -> Result<Message, StoreError> {
    Ok(Message {
        uid: Some(message.uid),
        flags: message.flags,
        keywords: message.keywords.clone(),
        received: Timestamp::from_second(message.received).ok(),
        waiting: message.waiting,
        bytes: mailbox.bytes(message)?,
    })
}

/// The error with what to do about it.
pub fn hinted(error: InterchangeError) -> anyhow::Error {
    let hint = error.hint();
    let error = anyhow::Error::new(error);
    match hint {
        // The hint ends what is printed, behind all causes.
        Some(hint) => anyhow::anyhow!("{error:#}\n  {hint}"),
        None => error,
    }
}
