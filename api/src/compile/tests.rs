use std::collections::BTreeSet;

use model::plan::{AliasAction, Declared, DeclaredAlias, DeclaredMailbox, DeclaredTarget};
use model::{Address, Bindings, MailboxId, MailboxState, Protocol, Reply, Route, ServerId, ShardId, Unready, World};

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn id(number: u8) -> MailboxId {
    MailboxId::from_random([number; 17])
}

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn declared(name: &str, created: i64) -> Declared {
    Declared { name: name.into(), uid: format!("{name}-{created}"), created: at(created) }
}

fn mailbox(name: &str, address: &str, created: i64) -> DeclaredMailbox {
    DeclaredMailbox {
        object: declared(name, created),
        address: address.parse().unwrap(),
        state: MailboxState::Active,
        quota: None,
        access: [Protocol::Imap].into(),
        adopt: None,
        fenced: false,
    }
}

fn alias(name: &str, address: &str, created: i64, targets: &[&str]) -> DeclaredAlias {
    let targets = targets.iter().map(|name| DeclaredTarget::Mailbox((*name).into())).collect();
    DeclaredAlias {
        object: declared(name, created),
        address: address.parse().unwrap(),
        action: AliasAction::Targets(targets),
    }
}

/// A server with one shard, a postmaster by catch-all reject, and plenty of ids; every mailbox is keyed.
fn world(mailboxes: Vec<DeclaredMailbox>, aliases: Vec<DeclaredAlias>) -> World {
    World {
        server: ServerId("s".into()),
        name: "mail".into(),
        hostname: "mx.example.org".into(),
        domains: ["example.org".parse().unwrap()].into(),
        max_message_size: 1 << 20,
        mailbox_quota: Some(100),
        removal_grace_seconds: 3600,
        fenced_shards: BTreeSet::new(),
        mailboxes,
        aliases,
        keyed: (0..=255).map(id).collect(),
        placeable: [ShardId(0)].into(),
        minted: (1..=9).map(id).collect(),
    }
}

fn start(world: &World) -> Plan {
    compile(world, &Bindings::default(), at(1000))
}

fn route(plan: &Plan, name: &str, now: i64) -> Route {
    plan.directory.route(&address(name), at(now))
}

fn owner_of(plan: &Plan, name: &str) -> Option<MailboxId> {
    plan.directory.mailbox_of(&address(name)).map(|(id, _)| id)
}

/// `Kind/name: Reason` of everything but remarks about the postmaster.
fn findings(plan: &Plan) -> Vec<String> {
    let told = plan.findings.iter().filter(|f| f.reason != "PostmasterMissing");
    told.map(|f| format!("{}: {}", f.object, f.reason)).collect()
}

#[test]
fn a_declared_mailbox_gets_a_minted_id_and_mail() {
    let plan = start(&world(vec![mailbox("ann", "ann@example.org", 1)], vec![]));
    assert_eq!(route(&plan, "ann@example.org", 1000), Route::Mailboxes(vec![id(1)]));
    assert_eq!(plan.directory.mailboxes[&id(1)].quota, Some(100));
    assert_eq!((plan.wanting, findings(&plan)), (0, vec![]));
}

#[test]
fn compiling_again_changes_nothing() {
    let world = world(
        vec![mailbox("ann", "ann@example.org", 1), mailbox("bob", "bob@example.org", 2)],
        vec![alias("all", "*@example.org", 3, &["ann", "bob"])],
    );
    let first = start(&world);
    let second = compile(&world, &first.bindings, at(2000));
    assert_eq!((&second.directory, &second.bindings), (&first.directory, &first.bindings));
    assert!(second.removals.is_empty());
}

