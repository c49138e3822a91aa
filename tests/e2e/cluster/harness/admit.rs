//! What the API server itself admits: the cases that loader and schema are held against, asked with a server-side dry run.

use serde::Deserialize as _;
use serde_json::Value;

use super::{SYSTEM, install, kubectl, project, try_kubectl};

/// Every case of one kind: what should be accepted is, and what should not be is refused by the rule that the case names.
pub fn check(kind: &str) {
    install();
    let namespace = format!("e2e-admit-{}", kind.to_lowercase());
    // Objects that are changed are really made: nobody watches this namespace's Secrets, and it goes at the end.
    kubectl(&["delete", "namespace", &namespace, "--ignore-not-found", "--wait", "--timeout=180s"]);
    kubectl(&["create", "namespace", &namespace]);
    assert_ne!(namespace, SYSTEM);
    let text = std::fs::read_to_string(project("api/src/validate/cases.yaml")).unwrap();
    let cases: Vec<Value> =
        serde_norway::Deserializer::from_str(&text).map(|case| Value::deserialize(case).unwrap()).collect();
    let (mut accepted, mut refused, mut wrong) = (0, 0, Vec::new());
    for case in cases.iter().filter(|case| case["object"]["kind"] == kind) {
        let admitted = ask(&namespace, case);
        let by_rule = case["cel"].as_str();
        let should = by_rule.is_none() && case["schema"] != true;
        accepted += usize::from(should);
        refused += usize::from(!should);
        match admitted {
            Ok(_) if should => {}
            Ok(_) => wrong.push(format!("{}: is admitted", case["name"])),
            Err(why) if should => wrong.push(format!("{}: is refused: {why}", case["name"])),
            // Nothing but the object itself may be the reason.
            Err(why) if !why.contains("is invalid") && !why.contains("strict decoding") => {
                wrong.push(format!("{}: failed otherwise: {why}", case["name"]));
            }
            Err(why) if by_rule.is_some_and(|rule| !why.contains(rule)) => {
                wrong.push(format!("{}: another rule refuses it: {why}", case["name"]));
            }
            Err(_) => {}
        }
    }
    kubectl(&["delete", "namespace", &namespace, "--wait=false"]);
    assert_eq!(wrong, Vec::<String>::new());
    assert!(accepted > 0 && refused > 0, "{kind}: {accepted} accepted, {refused} refused");
}

/// The answer of the API server to an object, or to its change where the case has an old one.
fn ask(namespace: &str, case: &Value) -> Result<String, String> {
    let object = case["object"].to_string();
    let ask = |verb: &str| try_kubectl(&["-n", namespace, verb, "--dry-run=server", "-f", "-"], &object);
    let Some(old) = case.get("old").filter(|old| !old.is_null()) else { return ask("apply") };
    try_kubectl(&["-n", namespace, "apply", "-f", "-"], &old.to_string())
        .unwrap_or_else(|why| panic!("{}: the old object is refused: {why}", case["name"]));
    let answer = ask("apply");
    let _ = try_kubectl(&["-n", namespace, "delete", "--wait", "--timeout=60s", "-f", "-"], &old.to_string());
    answer
}
