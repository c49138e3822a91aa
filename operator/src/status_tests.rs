//! What people are told.

use model::Finding;

use super::*;

const AT: At = At { generation: Some(7), now: Timestamp::UNIX_EPOCH };

fn id() -> MailboxId {
    MailboxId::from_random([1; 17])
}

fn placed() -> Placed {
    Placed {
        at: Some((id(), ShardId(0))),
        acknowledged: true,
        keyed: true,
        copies: Copied::NotKnown,
        fence: Fence::default(),
    }
}

fn reasons(conditions: &[Condition]) -> Vec<(&str, &str, &str)> {
    conditions.iter().map(|c| (c.type_.as_str(), c.status.as_str(), c.reason.as_str())).collect()
}

fn finding(condition: &'static str, status: bool, reason: &'static str) -> Finding {
    Finding { object: ObjectRef::new("Mailbox", "ann"), condition, status, reason, message: "x".into() }
}

#[test]
fn a_mailbox_is_ready_once_it_is_placed_acknowledged_and_keyed() {
    let ready = |placed: Placed| mailbox(None, "ann", &placed, &[], AT).conditions[0].clone();
    assert_eq!(ready(placed()).status, "True");
    for lacking in [
        Placed { at: None, ..placed() },
        Placed { acknowledged: false, ..placed() },
        Placed { keyed: false, ..placed() },
    ] {
        assert_eq!(ready(lacking.clone()).status, "False", "{lacking:?}");
    }
    let status = mailbox(None, "ann", &placed(), &[], AT);
    assert_eq!((status.observed_generation, status.shard), (Some(7), Some(0)));
    assert_eq!(status.mailbox_id, Some(id().to_string()));
}

#[test]
fn a_mailbox_without_a_password_awaits_its_owner_and_a_conflict_comes_first() {
    let waiting = finding(conditions::KEYS_INSTALLED, false, reason::AWAITING_OWNER);
    let unkeyed = Placed { keyed: false, ..placed() };
    let status = mailbox(None, "ann", &unkeyed, std::slice::from_ref(&waiting), AT);
    assert_eq!(
        reasons(&status.conditions),
        [("Ready", "False", "AwaitingOwner"), ("KeysInstalled", "False", "AwaitingOwner")]
    );
    assert!(status.conditions[0].message.contains("kubectl sealpost password ann"));
    let conflict = finding(conditions::READY, false, reason::ADDRESS_CONFLICT);
    let status = mailbox(None, "ann", &unkeyed, &[waiting, conflict], AT);
    assert_eq!(status.conditions[0].reason, "AddressConflict");
    let remark = finding(conditions::READY, true, reason::ADOPTED);
    let status = mailbox(None, "ann", &placed(), &[remark], AT);
    assert_eq!(reasons(&status.conditions)[0], ("Ready", "True", "Adopted"));
}

#[test]
fn a_missing_secret_is_told_before_an_awaited_owner() {
    let unkeyed = Placed { keyed: false, ..placed() };
    let both =
        [reason::AWAITING_OWNER, reason::SECRET_NOT_FOUND].map(|r| finding(conditions::KEYS_INSTALLED, false, r));
    let status = mailbox(None, "ann", &unkeyed, &both, AT);
    assert_eq!(
        reasons(&status.conditions),
        [("Ready", "False", "SecretNotFound"), ("KeysInstalled", "False", "SecretNotFound")]
    );
}

#[test]
fn a_time_changes_only_with_its_status() {
    let first = mailbox(None, "ann", &placed(), &[], AT);
    let later = At { generation: Some(8), now: Timestamp::from_second(100).unwrap() };
    let second = mailbox(Some(&first), "ann", &placed(), &[], later);
    assert_eq!(second.conditions[0].last_transition_time, first.conditions[0].last_transition_time);
    assert_eq!(second.conditions[0].observed_generation, Some(8));
    let third = mailbox(Some(&second), "ann", &Placed { keyed: false, ..placed() }, &[], later);
    assert_eq!(third.conditions[0].last_transition_time.0, later.now);
}

