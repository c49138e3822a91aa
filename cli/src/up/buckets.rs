//! What opens the buckets of policies: the Secrets that they name, laid out as files where the sidecar looks for them.
//!
//! ```text
//! <state>/run/credentials/<policy>.accessKeyId  <policy>.secretAccessKey  <policy>.sessionToken  <policy>.ca.crt
//! ```
//!
//! * As in a cluster, where they are the keys of one Secret.
//! * Files have mode 0600, the folder 0700. No other process is told of them; nothing of them is remembered, logged or printed.
//! * Each file is replaced in one step, and the sidecar reads them for every request: renewed ones count at once.
//! * A Secret whose manifest vanished keeps its files. They go with the policy, or when its destination becomes a folder.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context;
use api::conditions::reason;
use api::{Object, Secret};
use files::durable;
use model::backup::{Destination, Policies};
use zeroize::Zeroizing;

/// Below the state folder.
pub const FOLDER: &str = "run/credentials";
/// What a Secret with credentials may hold, and whether it has to.
const KEYS: [(&str, bool); 3] = [("accessKeyId", true), ("secretAccessKey", true), ("sessionToken", false)];
/// The Secret of a private authority holds this.
const CA: &str = "ca.crt";

/// Makes the folder hold what opens the buckets of these policies, and nothing else. Answers what is missing.
pub fn lay_out(folder: &Path, objects: &[Object], policies: &Policies) -> anyhow::Result<Vec<String>> {
    let mut findings = Vec::new();
    let mut wanted = BTreeSet::new();
    durable::create_dir_all(folder)?;
    for object in objects {
        let Object::BackupPolicy(policy) = object else { continue };
        let name = object.name();
        if !matches!(policies.policies.get(name).map(|policy| &policy.destination), Some(Destination::S3(_))) {
            continue;
        }
        let s3 = &policy.spec.destination.s3;
        let credentials = s3.credentials_secret_ref.as_ref().map(|named| &named.name);
        let authority = s3.ca_secret_ref.as_ref().map(|named| &named.name);
        let keys = KEYS.iter().filter_map(|(key, needed)| Some((*key, *needed, credentials?)));
        for (key, needed, named) in keys.chain(authority.map(|named| (CA, true, named))) {
            let file = format!("{name}.{key}");
            put(&folder.join(&file), key, secret(objects, named), needed, || {
                let what = format!("there is no Secret `{named}` with the key `{key}`: add it to the manifests");
                findings.push(format!("{}: {}: {what}", object.reference(), reason::SECRET_NOT_FOUND));
            })?;
            wanted.insert(file);
        }
    }
    forget(folder, &wanted)?;
    Ok(findings)
}

fn secret<'a>(objects: &'a [Object], name: &str) -> Option<&'a Secret> {
    objects.iter().find_map(|object| match object {
        Object::Secret(secret) if secret.name == name => Some(secret),
        _ => None,
    })
}

/// One file of a Secret. Without the Secret, or a key that it needs, the file stays as it is.
fn put(path: &Path, key: &str, secret: Option<&Secret>, needed: bool, missing: impl FnOnce()) -> anyhow::Result<()> {
    let value = secret.and_then(|secret| secret.data.get(key)).filter(|value| !value.is_empty());
    match value {
        Some(value) if is(path, value)? => {}
        Some(value) => durable::write(path, value)?,
        None if needed && path.exists() && secret.is_none() => {}
        None if needed => missing(),
        None if secret.is_some() => durable::remove(path)?,
        None => {}
    }
    Ok(())
}

/// True if the file holds that.
fn is(path: &Path, value: &[u8]) -> anyhow::Result<bool> {
    match std::fs::read(path).map(Zeroizing::new) {
        Ok(found) => Ok(*found == value),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Removes the files of policies that are no more, or need none.
fn forget(folder: &Path, wanted: &BTreeSet<String>) -> anyhow::Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("cannot look at {}", folder.display())),
    };
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot look at {}", folder.display()))?;
        if !entry.file_name().to_str().is_some_and(|name| wanted.contains(name)) {
            durable::remove(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