#[test]
fn without_enough_ids_it_says_how_many_it_wants_and_the_name_answers_450() {
    let mut world = world(vec![mailbox("ann", "ann@example.org", 1), mailbox("bob", "bob@example.org", 2)], vec![]);
    world.minted.truncate(1);
    let plan = start(&world);
    assert_eq!(plan.wanting, 1);
    assert_eq!(route(&plan, "bob@example.org", 1000), Route::Unready(Unready::Dangling));
    world.minted = vec![id(7)];
    let plan = compile(&world, &plan.bindings, at(1000));
    assert_eq!((owner_of(&plan, "bob@example.org"), plan.wanting), (Some(id(7)), 0));
}

#[test]
fn nothing_new_is_placed_before_a_shard_has_answered() {
    let mut world = world(vec![mailbox("ann", "ann@example.org", 1)], vec![]);
    world.placeable.clear();
    let plan = start(&world);
    assert_eq!(findings(&plan), ["Mailbox/ann: AwaitingShard"]);
    assert_eq!((plan.wanting, plan.bindings.mailboxes.len()), (0, 0));
}

#[test]
fn a_new_mailbox_goes_where_least_is_promised_and_stays_there() {
    let mut world = world(vec![mailbox("ann", "ann@example.org", 1)], vec![]);
    world.placeable = [ShardId(0), ShardId(1)].into();
    world.mailboxes[0].quota = Some(1000);
    let first = start(&world);
    world.mailboxes.push(mailbox("bob", "bob@example.org", 2));
    world.minted = vec![id(20)];
    let second = compile(&world, &first.bindings, at(1001));
    assert_eq!(second.bindings.mailboxes[&id(20)].shard, ShardId(1));
    world.mailboxes[0].quota = Some(1);
    let third = compile(&world, &second.bindings, at(1002));
    assert_eq!(third.bindings.mailboxes[&id(1)].shard, ShardId(0));
}

#[test]
fn a_deleted_mailbox_answers_450_then_550_and_its_mail_is_retained() {
    let first = start(&world(vec![mailbox("ann", "ann@example.org", 1)], vec![]));
    let gone = compile(&world(vec![], vec![]), &first.bindings, at(2000));
    assert_eq!(gone.removals, [address("ann@example.org")].into());
    assert_eq!(route(&gone, "ann@example.org", 2000 + 3599), Route::Unready(Unready::Removed));
    assert_eq!(route(&gone, "ann@example.org", 2000 + 3600), Route::Unknown);
    assert_eq!(gone.directory.mailboxes[&id(1)].state, MailboxState::Retained);
    let later = compile(&world(vec![], vec![]), &gone.bindings, at(3000));
    assert_eq!(later.directory.removed, gone.directory.removed, "the grace time starts once");
    let forgotten = compile(&world(vec![], vec![]), &later.bindings, at(2000 + 3600 + 31 * 86_400));
    assert!(forgotten.directory.removed.is_empty());
    assert!(forgotten.bindings.mailboxes.contains_key(&id(1)), "the mail is kept for ever");
}

#[test]
fn a_mailbox_declared_again_has_its_mail_again() {
    let first = start(&world(vec![mailbox("ann", "ann@example.org", 1)], vec![]));
    let gone = compile(&world(vec![], vec![]), &first.bindings, at(2000));
    let again = world(vec![mailbox("annie", "ann@example.org", 50)], vec![]);
    let back = compile(&again, &gone.bindings, at(9000));
    assert_eq!(route(&back, "ann@example.org", 9000), Route::Mailboxes(vec![id(1)]));
    assert_eq!(findings(&back), ["Mailbox/annie: Adopted"]);
    assert!(back.directory.removed.is_empty());
    let at_once = compile(&again, &first.bindings, at(9000));
    assert_eq!(owner_of(&at_once, "ann@example.org"), Some(id(1)), "also when nobody saw it missing");
}