#[test]
fn a_server_says_the_first_thing_that_is_in_its_way() {
    let shard = Shard { id: ShardId(0), node: Some("n".into()), problem: None, current: true, refused: None };
    let well = Server { shards: vec![shard.clone()], self_signed: true, ..Server::default() };
    let status = server(None, "mail", &well, &[], AT);
    assert_eq!(
        reasons(&status.conditions),
        [
            ("Ready", "True", "AsDeclared"),
            ("Progressing", "False", "AsDeclared"),
            ("ShardsAvailable", "True", "AsDeclared"),
            ("DirectoryCurrent", "True", "AsDeclared"),
            ("DirectoryHeld", "False", "AsDeclared"),
            ("CertificatesValid", "True", "SelfSigned"),
        ]
    );
    let lost = Shard { problem: Some((reason::SHARD_KEY_MISSING, "restore it".into())), ..shard.clone() };
    let ill = Server { shards: vec![shard, lost], fronts: vec!["0 of 1".into()], ..well };
    let status = server(Some(&status), "mail", &ill, &[], AT);
    assert_eq!(reasons(&status.conditions)[0], ("Ready", "False", "ShardKeyMissing"));
    assert_eq!(status.conditions[0].message, "1 of 2 shards serve; shard 0: restore it");
    assert_eq!(reasons(&status.shards[1].conditions), [("Ready", "False", "ShardKeyMissing")]);
}

#[test]
fn a_mailbox_says_which_policy_holds_and_keeps_saying_so_while_its_shard_is_away() {
    let with = |before: Option<&MailboxStatus>, copies: Copied, findings: &[Finding]| {
        mailbox(before, "ann", &Placed { copies, ..placed() }, findings, AT)
    };
    let told = |status: &MailboxStatus| reasons(&status.conditions).get(2).map(|(_, s, r)| format!("{s} {r}"));
    let held = with(None, Copied::By("daily".into()), &[]);
    assert_eq!(told(&held).unwrap(), "True PolicyInForce");
    assert!(held.conditions[2].message.contains("`daily`"));
    assert_eq!(with(Some(&held), Copied::NotKnown, &[]).conditions[2], held.conditions[2]);
    assert_eq!(told(&with(None, Copied::NotKnown, &[])), None);
    assert_eq!(told(&with(Some(&held), Copied::None, &[])).unwrap(), "False NoPolicy");
    let dangling = finding(conditions::BACKUP_CONFIGURED, false, reason::POLICY_NOT_FOUND);
    assert_eq!(told(&with(Some(&held), Copied::By("daily".into()), &[dangling])).unwrap(), "False PolicyNotFound");
}

#[test]
fn a_fence_shows_with_the_next_step_until_the_files_may_be_opened_again() {
    let fenced = |before: Option<&MailboxStatus>, wanted: Option<&str>, closed: bool| {
        let fence = Fence { wanted: wanted.map(str::to_owned), closed };
        mailbox(before, "ann", &Placed { fence, ..placed() }, &[], AT)
    };
    let before = fenced(None, Some("x"), true);
    let with = |wanted: Option<&str>, closed: bool| {
        let status = fenced(Some(&before), wanted, closed);
        (status.conditions[0].clone(), api::condition(&status.conditions, conditions::FENCED).cloned())
    };
    let (ready, fence) = with(Some("disk looks ill"), true);
    let fence = fence.unwrap();
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "Fenced"));
    assert_eq!((fence.status.as_str(), fence.reason.as_str()), ("True", "Fenced"));
    assert!(fence.message.contains("disk looks ill") && fence.message.contains("kubectl sealpost unfence ann"));
    let told = |(ready, fence): (Condition, Option<Condition>)| {
        (format!("{} {}", ready.status, ready.reason), fence.map(|fence| format!("{} {}", fence.status, fence.reason)))
    };
    assert_eq!(told(with(Some(""), false)), ("False Closing".into(), Some("False Closing".into())));
    assert_eq!(told(with(None, true)), ("False Opening".into(), Some("True Opening".into())));
    assert_eq!(told(with(None, false)), ("True AsDeclared".into(), None));
    let of_its_shard = fenced(None, None, true);
    assert_eq!(reasons(&of_its_shard.conditions)[0], ("Ready", "True", "AsDeclared"), "its MailServer tells of that");
    assert!(api::condition(&of_its_shard.conditions, conditions::FENCED).is_none());
}
