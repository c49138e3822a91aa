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
    let Minted { password, recovery, keys } = mint(address, options.recovery)?;
    if options.offline {
        print!("{}", manifest(address, &keys));
    } else {
        refused(control::ask(&options.state, &Ask::Keys { address: address.clone(), keys }).await?)?;
    }
    show(&password, recovery.as_ref(), options.offline).await
}

/// Secrets that open a mailbox, and its keys wrapped with them.
pub struct Minted {
    /// The password.
    pub password: Secret,
    /// The recovery key, if one was asked for.
    pub recovery: Option<Secret>,
    /// `keys.json`: nothing in it opens the mailbox without one of the others.
    pub keys: String,
}

/// Makes them for the mailbox of that address.
pub fn mint(address: &Address, recovery: bool) -> anyhow::Result<Minted> {
    let password = Secret::mint(&[]);
    let others: Vec<String> = password.tag().map(str::to_owned).into_iter().collect();
    let recovery = recovery.then(|| Secret::mint(&others));
    let new = NewKeyset {
        address,
        password: &password,
        recovery: recovery.as_ref(),
        cost: Argon2Cost::default(),
        created: Timestamp::now(),
    };
    let (keyset, _dek) = Keyset::create(&new)?;
    let keys = String::from_utf8(keyset.to_json()).context("keys.json is text")?;
    Ok(Minted { password, recovery, keys })
}

fn refused(told: Told) -> anyhow::Result<()> {
    match told {
        Told::Refused(why) => bail!(why),
        Told::Done(_) | Told::Status(_) | Told::Run(_) => Ok(()),
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

/// Shows secrets: on a terminal for 30 seconds. Offline, standard output is the manifest, so they go to standard error.
pub async fn show(password: &Secret, recovery: Option<&Secret>, offline: bool) -> anyhow::Result<()> {
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
