//! `cases.yaml` is held against all three that say what an object may be: the loader with `validate()`, the schema's
//! bounds, and the schema's CEL rules.

use std::collections::BTreeSet;

use kube_cel::{ErrorKind, Validator, apply_defaults, compile_schema, estimate_rule_cost};
use serde::Deserialize;
use serde_json::Value;

use super::*;
use crate::manifest::shape;

/// One document of `cases.yaml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    object: Value,
    old: Option<Value>,
    path: Option<String>,
    message: Option<String>,
    hint: Option<String>,
    #[serde(default)]
    schema: bool,
    cel: Option<String>,
    only: Option<String>,
}

fn cases() -> Vec<Case> {
    let documents = serde_norway::Deserializer::from_str(include_str!("cases.yaml"));
    documents.map(|case| Case::deserialize(case).unwrap()).collect()
}

impl Case {
    fn kind(&self) -> &str {
        self.object["kind"].as_str().unwrap()
    }

    fn is_accepted(&self) -> bool {
        self.path.is_none()
    }

    /// What the loader says: the shape first, then the rules.
    fn said(&self) -> Vec<Problem> {
        if let Err(problem) = shape::check(self.kind(), self.object.as_object().unwrap()) {
            return vec![problem];
        }
        let new = object(&self.object);
        let change = self.old.as_ref().map(|old| validate_change(&object(old), &new));
        validate(&new).into_iter().chain(change.into_iter().flatten()).collect()
    }

    /// True if an API server refuses the object before it looks at rules.
    fn is_out_of_bounds(&self) -> bool {
        shape::check(self.kind(), self.object.as_object().unwrap()).is_err()
            || !patterns_fit(&self.object, &schema(self.kind()))
    }

    /// The rules that fail: path and message.
    fn failed_rules(&self) -> BTreeSet<(String, String)> {
        let result = Validator::new().validate(&schema(self.kind()), &self.object, self.old.as_ref());
        let errors = result.err().map(kube_cel::ValidationErrors::into_vec).unwrap_or_default();
        assert!(errors.iter().all(|e| e.kind == ErrorKind::ValidationFailure), "{}: {errors:?}", self.name);
        errors.into_iter().map(|e| (without_indices(&e.field_path), e.message)).collect()
    }
}

fn object(value: &Value) -> Object {
    Object::decode(value["kind"].as_str().unwrap(), value).unwrap().unwrap()
}

fn schema(kind: &str) -> Value {
    let crd = crate::crds().into_iter().find(|crd| crd.spec.names.kind == kind).unwrap();
    serde_json::to_value(&crd.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema).unwrap()
}

/// `spec.targets[0].address` without its numbers: `spec.targets[].address`.
fn without_indices(path: &str) -> String {
    regex::Regex::new(r"\[\d+\]").unwrap().replace_all(path, "[]").into_owned()
}

/// The loader leaves patterns to `validate()`, which has better words; an API server has them only.
fn patterns_fit(value: &Value, schema: &Value) -> bool {
    let own = match (value.as_str(), schema["pattern"].as_str()) {
        (Some(text), Some(pattern)) => regex::Regex::new(pattern).unwrap().is_match(text),
        _ => true,
    };
    let each = &schema["additionalProperties"];
    own && match value {
        Value::Object(map) => map.iter().all(|(key, value)| {
            let inner = schema["properties"].get(key).unwrap_or(each);
            inner.is_boolean() || patterns_fit(value, inner)
        }),
        Value::Array(items) => items.iter().all(|item| patterns_fit(item, &schema["items"])),
        _ => true,
    }
}

/// Every rule of a schema: path and message.
fn rules(path: &str, schema: &Value, found: &mut BTreeSet<(String, String)>) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        found.insert((path.to_owned(), rule["message"].as_str().expect("a rule has a message").to_owned()));
    }
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        rules(&path, inner, found);
    }
    if schema["items"].is_object() {
        rules(&format!("{path}[]"), &schema["items"], found);
    }
}

/// True if an object has something at a path without numbers.
fn has(value: &Value, path: &str) -> bool {
    let Some((step, rest)) = path.split_once('.').map(|(step, rest)| (step, Some(rest))).or(Some((path, None))) else {
        return true;
    };
    let inner = |value: &Value| rest.is_none_or(|rest| has(value, rest));
    match step.strip_suffix("[]") {
        Some(list) => value[list].as_array().is_some_and(|items| items.iter().any(inner)),
        None => value.get(step).is_some_and(inner),
    }
}

