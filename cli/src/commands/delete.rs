//! `sealpost delete KIND NAME`

use anyhow::bail;

use crate::args::Delete;
use crate::control::{self, Ask, Told};

/// Asks the running `up` to remove the object.
pub async fn run(options: Delete) -> anyhow::Result<()> {
    match control::ask(&options.state, &Ask::Delete { kind: options.kind, name: options.name }).await? {
        Told::Done(what) => println!("{what}"),
        Told::Refused(why) => bail!(why),
        Told::Status(_) | Told::Run(_) => bail!("unexpected answer"),
    }
    Ok(())
}
