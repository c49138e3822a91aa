use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use model::Binding;
use serde_json::{Value, json};

use super::*;

const UID: &str = "Mailbox/";
const NOW: &str = "2026-02-01T00:00:00Z";

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn main() -> ServerId {
    ServerId("s-1".into())
}

fn id(number: u8) -> MailboxId {
    MailboxId::from_random([number; 17])
}

fn object(kind: &str, name: &str, spec: &Value) -> Object {
    Object::decode(
        kind,
        &json!({"apiVersion": crate::API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}),
    )
    .unwrap()
    .unwrap()
}

fn server(policy: Option<&str>) -> MailServer {
    let mut spec = json!({"hostname": "mx.example.org", "domains": [{"name": "example.org"}], "shards": 2});
    if let Some(policy) = policy {
        spec["backupPolicyRef"] = json!({"name": policy});
    }
    let Object::MailServer(server) = object("MailServer", "mail", &spec) else { panic!() };
    *server
}

fn mailbox(name: &str, policy: Option<&str>) -> Object {
    let mut spec = json!({"address": format!("{name}@example.org")});
    if let Some(policy) = policy {
        spec["backupPolicyRef"] = json!({"name": policy});
    }
    object("Mailbox", name, &spec)
}

fn bucket(name: &str, lag: u32) -> Object {
    let spec = json!({
        "destination": {"s3": {"endpoint": "https://s3.example.org", "bucket": "mail", "credentialsSecretRef": {"name": "c"}}},
        "archive": {"maxLagSeconds": lag},
    });
    object("BackupPolicy", name, &spec)
}

/// `ann` is on shard 0, `bob` on shard 1, a mailbox without object on shard 0.
fn bindings() -> Bindings {
    let bind = |name: &str, shard, owner: Option<&str>| Binding {
        address: format!("{name}@example.org").parse().unwrap(),
        shard: ShardId(shard),
        owner: owner.map(|name| format!("{UID}{name}")),
        retained_at: None,
        quota: None,
    };
    let mut bindings = Bindings::default();
    bindings.mailboxes.insert(id(1), bind("ann", 0, Some("ann")));
    bindings.mailboxes.insert(id(2), bind("bob", 1, Some("bob")));
    bindings.mailboxes.insert(id(3), bind("gone", 0, None));
    bindings
}

/// Name of the policy in force, and its lag.
fn of(backups: &Backups, shard: u32, mailbox: u8) -> Option<(&str, u32)> {
    backups.shards[&ShardId(shard)].of(id(mailbox)).map(|(name, policy)| (name, policy.max_lag_seconds))
}

fn told(backups: &Backups) -> Vec<String> {
    backups.findings.iter().map(|f| format!("{} {} {}", f.object, f.condition, f.message)).collect()
}

#[test]
fn a_mailbox_has_its_own_policy_or_the_servers() {
    let objects =
        [mailbox("ann", Some("gold")), mailbox("bob", None), bucket("daily", 10), bucket("gold", 1), bucket("x", 2)];
    let backups = policies(&server(Some("daily")), &main(), &objects, &bindings(), &BTreeMap::new());
    assert_eq!((of(&backups, 0, 1), of(&backups, 1, 2)), (Some(("gold", 1)), Some(("daily", 10))));
    assert_eq!(of(&backups, 0, 3), Some(("daily", 10)), "retained mail is archived too");
    let names = |shard| backups.shards[&ShardId(shard)].policies.keys().cloned().collect::<Vec<_>>();
    assert_eq!((names(0), names(1)), (vec!["daily".into(), "gold".into()], vec!["daily".to_owned()]));
    assert_eq!(backups.findings, []);
    assert_eq!(backups.shards[&ShardId(1)].root, "default.mail.s-1");
    let none = policies(&server(None), &main(), &[mailbox("ann", None)], &bindings(), &BTreeMap::new());
    assert_eq!((of(&none, 0, 1), &none.findings), (None, &vec![]));
}

#[test]
fn a_policy_that_vanished_stays_in_force_and_is_told() {
    let objects = [mailbox("ann", Some("gold")), mailbox("bob", None), bucket("daily", 10), bucket("gold", 1)];
    let first = policies(&server(Some("daily")), &main(), &objects, &bindings(), &BTreeMap::new());
    let gone = [mailbox("ann", Some("gold")), mailbox("bob", None)];
    let second = policies(&server(Some("daily")), &main(), &gone, &bindings(), &first.shards);
    assert_eq!(second.shards, first.shards);
    assert_eq!(
        told(&second),
        [
            "MailServer/mail Ready there is no BackupPolicy `daily`: declare it, or change backupPolicyRef; until then it stays in force as it last was",
            "Mailbox/ann BackupConfigured there is no BackupPolicy `gold`: declare it, or change backupPolicyRef; until then it stays in force as it last was",
        ]
    );
    assert!(second.findings[0].status && !second.findings[1].status, "the server stays ready");
}

