//! `sealpost password ADDRESS`
//!
//! The secret is minted here, shown here, and forgotten here: only the wrapped keys leave the process. On a terminal it is
//! wiped from the screen after 30 s; elsewhere it is printed once, for whoever reads the pipe.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use anyhow::{Context, bail};
use crypto::{Argon2Cost, Keyset, NewKeyset, Secret};
use jiff::Timestamp;
use model::Address;

use crate::args::Password;
use crate::control::{self, Ask, Told};

/// How long a password stays on the screen.
const SHOWN: Duration = Duration::from_secs(30);

/// Makes the keys, installs them, shows the secrets.
pub async fn run(options: Password) -> anyhow::Result<()> {
    let address = &options.address;
    if !options.offline {
        // Before anything is shown: a password for a mailbox that cannot take it helps nobody.
        refused(control::ask(&options.state, &Ask::Awaiting(address.clone())).await?)?;
    }
    let password = Secret::mint(&[]);
    let recovery =
        options.recovery.then(|| Secret::mint(&password.tag().map(str::to_owned).into_iter().collect::<Vec<_>>()));
    let keys = wrap(address, &password, recovery.as_ref())?;
    if options.offline {
        print!("{}", manifest(address, &keys));
    } else {
        refused(control::ask(&options.state, &Ask::Keys { address: address.clone(), keys }).await?)?;
    }
    show(&password, recovery.as_ref(), options.offline).await
}

fn wrap(address: &Address, password: &Secret, recovery: Option<&Secret>) -> anyhow::Result<String> {
    let cost = Argon2Cost::default();
    let (keyset, _dek) = Keyset::create(&NewKeyset { address, password, recovery, cost, created: Timestamp::now() })?;
    String::from_utf8(keyset.to_json()).context("keys.json is text")
}

fn refused(told: Told) -> anyhow::Result<()> {
    match told {
        Told::Refused(why) => bail!(why),
        Told::Done(_) | Told::Status(_) => Ok(()),
    }
}

/// A Secret for `keysSecretRef`: nothing in it opens the mailbox without the password.
fn manifest(address: &Address, keys: &str) -> String {
    let name: String = address.local().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let mut text =
        format!("apiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}-keys\nstringData:\n  keys.json: |\n");
    for line in keys.lines() {
        text.extend(["    ", line, "\n"]);
    }
    text
}

/// Offline, standard output is the manifest, so the secrets go to standard error.
async fn show(password: &Secret, recovery: Option<&Secret>, offline: bool) -> anyhow::Result<()> {
    let mut out: Box<dyn Write> = if offline { Box::new(std::io::stderr()) } else { Box::new(std::io::stdout()) };
    let terminal = if offline { std::io::stderr().is_terminal() } else { std::io::stdout().is_terminal() };
    let mut lines = 1;
    writeln!(out, "password: {}", *password.reveal())?;
    if let Some(recovery) = recovery {
        writeln!(out, "recovery key (keep it on paper): {}", *recovery.reveal())?;
        lines += 1;
    }
    if !terminal {
        return Ok(());
    }
    writeln!(
        out,
        "It is stored nowhere. Without it{} the mail is lost.",
        if recovery.is_some() { " and the recovery key" } else { "" }
    )?;
    for left in (1..=SHOWN.as_secs()).rev() {
        write!(out, "\rwiped from this screen in {left} s (Ctrl-C wipes it now) ")?;
        out.flush()?;
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    // Up to the first secret, then clear to the end of the screen.
    writeln!(out, "\r\x1b[{}A\x1b[Jdone", lines + 1)?;
    Ok(())
}
