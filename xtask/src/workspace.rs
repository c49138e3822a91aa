//! Where things are, and running commands there.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

/// Folders without sources of ours.
const SKIPPED: [&str; 4] = ["target", "node_modules", "results", "work"];

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The files below `folder` with that extension, sorted, with paths relative to the root.
pub fn files(folder: &str, extension: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root().join(&folder)).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = folder.join(&name);
            if entry.file_type()?.is_dir() {
                if !name.starts_with('.') && !SKIPPED.contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Reads a file by its path relative to the root.
pub fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(root().join(path)).with_context(|| path.display().to_string())
}

/// Runs the cargo that runs us, at the root; its output is shown.
pub fn cargo(args: &[&str]) -> anyhow::Result<()> {
    let status = Command::new(env!("CARGO")).args(args).current_dir(root()).status()?;
    if !status.success() {
        bail!("`cargo {}` failed", args.join(" "));
    }
    Ok(())
}

/// Prints what is wrong and fails if there is anything.
pub fn verdict(check: &str, problems: &[String]) -> anyhow::Result<()> {
    for problem in problems {
        eprintln!("{check}: {problem}");
    }
    if !problems.is_empty() {
        bail!("{check}: {} found", problems.len());
    }
    println!("{check}: ok");
    Ok(())
}
