//! The `sealpost` executable: every role, `up`, and the tools for people; also the plugin of `kubectl`.

mod args;
mod commands;
mod control;
mod hygiene;
mod logging;
mod plugin;
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
    hygiene::wipe_freed_memory();
    tls::install_provider();
    if plugin::is_called() { plugin::run() } else { commands::run(args::parse()) }
}
