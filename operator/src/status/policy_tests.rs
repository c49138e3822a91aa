//! What people are told of a BackupPolicy.

use jiff::Timestamp;
use serde_json::json;

use super::*;

const AT: At = At { generation: Some(3), now: Timestamp::UNIX_EPOCH };

fn spec(verify: bool) -> BackupPolicySpec {
    let mut spec = json!({"destination": {"s3": {"endpoint": "https://s3.example.org", "bucket": "mail"}}});
    if verify {
        spec["verify"] = json!({"schedule": "0 5 * * 0"});
    }
    serde_json::from_value(spec).unwrap()
}

fn finding(status: Option<bool>, reason: &str, message: &str) -> Finding {
    Finding { status, reason: reason.to_owned(), message: message.to_owned() }
}

fn report() -> PolicyReport {
    PolicyReport {
        reachable: finding(Some(true), "Reachable", ""),
        within_rpo: finding(Some(true), "WithinLag", ""),
        retention: finding(None, "NotRunYet", ""),
        verified: finding(Some(true), "Restorable", ""),
        lag_seconds: 0,
        pending_bytes: 0,
        mailboxes: 1,
        last_upload: None,
        last_snapshot: None,
        last_retention: None,
        last_verify: None,
        next_snapshot: None,
        queued: 0,
    }
}

fn shard(number: u32, said: Said) -> Shard {
    Shard { name: format!("shard {number} of mail"), said, trouble: None }
}

fn of(report: PolicyReport) -> Said {
    Said::Report(Box::new(report))
}

fn view(shards: Vec<Shard>) -> View {
    View { shards, problem: None }
}

fn told(status: &BackupPolicyStatus) -> Vec<String> {
    status.conditions.iter().map(|c| format!("{} {} {}", c.type_, c.status, c.reason)).collect()
}

#[test]
fn a_policy_is_ready_once_every_shard_archives_in_time() {
    let views = [view(vec![shard(0, of(report())), shard(1, Said::NotYet)])];
    let status = policy(None, &spec(true), &views, false, AT);
    assert_eq!(
        told(&status),
        [
            "Ready Unknown Pending",
            "DestinationReachable Unknown Pending",
            "WithinRPO Unknown Pending",
            "RetentionEnforced Unknown NotRunYet",
            "Verified Unknown NotRunYet",
        ]
    );
    let status = policy(None, &spec(true), &[view(vec![shard(0, of(report())), shard(1, of(report()))])], false, AT);
    assert_eq!(
        told(&status),
        [
            "Ready True AsDeclared",
            "DestinationReachable True Reachable",
            "WithinRPO True WithinLag",
            "RetentionEnforced Unknown NotRunYet",
            "Verified True Restorable",
        ]
    );
    assert_eq!(status.observed_generation, Some(3));
}

#[test]
fn the_worst_shard_of_any_server_speaks_and_says_who_it_is() {
    let reachable = finding(Some(false), "BucketUnreachable", "cannot put x");
    let bad = PolicyReport { reachable, ..report() };
    let views = [view(vec![shard(0, of(report()))]), view(vec![shard(7, of(bad))])];
    let status = policy(None, &spec(false), &views, false, AT);
    assert_eq!(told(&status)[..2], ["Ready False BucketUnreachable", "DestinationReachable False BucketUnreachable"]);
    assert_eq!(status.conditions[0].message, "shard 7 of mail: cannot put x");
    assert_eq!(told(&status)[4], "Verified Unknown NotScheduled");
}

#[test]
fn a_secret_that_cannot_be_used_is_told_and_harms_no_bucket_that_still_opens() {
    let problem = Some((reason::SECRET_NOT_FOUND, "make it".to_owned()));
    let denied = PolicyReport { reachable: finding(Some(false), "AccessDenied", "no such file"), ..report() };
    let fresh = View { problem: problem.clone(), ..view(vec![shard(0, of(denied))]) };
    let status = policy(None, &spec(false), &[fresh], false, AT);
    assert_eq!(told(&status)[..2], ["Ready False SecretNotFound", "DestinationReachable False SecretNotFound"]);
    // Its former content is still with the sidecar.
    let old = View { problem, ..view(vec![shard(0, of(report()))]) };
    let status = policy(None, &spec(false), &[old], false, AT);
    assert_eq!(told(&status)[..2], ["Ready False SecretNotFound", "DestinationReachable True Reachable"]);
}

#[test]
fn a_sidecar_that_is_away_and_a_gap_are_outside_the_objective() {
    let status = policy(None, &spec(false), &[view(vec![shard(0, Said::Away)])], false, AT);
    assert_eq!(told(&status)[2], "WithinRPO False SidecarAway");
    let trouble = Some(("Gap".to_owned(), "commits 3 to 9 are not in the bucket".to_owned()));
    let status = policy(None, &spec(false), &[view(vec![Shard { trouble, ..shard(0, of(report())) }])], false, AT);
    assert_eq!(told(&status)[2], "WithinRPO False Gap");
}

#[test]
fn words_that_change_under_one_reason_are_told_now_and_then_only() {
    let unreachable = |what: &str| {
        let reachable = finding(Some(false), "BucketUnreachable", what);
        [view(vec![shard(0, of(PolicyReport { reachable, ..report() }))])]
    };
    let first = policy(None, &spec(false), &unreachable("cannot put a"), false, AT);
    let calm = policy(Some(&first), &spec(false), &unreachable("cannot put b"), true, AT);
    assert_eq!(calm, first);
    let later = policy(Some(&first), &spec(false), &unreachable("cannot put b"), false, AT);
    assert!(later.conditions[1].message.ends_with("cannot put b"));
    let changed = At { generation: Some(4), ..AT };
    let changed = policy(Some(&first), &spec(false), &unreachable("cannot put b"), true, changed);
    assert!(changed.conditions[1].message.ends_with("cannot put b"), "it is another policy now");
}

#[test]
fn a_policy_that_nobody_names_says_so() {
    let status = unused(None, AT);
    assert_eq!(told(&status), ["Ready True NotInUse"]);
    assert_eq!(unused(Some(&status), AT), status);
}
