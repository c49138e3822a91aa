//! `cargo xtask`: the one door to the checks and generators of this repository.

mod ci;
mod docs;
mod generate;
mod install;
mod layers;
mod observe;
mod reference;
mod rules;
mod sizes;
mod workspace;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let chain: Vec<String> = error.chain().map(ToString::to_string).collect();
            eprintln!("{}", chain.join(": "));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[&str]) -> anyhow::Result<()> {
    match args {
        ["layers"] => layers::run(),
        ["sizes"] => sizes::run(),
        ["gen"] => generate::run(generate::Mode::Write),
        ["gen", "--check"] => generate::run(generate::Mode::Check),
        ["docs"] => docs::run(),
        ["rules"] => rules::run(),
        ["observe"] => observe::run(),
        ["ci"] => ci::run(),
        _ => anyhow::bail!("usage: cargo xtask layers | sizes | gen [--check] | docs | rules | observe | ci"),
    }
}