#[test]
fn a_typing_error_leaves_the_last_policy_in_force() {
    let before = [mailbox("ann", Some("gold")), mailbox("bob", None), bucket("daily", 10), bucket("gold", 1)];
    let first = policies(&server(Some("daily")), &main(), &before, &bindings(), &BTreeMap::new());
    let typo = [mailbox("ann", Some("glod")), mailbox("bob", Some("glod")), bucket("daily", 10), bucket("gold", 5)];
    let second = policies(&server(Some("dialy")), &main(), &typo, &bindings(), &first.shards);
    assert_eq!(of(&second, 0, 1), Some(("gold", 5)), "the policy itself may change");
    assert_eq!(of(&second, 1, 2), Some(("daily", 10)));
    assert_eq!(second.shards[&ShardId(0)].default.as_deref(), Some("daily"));
    assert!(told(&second)[1].ends_with("until then `gold` is in force"), "{:?}", told(&second));
    let never = policies(&server(None), &main(), &typo, &bindings(), &BTreeMap::new());
    assert_eq!(of(&never, 0, 1), None);
    assert!(told(&never)[0].ends_with("until then the mailbox is not archived"), "{:?}", told(&never));
}

#[test]
fn a_mailbox_without_object_keeps_its_policy_and_no_name_at_all_is_a_decision() {
    let objects = [mailbox("ann", Some("gold")), bucket("daily", 10), bucket("gold", 1)];
    let first = policies(&server(Some("daily")), &main(), &objects, &bindings(), &BTreeMap::new());
    let orphaned = policies(&server(None), &main(), &[bucket("gold", 1)], &bindings(), &first.shards);
    assert_eq!(of(&orphaned, 0, 1), Some(("gold", 1)));
    assert_eq!(of(&orphaned, 1, 2), None, "the server names no policy any more");
    let unnamed = policies(
        &server(Some("daily")),
        &main(),
        &[mailbox("ann", None), bucket("daily", 10)],
        &bindings(),
        &first.shards,
    );
    assert_eq!(of(&unnamed, 0, 1), Some(("daily", 10)));
}

#[test]
fn the_policy_of_a_mailbox_that_is_purged_stays_until_nothing_is_left_of_it() {
    let objects = [mailbox("ann", Some("gold")), mailbox("bob", None), bucket("daily", 10), bucket("gold", 1)];
    let first = policies(&server(Some("daily")), &main(), &objects, &bindings(), &BTreeMap::new());
    let mut purging = bindings();
    purging.mailboxes.get_mut(&id(1)).unwrap().owner = None;
    assert!(purging.purge(id(1), time(NOW)) && purging.purge(id(3), time(NOW)));
    let others = [mailbox("bob", None), bucket("daily", 10), bucket("gold", 1)];
    let meanwhile = policies(&server(None), &main(), &others, &purging, &first.shards);
    assert_eq!((of(&meanwhile, 0, 1), of(&meanwhile, 0, 3)), (Some(("gold", 1)), Some(("daily", 10))));
    assert!(purging.purged(id(1), time(NOW)) && purging.purged(id(3), time(NOW)));
    let after = policies(&server(None), &main(), &others, &purging, &meanwhile.shards);
    assert!(after.shards[&ShardId(0)].policies.is_empty());
}

#[test]
fn a_bucket_is_handed_on_without_its_credentials() {
    let spec = json!({"destination": {"s3": {"bucket": "mail", "region": "eu-central-1", "prefix": "a/b", "caSecretRef": {"name": "very-secret"}}},
        "snapshots": {"schedule": "0 3 * * *"}, "verify": {"schedule": "0 5 * * 0", "timeZone": "Europe/Berlin"}});
    let Object::BackupPolicy(o) = object("BackupPolicy", "p", &spec) else { panic!() };
    let policy = policy(&o.spec);
    assert_eq!(
        serde_json::to_value(&policy).unwrap(),
        json!({
            "destination": {"s3": {"bucket": "mail", "region": "eu-central-1", "prefix": "a/b",
                "pathStyle": false, "ambient": true}},
            "maxLagSeconds": 10,
            "snapshots": {"cron": "0 3 * * *", "timeZone": "Etc/UTC"},
            "retention": {"windowDays": 30, "keepLast": 3, "daily": 7, "weekly": 4, "monthly": 12},
            "verify": {"cron": "0 5 * * 0", "timeZone": "Europe/Berlin"},
        })
    );
}

fn name(run: &Run) -> &str {
    run.id.split('/').nth(1).unwrap()
}

fn backup(name: &str, of: &str) -> Object {
    object("MailboxBackup", name, &json!({"mailboxRef": {"name": of}}))
}

