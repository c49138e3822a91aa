//! From a parsed command line to an exit code: 0 done, 1 it failed, 2 the command line was wrong (by clap).

mod delete;
mod password;
mod status;

use std::process::ExitCode;

use crate::args::{Args, Command};
use crate::{logging, role, up};

/// Runs the command; errors go to standard error with what to do next.
pub fn run(args: Args) -> ExitCode {
    let result = match args.command {
        Command::Primary(role) => role::primary(&role),
        Command::Secondary(role) => role::secondary(&role),
        Command::Up(options) => person(up::run(options)),
        Command::Password(options) => person(password::run(options)),
        Command::Status(options) => person(status::run(options)),
        Command::Delete(options) => person(delete::run(options)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sealpost: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn person(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    logging::person();
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(command)
}
