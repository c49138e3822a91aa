//! What goes into the archive: by field what is known to be harmless, everything else through the redactor.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Facts;
use super::redact::Redactor;
use super::tar::Entry;

/// Everything is below this.
const FOLDER: &str = "sealpost-report";
/// Values that are words of a fixed vocabulary, whatever a mailbox is called.
const FIXED: [&str; 10] =
    ["apiVersion", "kind", "type", "status", "reason", "phase", "level", "target", "timestamp", "uid"];
/// Whose annotations and labels are kept; others are what people like.
const OURS: [&str; 3] = ["sealpost.dev/", "app.kubernetes.io/", "statefulset.kubernetes.io/"];
/// Fields of a pod that are told: nothing of its environment and its volumes.
const OF_POD: [&str; 3] = ["nodeName", "priorityClassName", "tolerations"];

/// The files of the archive.
pub fn entries(facts: &Facts, redactor: &mut Redactor) -> Vec<Entry> {
    let mut entries =
        vec![file("versions.json", &json!({"versions": facts.versions, "missing": facts.missing}), redactor)];
    let objects = &facts.objects;
    entries.extend([
        file("objects/mailservers.json", &values(&facts.servers), redactor),
        file("objects/mailboxes.json", &values(&objects.mailboxes), redactor),
        file("objects/aliases.json", &values(&objects.aliases), redactor),
        file("objects/backuppolicies.json", &values(&objects.policies), redactor),
        file("objects/mailboxbackups.json", &values(&objects.backups), redactor),
        file("objects/mailboxrestores.json", &values(&objects.restores), redactor),
    ]);
    for (name, all) in &facts.cluster {
        let all: Vec<Value> = all.iter().map(|object| brief(name, object)).collect();
        entries.push(file(&format!("cluster/{name}.json"), &Value::Array(all), redactor));
    }
    for (number, (source, lines)) in facts.logs.iter().enumerate() {
        let text: String = lines.iter().map(|line| log_line(line, redactor) + "\n").collect();
        let name = redactor.redact(&format!("{}-{}", source.pod, source.container));
        entries.push(Entry { name: format!("{FOLDER}/logs/{number:03}-{name}.log"), contents: text.into_bytes() });
    }
    entries
}

fn file(name: &str, value: &Value, redactor: &mut Redactor) -> Entry {
    let clean = clean(value, redactor);
    let contents = serde_json::to_vec_pretty(&clean).unwrap_or_default();
    Entry { name: format!("{FOLDER}/{name}"), contents }
}

fn values(objects: &[impl Serialize]) -> Value {
    Value::Array(objects.iter().filter_map(|object| serde_json::to_value(object).ok()).collect())
}

/// An object of the cluster without what only it and its neighbours need.
fn brief(file: &str, object: &Value) -> Value {
    match file {
        "pods" => {
            let spec = OF_POD.iter().filter_map(|name| Some(((*name).to_owned(), object["spec"].get(name)?.clone())));
            let images = ["initContainers", "containers"].map(|kind| {
                let all = object["spec"][kind].as_array().into_iter().flatten();
                let told = |it: &Value| json!({"name": it["name"], "image": it["image"], "resources": it["resources"]});
                (kind.to_owned(), Value::Array(all.map(told).collect()))
            });
            let spec: Map<String, Value> = spec.chain(images).collect();
            json!({"metadata": object["metadata"], "spec": spec, "status": object["status"]})
        }
        "statefulsets" | "deployments" => json!({
            "metadata": object["metadata"],
            "spec": {"replicas": object["spec"]["replicas"]},
            "status": object["status"],
        }),
        _ => object.clone(),
    }
}

/// A value with its texts redacted.
fn clean(value: &Value, redactor: &mut Redactor) -> Value {
    match value {
        Value::String(text) => Value::String(redactor.redact(text)),
        Value::Array(all) => Value::Array(all.iter().map(|value| clean(value, redactor)).collect()),
        Value::Object(all) => {
            Value::Object(all.iter().filter_map(|(name, value)| field(name, value, redactor)).collect())
        }
        other => other.clone(),
    }
}

fn field(name: &str, value: &Value, redactor: &mut Redactor) -> Option<(String, Value)> {
    let value = match name {
        "managedFields" => return None,
        "annotations" | "labels" if value.is_object() => {
            let ours = value.as_object()?.iter().filter(|(key, _)| OURS.iter().any(|ours| key.starts_with(ours)));
            Value::Object(ours.map(|(key, value)| (key.clone(), clean(value, redactor))).collect())
        }
        _ if FIXED.contains(&name) && value.is_string() => value.clone(),
        _ => clean(value, redactor),
    };
    // Names of fields are ours or Kubernetes'.
    Some((name.to_owned(), value))
}

/// The time of the kubelet, and the line: redacted field by field where it has fields.
fn log_line(line: &str, redactor: &mut Redactor) -> String {
    let (time, text) = line.split_once(' ').unwrap_or(("", line));
    let is_time = time.parse::<jiff::Timestamp>().is_ok();
    let (time, text) = if is_time { (time, text) } else { ("", line) };
    let clean = match serde_json::from_str::<Value>(text) {
        Ok(entry) if entry.is_object() => clean(&entry, redactor).to_string(),
        _ => redactor.redact(text),
    };
    format!("{time} {clean}").trim_start().to_owned()
}
