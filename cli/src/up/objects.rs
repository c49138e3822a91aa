//! The declared objects, and those whose manifests vanished: absence never means removal.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, bail};
use api::{Manifests, Object};
use serde_json::Value;

/// Reads the manifests; errors carry what to do.
pub fn read(files: &[PathBuf]) -> anyhow::Result<Manifests> {
    api::load(files).map_err(|error| {
        let hint = error.hint();
        let hint = if hint.is_empty() { String::new() } else { format!("\n  {hint}") };
        anyhow::anyhow!("{:#}{hint}", anyhow::Error::from(error))
    })
}

/// Declared objects, plus remembered ones that are declared no more.
pub struct Objects {
    /// All of them.
    pub all: Vec<Object>,
    /// Names (`Kind/name`) of those without a manifest.
    pub orphaned: Vec<String>,
}

/// Joins what is declared with what is remembered, and remembers the result. Secrets are never remembered.
pub fn merge(declared: Vec<Object>, memory: &mut BTreeMap<String, Value>) -> anyhow::Result<Objects> {
    let mut all = declared;
    let mut present = BTreeMap::new();
    for object in &all {
        if let Some(value) = object.encode() {
            present.insert(object.reference().to_string(), value?);
        }
    }
    let mut orphaned = Vec::new();
    for (reference, value) in memory.iter() {
        if !present.contains_key(reference) {
            all.push(object(reference, value)?);
            orphaned.push(reference.clone());
            present.insert(reference.clone(), value.clone());
        }
    }
    *memory = present;
    Ok(Objects { all, orphaned })
}

/// Fails where these manifests cannot follow what is remembered: `up` serves one MailServer, always the same.
pub fn follows(declared: &[Object], memory: &BTreeMap<String, Value>) -> anyhow::Result<()> {
    let Some(before) = memory.keys().find(|reference| reference.starts_with("MailServer/")) else {
        return server(declared).map(drop);
    };
    let servers = declared.iter().filter(|object| matches!(object, Object::MailServer(_)));
    let names: Vec<String> = servers.map(|object| object.reference().to_string()).collect();
    match names.as_slice() {
        // Without a manifest it stays as it was.
        [] => Ok(()),
        [name] if name == before => Ok(()),
        [name] => bail!(
            "the state folder belongs to {before}, the manifests declare {name}\n  keep the name, or give another server a folder of its own with --state DIR"
        ),
        _ => server(declared).map(drop),
    }
}

/// Forgets an orphaned object; says why not otherwise.
pub fn delete(
    memory: &mut BTreeMap<String, Value>,
    declared: &[Object],
    kind: &str,
    name: &str,
) -> Result<String, String> {
    let same = |reference: &str| reference.eq_ignore_ascii_case(&format!("{kind}/{name}"));
    if let Some(object) = declared.iter().find(|object| same(&object.reference().to_string())) {
        return Err(format!("{} is still declared\n  remove it from the manifests first", object.reference()));
    }
    let Some(reference) = memory.keys().find(|reference| same(reference)).cloned() else {
        let known: Vec<&str> = memory.keys().map(String::as_str).collect();
        return Err(format!("there is no {kind}/{name}\n  known objects: {}", known.join(", ")));
    };
    if reference.starts_with("MailServer/") {
        return Err(format!(
            "{reference} is what the state folder is for\n  to remove it with all its mail, stop `sealpost up` and remove the folder"
        ));
    }
    memory.remove(&reference);
    Ok(reference)
}

/// An object that was remembered.
pub fn object(reference: &str, value: &Value) -> anyhow::Result<Object> {
    let kind = reference.split('/').next().unwrap_or_default();
    let Some(object) = Object::decode(kind, value) else {
        bail!("world.json remembers {reference}, which this version does not know");
    };
    object.with_context(|| format!("world.json remembers {reference} in a form this version cannot read"))
}

/// The one MailServer that `up` runs.
pub fn server(objects: &[Object]) -> anyhow::Result<&api::MailServer> {
    let mut servers = objects.iter().filter_map(|object| match object {
        Object::MailServer(server) => Some(server.as_ref()),
        _ => None,
    });
    match (servers.next(), servers.next()) {
        (Some(server), None) => Ok(server),
        (None, _) => bail!("the manifests declare no MailServer\n  start from config/samples"),
        (Some(_), Some(_)) => {
            bail!("the manifests declare several MailServers, `up` runs one\n  give -f one of them only")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "apiVersion: sealpost.dev/v1alpha1\nkind: MailServer\nmetadata: {name: mail}\nspec: {hostname: mx.example.org, domains: [{name: example.org}]}\n---\napiVersion: sealpost.dev/v1alpha1\nkind: Mailbox\nmetadata: {name: ann}\nspec: {address: ann@example.org}\n";

    fn declared(text: &str) -> Vec<Object> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("all.yaml");
        std::fs::write(&file, text).unwrap();
        read(&[file]).unwrap().objects
    }

    #[test]
    fn a_vanished_manifest_orphans_its_object_until_it_is_deleted() {
        let mut memory = BTreeMap::new();
        assert_eq!(merge(declared(MANIFEST), &mut memory).unwrap().all.len(), 2);
        let less = declared(MANIFEST.split("---").next().unwrap());
        let merged = merge(less.clone(), &mut memory).unwrap();
        assert_eq!((merged.all.len(), merged.orphaned), (2, vec!["Mailbox/ann".to_owned()]));

        assert!(delete(&mut memory, &declared(MANIFEST), "mailbox", "ann").unwrap_err().contains("still declared"));
        assert!(delete(&mut memory, &less, "Mailbox", "bob").unwrap_err().contains("Mailbox/ann"));
        assert_eq!(delete(&mut memory, &less, "mailbox", "ann").unwrap(), "Mailbox/ann");
        assert_eq!(merge(less, &mut memory).unwrap().all.len(), 1);
    }
}
