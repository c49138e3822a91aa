//! What an owner's tools have in common: a folder with a mailbox's files, and a secret that opens them.

use std::fs::File;
use std::io;
use std::path::Path;

use anyhow::{Context, bail};
use crypto::{CryptoError, Dek, Keyset, Secret, SecretError};
use model::verbs::Scope;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use store::StoreError;
use store::offline::Files;
use zeroize::Zeroizing;

/// A mailbox's files, opened.
pub struct Opened {
    /// Where they are.
    pub files: Files,
    /// Their keyset.
    pub keyset: Keyset,
    /// Their key. It opens the database, if there is one.
    pub dek: Dek,
    /// Whether there is a database: its owner may never have logged in.
    pub has_mailbox: bool,
}

/// Finds the files and opens them with the secret, which has to have one of the scopes. Nothing is written.
pub fn open(folder: &Path, password_file: &Path, scopes: &[Scope]) -> anyhow::Result<Opened> {
    sys::process::harden_process();
    let files = Files::find(folder).map_err(|error| explain(folder, error))?;
    let keyset = Keyset::from_json(&files.keys()?).map_err(|error| with_hint(&error, error.hint(), "keys.json"))?;
    let typed = password(password_file)?;
    let unlocked = match keyset.unlock(&Secret::new(&typed)) {
        Ok(unlocked) => unlocked,
        Err(CryptoError::WrongSecret) => bail!(wrong(folder, &typed)),
        Err(error) => return Err(with_hint(&error, error.hint(), "keys.json")),
    };
    if !scopes.iter().any(|scope| unlocked.scopes.contains(scope)) {
        bail!("this app password may not read the whole mailbox\n  use the mailbox's password or its recovery key");
    }
    let has_mailbox = files.prove(&unlocked.dek).map_err(|error| explain(folder, error))?;
    Ok(Opened { files, keyset, dek: unlocked.dek, has_mailbox })
}

/// The text of a password file, without the line end that editors put there.
pub fn password(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let read =
        || format!("cannot read the password file {}\n  write the password into it, in one line", path.display());
    let mut text = Zeroizing::new(std::fs::read_to_string(path).with_context(read)?);
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

/// Refuses the folder of a mailbox that a primary serves now: its files change while they are read.
pub fn refuse_live(folder: &Path) -> anyhow::Result<()> {
    let folder = folder.canonicalize().with_context(|| format!("cannot look at {}", folder.display()))?;
    // <data>/mailboxes/<ab>/<id>
    let Some(data) = folder.ancestors().nth(3).filter(|data| data.join("mailboxes").is_dir()) else { return Ok(()) };
    let lock = match File::open(data.join("lock")) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("cannot look at {}", data.join("lock").display())),
    };
    match flock(&lock, FlockOperation::NonBlockingLockShared) {
        Err(Errno::WOULDBLOCK) => bail!(
            "{} belongs to a server that runs\n  stop it, or export from a copy: `sealpost bucket fetch` makes one from the archive",
            folder.display()
        ),
        _ => Ok(()),
    }
}

fn wrong(folder: &Path, typed: &str) -> String {
    let mut text = format!("wrong password: nothing in {} opens with it", folder.join("keys.json").display());
    if Secret::parse_minted(typed).is_err_and(|error| error == SecretError::Check) {
        text += "\n  it looks like a key we made, but is mistyped: compare it with what was shown";
    }
    text + "\n  the recovery key opens it too; if the password was changed lately, an older keys.json has the old one"
}

/// What is wrong with the files, and what to do.
pub fn explain(folder: &Path, error: StoreError) -> anyhow::Error {
    let shown = folder.display();
    match error {
        full if full.is_full() => anyhow::anyhow!(
            "{:#}\n  a mailbox needs as much room beside the result as its own files: free it, or choose another place with --out, and run the same command again",
            anyhow::Error::new(full)
        ),
        StoreError::NoKeys => anyhow::anyhow!(
            "there is no keys.json in {shown}\n  give the folder of one mailbox: <data>/mailboxes/<ab>/<id>, or what `sealpost bucket fetch` wrote"
        ),
        StoreError::WrongKey => anyhow::anyhow!(
            "keys.json and mailbox.sqlite in {shown} do not belong together\n  take both from the same mailbox and the same restore; keys.json.1 and keys.json.2 are the versions before"
        ),
        StoreError::Busy => {
            anyhow::anyhow!("the files in {shown} change while they are read\n  stop the server, or copy them first")
        }
        StoreError::Corrupt(_) => anyhow::Error::new(error).context(format!(
            "cannot use the files in {shown}\n  copy the whole folder, with the files that end in -wal, or fetch it from the bucket again"
        )),
        StoreError::Format { .. } => {
            anyhow::Error::new(error).context(format!("cannot use the files in {shown}\n  use a newer version of sealpost"))
        }
        other => anyhow::Error::new(other).context(format!("cannot use the files in {shown}")),
    }
}

fn with_hint(error: &CryptoError, hint: Option<&str>, what: &str) -> anyhow::Error {
    let hint = hint.map(|hint| format!("\n  {hint}")).unwrap_or_default();
    anyhow::anyhow!("{what} cannot be used: {error}{hint}")
}
