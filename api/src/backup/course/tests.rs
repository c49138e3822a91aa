use model::ObjectRef;
use serde_json::{Value, json};

use super::*;

fn time(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn object(kind: &str, spec: &Value) -> Object {
    let metadata = json!({"name": "now", "namespace": "mail", "uid": "u1", "generation": 1});
    let object = json!({"apiVersion": crate::API_VERSION, "kind": kind, "metadata": metadata, "spec": spec});
    Object::decode(kind, &object).unwrap().unwrap()
}

fn backup() -> Object {
    object("MailboxBackup", &json!({"mailboxRef": {"name": "ann"}, "deadlineSeconds": 60}))
}

fn restore() -> Object {
    let spec = json!({"source": {"mailboxRef": {"name": "ann"}}, "target": {"mailboxRef": {"name": "bob"}}, "deadlineSeconds": 60});
    object("MailboxRestore", &spec)
}

fn report(succeeded: Option<bool>, reason: &str, message: &str, at: i64) -> RunReport {
    let mut report = RunReport::pending("mail/now/u1".into(), "sidecar-0".into(), time(at));
    (report.succeeded, report.reason, report.message) = (succeeded, reason.to_owned(), message.to_owned());
    report.completed = succeeded.map(|_| time(at));
    report
}

fn status(object: &Object) -> Value {
    object.encode().unwrap().unwrap()["status"].clone()
}

/// Status, reason, message, seconds since its last transition.
fn succeeded(object: &Object) -> (String, String, String) {
    let condition = status(object)["conditions"][0].clone();
    assert_eq!(condition["type"], "Succeeded");
    let text = |field: &str| condition[field].as_str().unwrap().to_owned();
    (text("status"), text("reason"), text("message"))
}

fn unassigned(failed: bool) -> Unassigned {
    let object = ObjectRef::new("MailboxBackup", "now");
    Unassigned { object, reason: "MailboxNotFound", message: "there is no Mailbox `ann`: declare it".into(), failed }
}

#[test]
fn a_run_goes_from_pending_over_running_to_its_end_and_stays_there() {
    assert_eq!(run_id(&restore()).as_deref(), Some("mail/now/u1"));
    let first = run_status(&restore(), Heard::Nothing, time(0)).unwrap();
    assert_eq!(status(&first)["startTime"], time(0).to_string());
    assert_eq!((succeeded(&first).0.as_str(), succeeded(&first).1.as_str()), ("Unknown", "Pending"));

    let mut running = report(None, "Running", "assembling a/b/t1", 5);
    running.progress = (47, 100);
    let second = run_status(&first, Heard::Report(&running), time(5)).unwrap();
    let said = ("Unknown".to_owned(), "Running".to_owned(), "assembling a/b/t1: 40 %".to_owned());
    assert_eq!(succeeded(&second), said);
    assert_eq!(status(&second)["executor"], json!({"id": "sidecar-0", "heartbeatTime": time(5).to_string()}));

    let mut done = report(Some(true), "Completed", "it is there", 9);
    (done.archive, done.reached_commit, done.reached_time) = (Some("a/b/t1".into()), Some(7), Some(time(-3)));
    let third = run_status(&second, Heard::Report(&done), time(11)).unwrap();
    assert_eq!(
        status(&third),
        json!({
            "observedGeneration": 1, "startTime": time(0).to_string(), "completionTime": time(9).to_string(),
            "executor": {"id": "sidecar-0", "heartbeatTime": time(9).to_string()},
            "reachedCommit": 7, "reachedTime": time(-3).to_string(),
            "conditions": [{"type": "Succeeded", "status": "True", "reason": "Completed", "message": "it is there",
                "lastTransitionTime": time(11).to_string(), "observedGeneration": 1}],
        })
    );
    assert_eq!(run_id(&third), None);
    let failed = report(Some(false), "Failed", "?", 20);
    for heard in [Heard::Nothing, Heard::Report(&failed), Heard::Unassigned(&unassigned(true))] {
        assert_eq!(run_status(&third, heard, time(9999)), None, "{heard:?}");
    }
}

#[test]
fn what_says_nothing_writes_nothing() {
    let first = run_status(&backup(), Heard::Nothing, time(0)).unwrap();
    assert_eq!(run_status(&first, Heard::Nothing, time(30)), None);
    let waiting = run_status(&backup(), Heard::Unassigned(&unassigned(false)), time(0)).unwrap();
    assert_eq!(run_status(&waiting, Heard::Unassigned(&unassigned(false)), time(30)), None);
    let running = |at| report(None, "Running", "copying", at);
    let second = run_status(&first, Heard::Report(&running(1)), time(1)).unwrap();
    assert_eq!(run_status(&second, Heard::Report(&running(10)), time(10)), None, "a heartbeat now and then is enough");
    let third = run_status(&second, Heard::Report(&running(11)), time(11)).unwrap();
    assert_eq!(status(&third)["executor"]["heartbeatTime"], time(11).to_string());
    let alias = json!({"apiVersion": crate::API_VERSION, "kind": "Alias", "metadata": {"name": "a"}, "spec": {"address": "a@example.org"}});
    let alias = Object::decode("Alias", &alias).unwrap().unwrap();
    assert_eq!((run_status(&alias, Heard::Nothing, time(0)), run_id(&alias)), (None, None));
}

#[test]
fn a_failure_says_what_to_do_next() {
    let refused = report(Some(false), "TargetNotEmpty", "bob has mail; restore it elsewhere", 3);
    let next = run_status(&restore(), Heard::Report(&refused), time(3)).unwrap();
    let (status, reason, message) = succeeded(&next);
    assert_eq!((status.as_str(), reason.as_str()), ("False", "TargetNotEmpty"));
    assert!(message.starts_with("bob has mail; ") && message.ends_with("under another name"), "{message}");
    let next = run_status(&backup(), Heard::Unassigned(&unassigned(true)), time(3)).unwrap();
    assert_eq!((succeeded(&next).0.as_str(), succeeded(&next).1.as_str()), ("False", "MailboxNotFound"));
}

#[test]
fn a_deadline_counts_from_the_first_look_and_a_sidecar_may_tell_the_end_itself() {
    let waiting = run_status(&backup(), Heard::Unassigned(&unassigned(false)), time(0)).unwrap();
    assert_eq!(succeeded(&waiting).0, "Unknown");
    assert_eq!(run_status(&waiting, Heard::Unassigned(&unassigned(false)), time(59)), None);
    let late = run_status(&waiting, Heard::Unassigned(&unassigned(false)), time(60)).unwrap();
    assert_eq!((succeeded(&late).0.as_str(), succeeded(&late).1.as_str()), ("False", "DeadlineExceeded"));
    assert_eq!(status(&late)["completionTime"], time(60).to_string());

    let given = run_status(&backup(), Heard::Nothing, time(0)).unwrap();
    assert_eq!(run_status(&given, Heard::Nothing, time(359)), None);
    let silent = run_status(&given, Heard::Nothing, time(360)).unwrap();
    assert_eq!(succeeded(&silent).1, "DeadlineExceeded");
    // One that cannot stop any more goes on behind its deadline.
    let late = report(None, "Running", "putting it into its place", 400);
    let running = run_status(&given, Heard::Report(&late), time(400)).unwrap();
    assert_eq!(succeeded(&running).0, "Unknown");
}
