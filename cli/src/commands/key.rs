//! `sealpost key DIR`
//!
//! Standard output is what an SQLCipher shell reads; the warning goes to standard error.

use std::fmt::Write as _;
use std::path::PathBuf;

use data_encoding::HEXLOWER;
use model::verbs::Scope;
use zeroize::Zeroizing;

use super::owner;

/// `sealpost key`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder with `keys.json` and `mailbox.sqlite`.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// File with the mailbox's password or recovery key.
    #[arg(long, value_name = "FILE")]
    pub password_file: PathBuf,
}

/// Prints the key.
#[expect(clippy::unused_async, reason = "every command of a person is one")]
pub async fn run(options: Args) -> anyhow::Result<()> {
    let opened = owner::open(&options.folder, &options.password_file, &[Scope::Owner])?;
    eprintln!(
        "This key opens the whole mailbox, without any password, for whoever has it and a copy of the file; changing the\n\
         password does not change it. Keep it out of files, shell histories and tickets. Work on a copy: a server that\n\
         runs does not expect another program in its files, and a file is only whole together with its -wal."
    );
    let mut text = Zeroizing::new(String::with_capacity(512));
    let key = Zeroizing::new(HEXLOWER.encode(opened.dek.bytes()));
    let _ = write!(
        text,
        "-- raw key of mailbox.sqlite: {}\nPRAGMA key = \"x'{}'\";\nPRAGMA cipher_compatibility = 4;\n",
        *key, *key
    );
    print!("{}", *text);
    Ok(())
}
