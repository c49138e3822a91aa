//! Everything that must hold before a change is taken, the quick checks first. Tests are `cargo test --workspace`.

use crate::workspace::cargo;
use crate::{docs, generate, layers, observe, rules, sizes};

/// Runs all checks; the first that fails ends it.
pub fn run() -> anyhow::Result<()> {
    cargo(&["fmt", "--all", "--", "--check"])?;
    sizes::run()?;
    docs::run()?;
    rules::run()?;
    observe::run()?;
    layers::run()?;
    generate::run(generate::Mode::Check)?;
    cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"])
}