fn restore_of(name: &str, source: &Value, target: &str, at: Option<&str>) -> Object {
    let mode = if at.is_some() { "InPlace" } else { "NewMailbox" };
    let mut spec =
        json!({"source": source, "target": {"mailboxRef": {"name": target}}, "mode": mode, "deadlineSeconds": 60});
    if let Some(at) = at {
        spec["at"] = json!(at);
    }
    object("MailboxRestore", name, &spec)
}

#[test]
fn a_run_goes_to_the_shard_of_the_mailbox_it_changes() {
    let objects = [
        mailbox("ann", None),
        mailbox("bob", None),
        backup("now", "ann"),
        restore_of("back", &json!({"mailboxRef": {"name": "bob"}}), "bob", Some("2026-01-01T00:00:00Z")),
        restore_of("copy", &json!({"mailboxRef": {"name": "ann"}}), "bob", None),
    ];
    let runs = runs(&server(None), &objects, &bindings(), time(NOW));
    assert_eq!(runs.unassigned, []);
    assert_eq!(runs.shards[&ShardId(0)].len(), 1);
    let first = &runs.shards[&ShardId(0)][0];
    assert_eq!((&first.kind, first.deadline), (&RunKind::Backup { mailbox: id(1) }, time("2026-02-01T01:00:00Z")));
    assert_eq!(first.id, "default/now/MailboxBackup/now");
    let of =
        |source, at: Option<&str>| RunKind::Restore { source, at: at.map(time), target: id(2), in_place: at.is_some() };
    let second: Vec<_> = runs.shards[&ShardId(1)].iter().map(|run| (name(run), run.kind.clone())).collect();
    assert_eq!(
        second,
        [
            ("back", of(RestoreSource::Mailbox(id(2)), Some("2026-01-01T00:00:00Z"))),
            ("copy", of(RestoreSource::Mailbox(id(1)), None)),
        ]
    );
}

#[test]
fn a_finished_run_is_nobodys_and_one_for_another_server_is_not_ours() {
    let mut done = backup("done", "ann");
    let Object::MailboxBackup(o) = &mut done else { panic!() };
    let condition = |status: &str| {
        serde_json::from_value::<Condition>(json!({"type": "Succeeded", "status": status, "reason": "x", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z"}))
        .unwrap()
    };
    o.status = Some(crate::MailboxBackupStatus { conditions: vec![condition("False")], ..Default::default() });
    let mut running = backup("running", "ann");
    let Object::MailboxBackup(o) = &mut running else { panic!() };
    o.status = Some(crate::MailboxBackupStatus {
        conditions: vec![condition("Unknown")],
        start_time: Some(Time(time("2026-01-31T23:30:00Z"))),
        ..Default::default()
    });
    let foreign = object("Mailbox", "eve", &json!({"address": "eve@example.org", "serverRef": {"name": "other"}}));
    let objects = [mailbox("ann", None), foreign, done, running, backup("theirs", "eve")];
    let runs = runs(&server(None), &objects, &bindings(), time(NOW));
    let names: Vec<_> = runs.shards.values().flatten().map(name).collect();
    assert_eq!((names, &runs.unassigned), (vec!["running"], &vec![]));
    assert_eq!(runs.shards[&ShardId(0)][0].deadline, time("2026-02-01T00:30:00Z"), "it counts from the start");
}

#[test]
fn a_run_that_fits_nowhere_says_why_and_whether_waiting_helps() {
    let foreign = object("Mailbox", "eve", &json!({"address": "eve@example.org", "serverRef": {"name": "other"}}));
    let archive = |number| json!({"archiveId": format!("s-1/{}/t1", id(number))});
    let objects = [
        mailbox("ann", None),
        mailbox("fresh", None),
        foreign,
        backup("nobody", "nobody"),
        backup("unbound", "fresh"),
        restore_of("theirs", &json!({"mailboxRef": {"name": "eve"}}), "ann", None),
        restore_of("other", &archive(2), "ann", Some("2026-01-01T00:00:00Z")),
        restore_of("fine", &archive(1), "ann", Some("2026-01-01T00:00:00Z")),
        restore_of("fine-too", &archive(2), "ann", None),
    ];
    let runs = runs(&server(None), &objects, &bindings(), time(NOW));
    let told: Vec<_> = runs.unassigned.iter().map(|u| format!("{} {} {}", u.object, u.reason, u.failed)).collect();
    assert_eq!(
        told,
        [
            "MailboxBackup/nobody MailboxNotFound false",
            "MailboxBackup/unbound TargetNotReady false",
            "MailboxRestore/theirs MailboxNotFound true",
            "MailboxRestore/other ArchiveOfAnotherMailbox true",
        ]
    );
    let names: Vec<_> = runs.shards.values().flatten().map(name).collect();
    assert_eq!(names, ["fine-too", "fine"]);
}
