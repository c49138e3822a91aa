//! From a parsed command line to an exit code: 0 done, 1 it failed, 2 the command line was wrong (by clap).

pub mod backup;
pub mod bucket;
mod delete;
pub mod export;
pub mod import;
pub mod key;
mod owner;
pub mod password;
pub mod purge;
pub mod restore;
mod status;

use std::process::ExitCode;

use crate::args::{Args, Command};
use crate::{logging, role, up};

/// Runs the command; errors go to standard error with what to do next.
pub fn run(args: Args) -> ExitCode {
    let result = match args.command {
        Command::Primary(role) => role::primary(&role),
        Command::Secondary(role) => role::secondary(&role),
        Command::Sidecar(role) => role::sidecar(&role),
        Command::Operator(options) => role::operator(options),
        Command::Up(options) => person(up::run(options)),
        Command::Password(options) => person(password::run(options)),
        Command::Status(options) => person(status::run(options)),
        Command::Delete(options) => person(delete::run(options)),
        Command::Backup(options) => person(backup::run(options)),
        Command::Restore(options) => person(restore::run(options)),
        Command::Purge(options) => person(purge::run(options)),
        Command::Export(options) => person(export::run(options)),
        Command::Import(options) => person(import::run(options)),
        Command::Key(options) => person(key::run(options)),
        Command::Bucket(options) => person(bucket::run(options)),
    };
    finish(result)
}

/// The exit code of a result; an error is told on standard error.
pub fn finish(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sealpost: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a command of a person.
pub fn person(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    logging::person();
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(command)
}
