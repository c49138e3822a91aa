//! Compares a document with the schema of its kind: fields that do not exist, fields that must, types and bounds. What
//! an API server would say first, with the nearest name as a hint.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use serde_json::{Map, Value};

use super::nearest;
use crate::validate::Problem;

/// Fields of `ObjectMeta`.
const METADATA: [&str; 15] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// The first thing in which a document differs from its kind's schema.
pub(crate) fn check(kind: &str, document: &Map<String, Value>) -> Result<(), Problem> {
    metadata(document)?;
    let Some(schema) = schemas().get(kind) else { return Ok(()) };
    let names = ["apiVersion", "kind", "metadata", "spec", "status"];
    if let Some(key) = document.keys().find(|key| !names.contains(&key.as_str())) {
        let hint = match schema["properties"]["spec"]["properties"].get(key) {
            Some(_) => format!("it belongs under `spec`: indent `{key}`"),
            None => nearest::hint(key, names),
        };
        return Err(Problem::new(key.as_str(), "there is no such field", hint));
    }
    let Some(spec) = document.get("spec") else {
        return Err(Problem::new("spec", "is missing", required_hint(&schema["properties"]["spec"])));
    };
    value("spec", spec, &schema["properties"]["spec"])
}

/// Checks `metadata`: it must name the object.
pub(super) fn metadata(document: &Map<String, Value>) -> Result<(), Problem> {
    let Some(meta) = document.get("metadata").and_then(Value::as_object) else {
        return Err(Problem::new("metadata", "is missing", "every object has `metadata: {name: ...}`"));
    };
    if let Some(key) = meta.keys().find(|key| !METADATA.contains(&key.as_str())) {
        let path = format!("metadata.{key}");
        return Err(Problem::new(path, "there is no such field", nearest::hint(key, METADATA)));
    }
    let name = meta.get("name").and_then(Value::as_str).unwrap_or_default();
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let ends = |c: char| c.is_ascii_alphanumeric();
    if name.is_empty()
        || name.len() > 253
        || !name.chars().all(allowed)
        || !name.starts_with(ends)
        || !name.ends_with(ends)
    {
        let hint = "use lower-case letters, digits, `-` and `.`, for example `ann`";
        return Err(Problem::new("metadata.name", format!("`{name}` is not a name"), hint));
    }
    Ok(())
}

fn schemas() -> &'static BTreeMap<String, Value> {
    static SCHEMAS: OnceLock<BTreeMap<String, Value>> = OnceLock::new();
    SCHEMAS.get_or_init(|| {
        let schema = |crd: &Value| crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
        let crds = crate::crds().into_iter().filter_map(|crd| serde_json::to_value(crd).ok());
        crds.filter_map(|crd| Some((crd["spec"]["names"]["kind"].as_str()?.to_owned(), schema(&crd)))).collect()
    })
}

fn value(path: &str, found: &Value, schema: &Value) -> Result<(), Problem> {
    if found.is_null() && schema["nullable"] == true {
        return Ok(());
    }
    if schema["x-kubernetes-int-or-string"] == true {
        let fits = found.is_string() || found.is_i64() || found.is_u64();
        let hint = "write a whole number or a text such as \"5Gi\"";
        return if fits { Ok(()) } else { Err(Problem::new(path, "is neither a number nor a text", hint)) };
    }
    let (fits, expected) = match schema["type"].as_str() {
        Some("object") => (found.is_object(), "a map of fields"),
        Some("array") => (found.is_array(), "a list"),
        Some("string") => (found.is_string(), "a text"),
        Some("integer") => (found.is_i64() || found.is_u64(), "a whole number"),
        Some("boolean") => (found.is_boolean(), "true or false"),
        _ => (true, ""),
    };
    if !fits {
        return Err(Problem::new(
            path,
            format!("is {}, not {expected}", name_of(found)),
            type_hint(found, expected, schema),
        ));
    }
    match found {
        Value::Object(map) => object(path, map, schema),
        Value::Array(items) => array(path, items, schema),
        Value::String(text) => string(path, text, schema),
        Value::Number(number) => range(path, number, schema),
        _ => Ok(()),
    }
}

fn name_of(found: &Value) -> &'static str {
    match found {
        Value::Null => "empty",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map of fields",
    }
}

fn type_hint(found: &Value, expected: &str, schema: &Value) -> String {
    match (found, expected) {
        (Value::String(text), "a map of fields") if schema["properties"].get("name").is_some() => {
            format!("write `{{name: {text}}}`")
        }
        (Value::Object(_), "a list") => "start each entry with `- `".into(),
        (Value::Number(_) | Value::Bool(_), "a text") => "put it in quotes".into(),
        (Value::String(_), "a whole number" | "true or false") => "write it without quotes and units".into(),
        _ => format!("write {expected}"),
    }
}