#[test]
fn a_purged_id_never_comes_back_and_its_address_gets_a_mailbox_of_its_own() {
    let first = start(&world(vec![mailbox("ann", "ann@example.org", 1)], vec![]));
    let mut kept = compile(&world(vec![], vec![]), &first.bindings, at(2000)).bindings;
    assert!(kept.purge(id(1), at(3000)));
    let none = compile(&world(vec![], vec![]), &kept, at(3000));
    assert!(none.directory.mailboxes.is_empty() && none.bindings.purged.contains_key(&id(1)));
    assert_eq!(route(&none, "ann@example.org", 3000), Route::Unready(Unready::Removed));
    assert_eq!(route(&none, "ann@example.org", 9000), Route::Unknown);
    // The first id that was minted is the one that was purged.
    let anew = compile(&world(vec![mailbox("ann", "ann@example.org", 2)], vec![]), &none.bindings, at(3000));
    assert_eq!((owner_of(&anew, "ann@example.org"), findings(&anew)), (Some(id(2)), vec![]));
    let mut adopting = mailbox("bob", "bob@example.org", 3);
    adopting.adopt = Some(id(1));
    let refused = compile(&world(vec![adopting], vec![]), &none.bindings, at(3000));
    assert_eq!(findings(&refused), ["Mailbox/bob: AdoptNotFound"]);
    assert!(refused.findings.iter().any(|finding| finding.message.contains("was purged")));
}

#[test]
fn a_rename_adopts_the_mailbox_and_an_alias_keeps_the_old_address() {
    let first = start(&world(vec![mailbox("ann", "ann@example.org", 1)], vec![]));
    let mut renamed = mailbox("anna", "anna@example.org", 5);
    renamed.adopt = Some(id(1));
    let plan = compile(&world(vec![renamed.clone()], vec![]), &first.bindings, at(2000));
    assert_eq!(route(&plan, "anna@example.org", 2000), Route::Mailboxes(vec![id(1)]));
    assert_eq!(route(&plan, "ann@example.org", 2000), Route::Unready(Unready::Removed));
    let old = alias("ann-old", "ann@example.org", 6, &["anna"]);
    let plan = compile(&world(vec![renamed], vec![old]), &plan.bindings, at(2001));
    assert_eq!(route(&plan, "ann@example.org", 2001), Route::Mailboxes(vec![id(1)]));
}

#[test]
fn an_edited_address_leaves_the_mailbox_where_it_is() {
    let first = start(&world(vec![mailbox("ann", "ann@example.org", 1)], vec![]));
    let edited = compile(&world(vec![mailbox("ann", "eve@example.org", 1)], vec![]), &first.bindings, at(2000));
    assert_eq!(owner_of(&edited, "ann@example.org"), Some(id(1)));
    assert_eq!(route(&edited, "eve@example.org", 2000), Route::Unknown);
    assert_eq!(findings(&edited), ["Mailbox/ann: AddressImmutable"]);
    assert_eq!(edited.bindings, first.bindings);
}

#[test]
fn nobody_adopts_a_mailbox_that_is_in_use_or_unknown() {
    let ann = mailbox("ann", "ann@example.org", 1);
    let first = start(&world(vec![ann.clone()], vec![]));
    let (mut thief, mut dreamer) = (mailbox("thief", "t@example.org", 2), mailbox("dreamer", "d@example.org", 2));
    (thief.adopt, dreamer.adopt) = (Some(id(1)), Some(id(99)));
    let plan = compile(&world(vec![ann, thief, dreamer], vec![]), &first.bindings, at(2000));
    assert_eq!(findings(&plan), ["Mailbox/dreamer: AdoptNotFound", "Mailbox/thief: AdoptConflict"]);
    assert_eq!(owner_of(&plan, "ann@example.org"), Some(id(1)));
    assert_eq!(route(&plan, "t@example.org", 2000), Route::Unready(Unready::Dangling));
}

