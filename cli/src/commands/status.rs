//! `sealpost status`

use anyhow::bail;

use crate::args::{Output, Status};
use crate::control::{self, Ask, Told};

/// Prints what runs; fails where nothing does.
pub async fn run(options: Status) -> anyhow::Result<()> {
    let Told::Status(status) = control::ask(&options.state, &Ask::Status).await? else { bail!("unexpected answer") };
    match options.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&status)?),
        Output::Text => print!("{status}"),
    }
    Ok(())
}
