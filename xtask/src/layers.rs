//! Dependencies point one way: which crate of ours may use which, and who may name a library.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::Context;
use serde_json::Value;

use crate::workspace::{root, verdict};

/// What each crate may depend on, lower layers first. `cli` is not here: it may use everything.
const LAYERS: [(&str, &[&str]); 20] = [
    ("model", &[]),
    ("sys", &[]),
    ("crypto", &["model", "sys"]),
    ("files", &["model", "sys"]),
    ("control", &["model"]),
    // Certificates are files too: a development CA is written durably.
    ("tls", &["model", "sys", "files"]),
    ("probes", &[]),
    ("mime", &["model"]),
    ("store", &["model", "sys", "crypto", "files", "control", "mime"]),
    ("interchange", &["model", "crypto", "files"]),
    ("wire", &["model", "sys", "crypto", "files", "tls"]),
    ("primary", &["model", "sys", "crypto", "files", "control", "tls", "probes", "mime", "store", "wire"]),
    ("imap", &["model", "crypto", "mime"]),
    ("pop3", &["model", "crypto", "mime"]),
    ("smtp", &["model", "crypto", "mime"]),
    ("outbound", &["model", "crypto", "mime"]),
    (
        "secondary",
        &["model", "sys", "crypto", "files", "tls", "probes", "mime", "wire", "imap", "pop3", "smtp", "outbound"],
    ),
    ("api", &["model", "crypto"]),
    ("operator", &["model", "crypto", "api", "control", "tls", "probes"]),
    ("sidecar", &["model", "files", "control", "probes"]),
];

/// Crates outside the layers: the executable on top, and this tool.
const FREE: [&str; 3] = ["sealpost", "xtask", "e2e"];

/// Libraries that only these crates name.
const NAMED_ONLY_IN: [(&str, &[&str]); 4] = [
    ("kube", &["api", "operator", "sealpost"]),
    ("rusqlite", &["store", "sys"]),
    ("libsqlite3-sys", &["store", "sys"]),
    ("aws-sdk-s3", &["sidecar"]),
];

/// Libraries that nothing may bring in.
const NEVER: [&str; 4] = ["ring", "openssl", "native-tls", "sieve-rs"];

/// Libraries that are there in one version only.
const ONCE: [&str; 3] = ["rustls", "aws-lc-rs", "libsqlite3-sys"];

/// Checks the workspace as cargo sees it.
pub fn run() -> anyhow::Result<()> {
    let metadata = metadata()?;
    let mut problems = Vec::new();
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let members: Vec<&Value> = packages.iter().filter(|package| package["source"].is_null()).collect();
    for package in &members {
        check_crate(package, &members, &mut problems);
    }
    problems.extend(unwanted()?);
    verdict("layers", &problems)
}

fn metadata() -> anyhow::Result<Value> {
    let output = Command::new(env!("CARGO")).args(["metadata", "--format-version=1"]).current_dir(root()).output()?;
    anyhow::ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn short(name: &str) -> &str {
    name.strip_prefix("sealpost-").unwrap_or(name)
}

/// What tests of a crate use is its own business, except for the layers.
fn check_crate(package: &Value, members: &[&Value], problems: &mut Vec<String>) {
    let name = short(package["name"].as_str().unwrap_or_default());
    let free = FREE.contains(&name);
    let allowed = LAYERS.iter().find(|(layer, _)| *layer == name).map(|(_, allowed)| *allowed);
    if allowed.is_none() && !free {
        problems.push(format!("`{name}` has no layer: add it to xtask/src/layers.rs and to docs/architecture.md"));
    }
    for dependency in package["dependencies"].as_array().into_iter().flatten() {
        let target = dependency["name"].as_str().unwrap_or_default();
        let ours = members.iter().any(|member| member["name"] == target);
        let used = short(target);
        if ours && !free && used != name && !allowed.unwrap_or_default().contains(&used) {
            problems.push(format!("`{name}` must not depend on `{used}`"));
        }
        let in_tests = dependency["kind"] == "dev";
        let owners = NAMED_ONLY_IN.iter().find(|(library, _)| *library == target).filter(|_| !in_tests);
        if let Some((_, owners)) = owners.filter(|(_, owners)| !owners.contains(&name)) {
            problems.push(format!("`{name}` names `{target}`, which only {} may", owners.join(", ")));
        }
    }
}

/// Libraries in the graph that is really built (all platforms, features as they are) that must not be there, or be
/// there once. `cargo metadata` cannot tell: it also lists what disabled features would bring.
fn unwanted() -> anyhow::Result<Vec<String>> {
    let args = ["tree", "--workspace", "--target=all", "--prefix=none", "--format={p}"];
    let output = Command::new(env!("CARGO")).args(args).current_dir(root()).output()?;
    anyhow::ensure!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if let (Some(name), Some(version)) = (words.next(), words.next()) {
            versions.entry(name).or_default().insert(version);
        }
    }
    let mut problems = Vec::new();
    for name in NEVER.into_iter().filter(|name| versions.contains_key(name)) {
        problems.push(format!("`{name}` is in the graph: `cargo tree --target all -i {name}` says why"));
    }
    for name in ONCE.into_iter().filter(|name| versions.get(name).is_some_and(|v| v.len() > 1)) {
        problems.push(format!("`{name}` is in the graph more than once"));
    }
    Ok(problems)
}