#[test]
fn the_incumbent_keeps_an_address_against_an_older_object() {
    let held = mailbox("new", "ann@example.org", 10);
    let first = start(&world(vec![held.clone()], vec![]));
    let plan = compile(&world(vec![mailbox("old", "ann@example.org", 1), held], vec![]), &first.bindings, at(2000));
    assert_eq!(owner_of(&plan, "ann@example.org"), Some(id(1)));
    assert_eq!(findings(&plan), ["Mailbox/old: AddressConflict"]);
    assert!(plan.findings.iter().any(|f| f.message.contains("held by Mailbox/new")));
}

#[test]
fn of_two_newcomers_the_older_wins_then_the_name() {
    let plan = start(&world(vec![mailbox("b", "x@example.org", 1), mailbox("a", "x@example.org", 2)], vec![]));
    assert_eq!(findings(&plan), ["Mailbox/a: AddressConflict"]);
    let plan = start(&world(vec![mailbox("b", "x@example.org", 1), mailbox("a", "x@example.org", 1)], vec![]));
    assert_eq!(findings(&plan), ["Mailbox/b: AddressConflict"]);
    assert_eq!(plan.bindings.mailboxes.len(), 1);
}

#[test]
fn an_alias_on_a_mailbox_address_must_target_it() {
    let people = || vec![mailbox("ann", "ann@example.org", 1), mailbox("bob", "bob@example.org", 1)];
    let plan = start(&world(people(), vec![alias("copy", "ann@example.org", 0, &["ann", "bob"])]));
    assert_eq!(findings(&plan), Vec::<String>::new());
    assert_eq!(route(&plan, "ann@example.org", 1000), Route::Mailboxes(vec![id(1), id(2)]));
    let stolen = world(people(), vec![alias("steal", "ann@example.org", 2, &["bob"])]);
    assert_eq!(findings(&start(&stolen)), ["Alias/steal: AddressConflict"]);
    let changed = world(people(), vec![alias("copy", "ann@example.org", 0, &["bob"])]);
    let plan = compile(&changed, &plan.bindings, at(2000));
    assert_eq!(findings(&plan), ["Alias/copy: AddressConflict"], "of two incumbents the mailbox keeps its mail");
}

#[test]
fn a_missing_target_holds_the_alias_and_is_told() {
    let ann = vec![mailbox("ann", "ann@example.org", 1)];
    let plan = start(&world(ann, vec![alias("all", "all@example.org", 2, &["ann", "nobody"])]));
    assert_eq!(route(&plan, "all@example.org", 1000), Route::Unready(Unready::Dangling));
    assert_eq!(findings(&plan), ["Alias/all: TargetNotFound"]);
}

#[test]
fn outward_targets_wait_for_a_version_that_can() {
    let mut out = alias("out", "out@example.org", 2, &[]);
    out.action = AliasAction::Targets(vec![DeclaredTarget::Outward("a@b.example".into())]);
    let plan = start(&world(vec![], vec![out]));
    assert_eq!(route(&plan, "out@example.org", 1000), Route::Unready(Unready::NotSupported));
    assert_eq!(findings(&plan), ["Alias/out: NotSupported"]);
}

#[test]
fn a_catch_all_takes_what_nobody_else_does_and_a_reject_says_its_words() {
    let gone = Reply::new(550, "5.7.1", "gone");
    let mut reject = alias("gone", "gone@example.org", 3, &[]);
    reject.action = AliasAction::Reject(gone.clone());
    let ann = vec![mailbox("ann", "ann@example.org", 1)];
    let plan = start(&world(ann, vec![alias("rest", "*@example.org", 2, &["ann"]), reject]));
    assert_eq!(route(&plan, "whoever@example.org", 1000), Route::Mailboxes(vec![id(1)]));
    assert_eq!(route(&plan, "gone@example.org", 1000), Route::Reject(gone));
    assert!(plan.findings.is_empty(), "the catch-all reads postmaster: {:?}", plan.findings);
}

