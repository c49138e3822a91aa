use serde::Deserialize;
use serde_json::{Value, json};

use super::*;

/// One document of `cases.yaml`.
#[derive(Deserialize)]
struct Case {
    name: String,
    object: Value,
    path: Option<String>,
    message: Option<String>,
    hint: Option<String>,
}

fn object(value: &Value) -> Object {
    let kind = value["kind"].as_str().unwrap();
    match kind {
        "MailServer" => Object::MailServer(Deserialize::deserialize(value).unwrap()),
        "Mailbox" => Object::Mailbox(Deserialize::deserialize(value).unwrap()),
        "Alias" => Object::Alias(Deserialize::deserialize(value).unwrap()),
        _ => panic!("no such kind: {kind}"),
    }
}

#[test]
fn every_case_of_the_table_gets_its_answer() {
    let cases = serde_norway::Deserializer::from_str(include_str!("cases.yaml"));
    let cases: Vec<Case> = cases.map(|case| Case::deserialize(case).unwrap()).collect();
    assert!(cases.len() > 15);
    for case in cases {
        let found: Vec<_> = validate(&object(&case.object)).into_iter().map(|p| (p.path, p.message, p.hint)).collect();
        let expected: Vec<_> = case
            .path
            .into_iter()
            .map(|path| (path, case.message.clone().unwrap(), case.hint.clone().unwrap()))
            .collect();
        assert_eq!(found, expected, "{}", case.name);
    }
}

#[test]
fn addresses_stay_and_shards_never_shrink() {
    let mailbox = |address| {
        object(&json!({"apiVersion": "sealpost.dev/v1alpha1", "kind": "Mailbox", "metadata": {"name": "ann"},
            "spec": {"address": address}}))
    };
    let server = |shards| {
        object(&json!({"apiVersion": "sealpost.dev/v1alpha1", "kind": "MailServer", "metadata": {"name": "mail"},
            "spec": {"hostname": "mx.example.org", "domains": [{"name": "example.org"}], "shards": shards}}))
    };
    assert_eq!(validate_change(&mailbox("ann@example.org"), &mailbox("ann@example.org")), []);
    let problems = validate_change(&mailbox("ann@example.org"), &mailbox("anne@example.org"));
    assert_eq!(problems[0].path, "spec.address");
    assert_eq!(problems[0].hint, "make another Mailbox with adopt.mailboxId");
    assert_eq!(validate_change(&server(1), &server(2)), []);
    assert_eq!(validate_change(&server(2), &server(1))[0].path, "spec.shards");
}
