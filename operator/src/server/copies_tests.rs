//! Leaderships over shards that keep policies, and sidecars that speak late or not at all.

use serde_json::{Value, json};

use super::*;

const BOOT: BootId = BootId([1; 16]);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn server(policy: Option<&str>) -> MailServer {
    let mut spec = json!({"hostname": "mx.example.org", "domains": [{"name": "example.org"}]});
    if let Some(policy) = policy {
        spec["backupPolicyRef"] = json!({"name": policy});
    }
    MailServer::new("mail", serde_json::from_value(spec).unwrap())
}

fn object(kind: &str, name: &str, spec: &Value, status: &Value) -> Object {
    let object = json!({
        "apiVersion": "sealpost.dev/v1alpha1", "kind": kind, "spec": spec, "status": status,
        "metadata": {"name": name, "namespace": "post", "uid": format!("uid-{name}")},
    });
    Object::decode(kind, &object).unwrap().unwrap()
}

fn policy(name: &str) -> Object {
    let spec = json!({"destination": {"s3": {"endpoint": "https://s3.example.org", "bucket": "mail"}}});
    object("BackupPolicy", name, &spec, &json!({}))
}

fn ann() -> Object {
    object("Mailbox", "ann", &json!({"address": "ann@example.org"}), &json!({}))
}

fn bindings() -> Bindings {
    let binding = json!({"address": "ann@example.org", "shard": 0, "owner": "uid-ann"});
    let id = MailboxId::from_random([1; 17]);
    serde_json::from_value(json!({"mailboxes": {id.to_string(): binding}, "aliases": {}, "removed": {}})).unwrap()
}

fn decide(copies: &Copies, server: &MailServer, objects: &[Object]) -> Decision {
    let (id, bindings) = (ServerId("s".into()), bindings());
    copies.decide(&Input { server, id: &id, objects, bindings: &bindings, now: at(100) })
}

/// A shard that has taken what it should have.
fn told(copies: &mut Copies, decision: &Decision, now: i64) {
    copies.told(ShardId(0), BOOT, decision.wanted[&ShardId(0)].clone(), at(now));
}

fn report(policy: &str, time: i64) -> SidecarStatus {
    let fine = json!({"status": true, "reason": "Reachable", "message": ""});
    let policies = json!({policy: {
        "reachable": fine, "withinRpo": fine, "retention": fine, "verified": fine, "lagSeconds": 0, "pendingBytes": 0,
        "mailboxes": 1, "lastUpload": null, "lastSnapshot": null, "lastRetention": null, "lastVerify": null,
    }});
    let report = json!({
        "run": "r", "time": at(time), "policies": policies, "troubles": [], "runs": [], "queue": [],
    });
    serde_json::from_value(json!({"report": report})).unwrap()
}

#[test]
fn nothing_is_told_to_a_shard_that_was_not_heard_and_what_it_keeps_outlives_the_object() {
    let mut copies = Copies::default();
    let server = server(Some("daily"));
    assert!(decide(&copies, &server, &[ann(), policy("daily")]).wanted.is_empty());
    copies.learn(ShardId(0), None);
    let decision = decide(&copies, &server, &[ann(), policy("daily")]);
    let kept = decision.wanted[&ShardId(0)].policies.clone();
    assert_eq!(kept.default.as_deref(), Some("daily"));

    // Another leader, and the object is gone.
    let mut next = Copies::default();
    next.learn(ShardId(0), Some(kept.clone()));
    let decision = decide(&next, &server, &[ann()]);
    assert_eq!(decision.wanted[&ShardId(0)].policies, kept);
    assert_eq!(decision.backups.findings[0].reason, "PolicyNotFound");
}

#[test]
fn a_run_is_given_away_only_once_it_has_a_start_and_an_executor() {
    let mut copies = Copies::default();
    copies.learn(ShardId(0), None);
    let server = server(Some("daily"));
    let run = |status: Value| object("MailboxBackup", "now", &json!({"mailboxRef": {"name": "ann"}}), &status);
    let given = |status: Value| {
        let decision = decide(&copies, &server, &[ann(), policy("daily"), run(status)]);
        assert_eq!(decision.runs.shards[&ShardId(0)].len(), 1);
        decision.wanted[&ShardId(0)].runs.clone()
    };
    assert!(given(json!({})).is_empty());
    assert!(given(json!({"startTime": at(90)})).is_empty());
    let runs = given(json!({"startTime": at(90), "executor": {"id": "mail-shard-0"}}));
    assert_eq!((runs[0].executor.as_str(), runs[0].run.deadline), ("mail-shard-0", at(3690)));
    assert_eq!(runs[0].run.id, "post/now/uid-now");
}

#[test]
fn a_shard_is_told_again_what_it_forgot_with_its_process_and_nothing_twice() {
    let mut copies = Copies::default();
    copies.learn(ShardId(0), None);
    let decision = decide(&copies, &server(Some("daily")), &[ann(), policy("daily")]);
    let wanted = &decision.wanted[&ShardId(0)];
    assert!(copies.is_news(ShardId(0), BOOT, wanted));
    told(&mut copies, &decision, 100);
    assert!(!copies.is_news(ShardId(0), BOOT, wanted));
    assert!(copies.is_news(ShardId(0), BootId([2; 16]), wanted));
}

#[test]
fn what_was_said_before_a_policy_changed_and_what_is_too_old_counts_for_nothing() {
    let mut copies = Copies::default();
    copies.learn(ShardId(0), None);
    let decision = decide(&copies, &server(Some("daily")), &[ann(), policy("daily")]);
    let said = |copies: &Copies, now: i64| copies.views("mail", at(now))["daily"].shards[0].said.clone();
    copies.hear(ShardId(0), &report("daily", 50), at(100));
    told(&mut copies, &decision, 101);
    assert_eq!(said(&copies, 102), Said::NotYet);
    // The clocks of the two need not agree.
    copies.hear(ShardId(0), &report("daily", 52), at(103));
    assert!(matches!(said(&copies, 104), Said::Report(_)));
    copies.hear(ShardId(0), &report("daily", 52), at(163));
    assert_eq!(said(&copies, 164), Said::Away, "it says the same again and again: its primary remembers it");
    copies.hear(ShardId(0), &report("daily", 114), at(165));
    assert!(matches!(said(&copies, 166), Said::Report(_)));
    // One that never spoke is waited for, for a while.
    let mut silent = Copies::default();
    silent.learn(ShardId(0), None);
    told(&mut silent, &decision, 100);
    silent.hear(ShardId(0), &SidecarStatus::default(), at(100));
    assert_eq!((said(&silent, 101), said(&silent, 161)), (Said::NotYet, Said::Away));
}

#[test]
fn a_gap_is_told_of_the_policy_that_it_broke() {
    let mut copies = Copies::default();
    copies.learn(ShardId(0), None);
    let decision = decide(&copies, &server(Some("daily")), &[ann(), policy("daily")]);
    told(&mut copies, &decision, 100);
    let mut status = report("daily", 50);
    let trouble = |reason: &str| control::report::Trouble {
        mailbox: MailboxId::from_random([1; 17]),
        reason: reason.to_owned(),
        message: "x".to_owned(),
        since: at(1),
    };
    let report = status.report.as_mut().unwrap();
    report.troubles = vec![trouble("SnapshotFailed"), trouble("Gap")];
    copies.hear(ShardId(0), &status, at(101));
    let view = &copies.views("mail", at(102))["daily"];
    assert_eq!(view.shards[0].trouble.as_ref().unwrap().0, "Gap");
}
