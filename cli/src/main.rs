//! The `sealpost` executable: every role of the data plane, `up`, and the tools for people.

mod args;
mod commands;
mod control;
mod logging;
mod role;
mod up;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: sys::ZeroOnFree = sys::ZeroOnFree;

fn main() -> ExitCode {
    sys::sqlite_hygiene();
    tls::install_provider();
    commands::run(args::parse())
}