#[test]
fn every_case_of_the_table_gets_its_answer() {
    for case in cases() {
        let said: Vec<_> = case.said().into_iter().map(|p| (p.path, p.message, p.hint)).collect();
        let expected = case.path.clone().map(|path| (path, case.message.clone().unwrap(), case.hint.clone().unwrap()));
        assert_eq!(said, expected.into_iter().collect::<Vec<_>>(), "{}", case.name);
    }
}

#[test]
fn the_schema_refuses_what_the_table_says_it_refuses() {
    for case in cases() {
        let (name, refused) = (&case.name, case.is_out_of_bounds());
        assert_eq!(refused, case.schema, "{name}: bounds");
        let rules = if refused { BTreeSet::new() } else { case.failed_rules() };
        let messages: Vec<&String> = rules.iter().map(|(_, message)| message).collect();
        assert_eq!(messages, case.cel.iter().collect::<Vec<_>>(), "{name}: rules");
        let by = [case.schema, case.cel.is_some(), case.only.as_ref().is_some_and(|reason| !reason.is_empty())];
        let refusals = by.into_iter().filter(|refuses| *refuses).count();
        assert_eq!(refusals, usize::from(!case.is_accepted()), "{name}: one of schema, cel, only");
    }
}

#[test]
fn every_rule_has_an_accepted_and_a_rejected_case() {
    let cases = cases();
    for kind in crate::KINDS {
        let mut rules_of_kind = BTreeSet::new();
        let schema = schema(kind);
        rules("", &schema, &mut rules_of_kind);
        let ours: Vec<&Case> = cases.iter().filter(|case| case.kind() == kind).collect();
        let rejected: BTreeSet<_> =
            ours.iter().filter(|case| case.cel.is_some()).flat_map(|case| case.failed_rules()).collect();
        assert_eq!(rejected, rules_of_kind, "{kind}: rejected");
        for (path, message) in rules_of_kind {
            let changes = message.contains("cannot change")
                || message.contains("does not move")
                || message.contains("never shrink");
            let accepts = |case: &&&Case| {
                let there = |value: &Value| has(&apply_defaults(&schema, value), &path);
                let before = case.old.as_ref().is_some_and(there);
                case.is_accepted() && there(&case.object) && (before || !changes)
            };
            assert!(ours.iter().find(accepts).is_some(), "{kind} {path}: no accepted case of: {message}");
        }
    }
}

#[test]
fn rules_compile_and_are_cheap() {
    for kind in crate::KINDS {
        let schema = schema(kind);
        assert_eq!(compile_schema(&schema).compilation_errors().len(), 0, "{kind}");
        cheap(kind, &schema);
    }
}

/// The estimate sees one level: each rule is looked at with the schema it stands at.
fn cheap(path: &str, schema: &Value) {
    let compiled = compile_schema(schema);
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let warnings = estimate_rule_cost(rule["rule"].as_str().unwrap(), &compiled);
        assert_eq!(warnings, [], "{path}");
    }
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        cheap(&format!("{path}.{name}"), inner);
    }
    if schema["items"].is_object() {
        cheap(&format!("{path}[]"), &schema["items"]);
    }
}

#[test]
fn defaults_are_the_same_in_the_schema_and_here() {
    for case in cases().into_iter().filter(Case::is_accepted) {
        let read = object(&case.object);
        let written = read.encode().unwrap().unwrap();
        assert_eq!(written["spec"], apply_defaults(&schema(case.kind()), &case.object)["spec"], "{}", case.name);
        assert_eq!(object(&written), read, "{}: reads back", case.name);
    }
}

#[test]
fn texts_lists_and_maps_are_bounded_and_numbers_are_signed_and_whole() {
    for kind in crate::KINDS {
        bounded(kind, &schema(kind)["properties"]["spec"]);
        bounded(kind, &schema(kind)["properties"]["status"]);
    }
}

fn bounded(path: &str, schema: &Value) {
    let has = |key: &str| schema.get(key).is_some();
    match schema["type"].as_str() {
        Some("string") => assert!(has("maxLength") || has("enum") || has("format"), "{path} is unbounded"),
        Some("array") => assert!(has("maxItems"), "{path} is unbounded"),
        Some("integer") => assert!(matches!(schema["format"].as_str(), Some("int32" | "int64")), "{path}"),
        Some("number") => panic!("{path} is a float"),
        Some("object") if has("additionalProperties") => assert!(has("maxProperties"), "{path} is unbounded"),
        _ => {}
    }
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        bounded(&format!("{path}.{name}"), inner);
    }
    for inner in ["items", "additionalProperties"].into_iter().filter(|key| schema[*key].is_object()) {
        bounded(&format!("{path}[]"), &schema[inner]);
    }
}
