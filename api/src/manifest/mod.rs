//! Reads manifests: what `kubectl apply -f` would get, from a file or a folder.
//!
//! * A folder gives its `*.yaml`, `*.yml` and `*.json` files in order of their names; folders inside are not entered.
//! * Kinds of our group must be exactly right: an unknown kind or field is an error that names the nearest one.
//! * Kinds of other groups give a warning and are left out.
//! * Namespaces are not looked at: everything read together is one namespace.

mod locate;
mod nearest;
pub(crate) mod shape;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use serde::Deserialize;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use self::locate::Source;
use crate::error::{Invalid, ManifestError};
use crate::object::{KINDS, Object, Secret};
use crate::validate::{Problem, validate};
use crate::{API_VERSION, GROUP};

/// What was read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Manifests {
    /// Valid objects, in the order they were read.
    pub objects: Vec<Object>,
    /// What was left out, and why.
    pub warnings: Vec<String>,
}

/// Reads files and folders. The first thing that is wrong ends it.
pub fn load<P: AsRef<Path>>(paths: &[P]) -> Result<Manifests, ManifestError> {
    let mut read = Manifests::default();
    let mut seen = BTreeSet::new();
    for path in paths {
        for file in files(path.as_ref())? {
            let text = fs::read_to_string(&file).map_err(|source| unreadable(&file, source))?;
            parse(&file, &text, &mut read, &mut seen)?;
        }
    }
    Ok(read)
}

fn unreadable(path: &Path, source: std::io::Error) -> ManifestError {
    ManifestError::Unreadable { path: path.to_owned(), source }
}

fn files(path: &Path) -> Result<Vec<PathBuf>, ManifestError> {
    if !fs::metadata(path).map_err(|source| unreadable(path, source))?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(|source| unreadable(path, source))? {
        let file = entry.map_err(|source| unreadable(path, source))?.path();
        let known = file.extension().is_some_and(|e| e == "yaml" || e == "yml" || e == "json");
        if known && file.is_file() {
            files.push(file);
        }
    }
    if files.is_empty() {
        return Err(ManifestError::Empty { path: path.to_owned() });
    }
    files.sort();
    Ok(files)
}

fn parse(
    file: &Path,
    text: &str,
    read: &mut Manifests,
    seen: &mut BTreeSet<(&'static str, String)>,
) -> Result<(), ManifestError> {
    let source = Source::new(text);
    for (index, document) in serde_norway::Deserializer::from_str(text).enumerate() {
        let fail = |object: &str, problem: Problem| {
            ManifestError::Invalid(Box::new(Invalid {
                file: file.to_owned(),
                document: index + 1,
                line: source.line(index, &problem.path),
                object: object.to_owned(),
                field: problem.path,
                message: problem.message,
                hint: problem.hint,
            }))
        };
        let value = serde_norway::Value::deserialize(document).and_then(serde_norway::from_value::<Value>);
        let value = value.map_err(|error| not_yaml(file, index, &error))?;
        if value.is_null() {
            continue;
        }
        let label = label(&value);
        match decode(&value).map_err(|problem| fail(&label, problem))? {
            Decoded::Object(object) => {
                if let Some(problem) = validate(&object).into_iter().next() {
                    return Err(fail(&label, problem));
                }
                if !seen.insert((object.kind(), object.name().to_owned())) {
                    let hint = "give one of them another name";
                    return Err(fail(
                        &label,
                        Problem::new("metadata.name", "an object of that name was read before", hint),
                    ));
                }
                read.objects.push(object);
            }
            Decoded::Skipped(why) => read.warnings.push(format!("{}: {why}", file.display())),
        }
    }
    Ok(())
}

fn not_yaml(file: &Path, index: usize, error: &serde_norway::Error) -> ManifestError {
    ManifestError::Invalid(Box::new(Invalid {
        file: file.to_owned(),
        document: index + 1,
        line: error.location().map(|l| l.line()),
        object: String::new(),
        field: String::new(),
        message: format!("not YAML: {error}"),
        hint: "check indentation, quotes and keys that stand twice near that line".into(),
    }))
}

/// `Kind/name` as far as the document says.
fn label(value: &Value) -> String {
    match (value["kind"].as_str(), value["metadata"]["name"].as_str()) {
        (Some(kind), Some(name)) => format!("{kind}/{name}"),
        (Some(kind), None) => kind.to_owned(),
        _ => String::new(),
    }
}

enum Decoded {
    Object(Object),
    Skipped(String),
}

fn decode(value: &Value) -> Result<Decoded, Problem> {
    let Some(map) = value.as_object() else {
        return Err(Problem::new("", "not an object", "a manifest starts with apiVersion, kind and metadata"));
    };
    let text = |key: &str| map.get(key).and_then(Value::as_str);
    let Some(version) = text("apiVersion") else {
        return Err(Problem::new("apiVersion", "is missing", format!("our objects have `apiVersion: {API_VERSION}`")));
    };
    let Some(kind) = text("kind") else {
        return Err(Problem::new("kind", "is missing", format!("our kinds are {}", KINDS.join(", "))));
    };
    let (group, _) = version.rsplit_once('/').unwrap_or(("", version));
    if version == "v1" && kind == "Secret" {
        return secret(map).map(|secret| Decoded::Object(Object::Secret(secret)));
    }
    if group != GROUP {
        let ours = KINDS.contains(&kind).then(|| format!("; did you mean `apiVersion: {API_VERSION}`?"));
        return Ok(Decoded::Skipped(format!("{version} {kind} is ignored{}", ours.unwrap_or_default())));
    }
    if version != API_VERSION {
        return Err(Problem::new("apiVersion", format!("there is no `{version}`"), format!("write `{API_VERSION}`")));
    }
    if !KINDS.contains(&kind) {
        let hint = nearest::hint(kind, KINDS);
        return Err(Problem::new("kind", format!("there is no kind `{kind}`"), hint));
    }
    shape::check(kind, map)?;
    let unknown = || Ok(Decoded::Skipped(format!("{} is ignored", label(value))));
    // The shape was checked, so reading hardly ever fails; where it does, the reader's own words must do.
    let wrong = |error: serde_json::Error| Problem::new("", error.to_string(), "");
    Object::decode(kind, value).map_or_else(unknown, |object| object.map(Decoded::Object).map_err(wrong))
}

fn secret(map: &Map<String, Value>) -> Result<Secret, Problem> {
    const KEYS: [&str; 7] = ["apiVersion", "kind", "metadata", "type", "immutable", "data", "stringData"];
    if let Some(key) = map.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(Problem::new(key.as_str(), "there is no such field", nearest::hint(key, KEYS)));
    }
    shape::metadata(map)?;
    let name = map["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let mut data = std::collections::BTreeMap::new();
    for (field, encoded) in [("data", true), ("stringData", false)] {
        let Some(entries) = map.get(field) else { continue };
        let Some(entries) = entries.as_object() else {
            return Err(Problem::new(field, "is not a map", "write `key: value` lines below it"));
        };
        for (key, value) in entries {
            let path = format!("{field}.{key}");
            let Some(text) = value.as_str() else {
                return Err(Problem::new(&path, "is not a text", "put the value in quotes"));
            };
            let bytes = if encoded {
                let wrong = |_| Problem::new(&path, "is not base64", "use stringData for plain text");
                BASE64.decode(text.trim().as_bytes()).map_err(wrong)?
            } else {
                text.as_bytes().to_vec()
            };
            data.insert(key.clone(), Zeroizing::new(bytes));
        }
    }
    Ok(Secret { name, data })
}
