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
    if let Err(error) = sys::sqlite::install_allocator() {
        eprintln!("sealpost: {error}");
        return ExitCode::FAILURE;
    }
    sys::process::overwrite_freed_c_memory();
    tls::install_provider();
    commands::run(args::parse())
}