fn object(path: &str, map: &Map<String, Value>, schema: &Value) -> Result<(), Problem> {
    let Some(properties) = schema["properties"].as_object() else {
        let each = &schema["additionalProperties"];
        if let Some(most) = schema["maxProperties"].as_u64().filter(|most| map.len() as u64 > *most) {
            return Err(Problem::new(
                path,
                format!("has {} entries", map.len()),
                format!("at most {most} are allowed"),
            ));
        }
        return map.iter().try_for_each(|(key, found)| value(&format!("{path}.{key}"), found, each));
    };
    for (key, found) in map {
        let inner = format!("{path}.{key}");
        let Some(schema) = properties.get(key) else {
            let hint = nearest::hint(key, properties.keys().map(String::as_str));
            return Err(Problem::new(inner, "there is no such field", hint));
        };
        value(&inner, found, schema)?;
    }
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    match required.into_iter().find(|key| !map.contains_key(*key)) {
        Some(key) => Err(Problem::new(format!("{path}.{key}"), "is missing", description(&properties[key]))),
        None => Ok(()),
    }
}

fn description(schema: &Value) -> String {
    schema["description"].as_str().unwrap_or("add it").to_owned()
}

fn required_hint(schema: &Value) -> String {
    let names: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    format!("it needs at least {}", names.join(" and "))
}

fn array(path: &str, items: &[Value], schema: &Value) -> Result<(), Problem> {
    let count = items.len() as u64;
    if let Some(most) = schema["maxItems"].as_u64().filter(|most| count > *most) {
        return Err(Problem::new(path, format!("has {count} entries"), format!("at most {most} are allowed")));
    }
    if let Some(least) = schema["minItems"].as_u64().filter(|least| count < *least) {
        return Err(Problem::new(path, format!("has {count} entries"), format!("at least {least} is needed")));
    }
    let each = items.iter().enumerate();
    each.into_iter().try_for_each(|(index, item)| value(&format!("{path}[{index}]"), item, &schema["items"]))?;
    unique(path, items, schema)
}

/// No entry twice where the list is a set, no key twice where it is a map.
fn unique(path: &str, items: &[Value], schema: &Value) -> Result<(), Problem> {
    let key = schema["x-kubernetes-list-map-keys"][0].as_str();
    if key.is_none() && schema["x-kubernetes-list-type"] != "set" {
        return Ok(());
    }
    let of = |item: &Value| key.map_or_else(|| item.clone(), |key| item[key].clone());
    let mut seen = BTreeSet::new();
    let Some(at) = items.iter().position(|item| !seen.insert(of(item).to_string())) else { return Ok(()) };
    let path = key.map_or_else(|| format!("{path}[{at}]"), |key| format!("{path}[{at}].{key}"));
    let text = of(&items[at]);
    let text = text.as_str().map_or_else(|| text.to_string(), str::to_owned);
    Err(Problem::new(path, format!("`{text}` is there twice"), "remove one of them"))
}

fn string(path: &str, text: &str, schema: &Value) -> Result<(), Problem> {
    let length = text.chars().count() as u64;
    if let Some(most) = schema["maxLength"].as_u64().filter(|most| length > *most) {
        return Err(Problem::new(path, "is too long", format!("at most {most} characters")));
    }
    if schema["minLength"].as_u64().is_some_and(|least| length < least) {
        return Err(Problem::new(path, format!("`{text}` is too short"), description(schema)));
    }
    if schema["format"] == "date-time" && text.parse::<jiff::Timestamp>().is_err() {
        return Err(Problem::new(path, format!("`{text}` is not a time"), "for example 2026-01-31T13:00:00Z"));
    }
    let Some(allowed) = schema["enum"].as_array() else { return Ok(()) };
    if allowed.iter().any(|value| value == text) {
        return Ok(());
    }
    let hint = nearest::hint(text, allowed.iter().filter_map(Value::as_str));
    Err(Problem::new(path, format!("`{text}` is not one of its values"), hint))
}

fn range(path: &str, number: &serde_json::Number, schema: &Value) -> Result<(), Problem> {
    let (Some(found), least, most) = (number.as_f64(), schema["minimum"].as_f64(), schema["maximum"].as_f64()) else {
        return Ok(());
    };
    let (low, high) = (least.unwrap_or(f64::MIN), most.unwrap_or(f64::MAX));
    if (low..=high).contains(&found) {
        return Ok(());
    }
    let hint = match (least, most) {
        (Some(least), Some(most)) => format!("between {least} and {most}"),
        (Some(least), None) => format!("at least {least}"),
        _ => format!("at most {high}"),
    };
    Err(Problem::new(path, format!("{number} is out of range"), hint))
}