#[test]
fn a_mailbox_without_keys_awaits_its_owner_and_holds_its_aliases() {
    let mut world = world(vec![mailbox("bob", "bob@example.org", 1)], vec![alias("b", "b@example.org", 2, &["bob"])]);
    world.keyed.clear();
    let plan = start(&world);
    assert_eq!(route(&plan, "bob@example.org", 1000), Route::Unready(Unready::AwaitingOwner));
    assert_eq!(findings(&plan), ["Alias/b: TargetNotReady", "Mailbox/bob: AwaitingOwner"]);
    assert!(plan.findings.iter().any(|f| f.message.contains("sealpost password bob@example.org")));
}

#[test]
fn a_domain_that_is_not_served_gets_no_mailbox_and_no_mail() {
    let plan = start(&world(vec![mailbox("eve", "eve@elsewhere.example", 1)], vec![]));
    assert_eq!(findings(&plan), ["Mailbox/eve: DomainNotServed"]);
    assert_eq!(plan.bindings.mailboxes.len(), 0);
    assert_eq!(route(&plan, "eve@elsewhere.example", 1000), Route::DomainNotServed);
}

#[test]
fn a_domain_without_postmaster_is_remarked_on_but_stays_ready() {
    let plan = start(&world(vec![], vec![]));
    let [finding] = plan.findings.as_slice() else { panic!("{:?}", plan.findings) };
    assert_eq!((finding.object.to_string().as_str(), finding.status), ("MailServer/mail", true));
    assert!(finding.message.contains("postmaster@example.org"));
}

#[test]
fn a_fence_is_of_one_mailbox_or_of_all_on_its_shard_and_mail_waits_outside() {
    let mut world = world(vec![mailbox("ann", "ann@example.org", 1), mailbox("bob", "bob@example.org", 1)], vec![]);
    let before = start(&world).bindings;
    world.mailboxes[0].fenced = true;
    let fenced = |world: &World| {
        let plan = compile(world, &before, at(2000));
        let all = plan.directory.mailboxes.values().map(|entry| (entry.address.to_string(), entry.fenced));
        (all.collect::<Vec<_>>(), route(&plan, "ann@example.org", 2000))
    };
    let (all, ann) = fenced(&world);
    assert_eq!(ann, Route::Unready(Unready::Fenced));
    assert_eq!(
        all.iter().filter(|(_, fenced)| *fenced).map(|(a, _)| a.as_str()).collect::<Vec<_>>(),
        ["ann@example.org"]
    );
    world.mailboxes[0].fenced = false;
    world.fenced_shards = [ShardId(1)].into();
    assert!(matches!(fenced(&world).1, Route::Mailboxes(_)), "of another shard");
    world.fenced_shards = [ShardId(0)].into();
    assert!(fenced(&world).0.iter().all(|(_, fenced)| *fenced));
}

#[test]
fn many_removals_at_once_are_held() {
    let people =
        |count: usize| (0..count).map(|n| mailbox(&format!("m{n:02}"), &format!("m{n}@example.org"), 1)).collect();
    let mut full = world(people(20), vec![]);
    full.minted = (1..=20).map(id).collect();
    let first = start(&full);
    assert!(!compile(&world(people(10), vec![]), &first.bindings, at(2000)).is_held(0), "ten are never asked about");
    let plan = compile(&world(people(9), vec![]), &first.bindings, at(2000));
    assert!(plan.is_held(0) && plan.is_held(10) && !plan.is_held(11));
}

#[test]
fn bindings_read_back_from_json() {
    let plan =
        start(&world(vec![mailbox("ann", "ann@example.org", 1)], vec![alias("a", "a@example.org", 2, &["ann"])]));
    let gone = compile(&world(vec![], vec![]), &plan.bindings, at(2000));
    for bindings in [&plan.bindings, &gone.bindings] {
        let text = serde_json::to_string(bindings).unwrap();
        assert_eq!(serde_json::from_str::<Bindings>(&text).unwrap(), *bindings);
    }
}
