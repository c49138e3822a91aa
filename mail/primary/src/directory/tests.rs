use std::collections::BTreeMap;

use model::{Address, Entry, Generation, MailboxEntry, MailboxState};

use super::*;

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn ann() -> MailboxId {
    MailboxId::from_random([1; 17])
}

fn directory(seq: u64) -> Directory {
    let mailbox = MailboxEntry {
        address: address("ann@example.org"),
        shard: ShardId(0),
        state: MailboxState::Active,
        access: BTreeSet::new(),
        quota: None,
        keyed: false,
        fenced: false,
    };
    Directory {
        server: ServerId("s".into()),
        hostname: "mx.example.org".into(),
        generation: Generation { epoch: 1, seq },
        domains: ["example.org".parse().unwrap()].into(),
        max_message_size: 1 << 20,
        entries: [(address("ann@example.org"), Entry { mailbox: Some(ann()), alias: None })].into(),
        mailboxes: [(ann(), mailbox)].into(),
        removed: BTreeMap::new(),
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn decide(known: &Directory, pushed: &Directory) -> Result<(), Refusal> {
    decide_with(known, pushed, model::Bindings::default())
}

fn decide_with(known: &Directory, pushed: &Directory, bindings: model::Bindings) -> Result<(), Refusal> {
    check(Some(known), &Push { directory: pushed.clone(), bindings }, &ServerId("s".into()), at(50))
}

#[test]
fn a_mailbox_may_be_missing_only_where_the_bindings_know_it_as_purged() {
    let mut without = directory(2);
    without.mailboxes.clear();
    without.entries.clear();
    without.removed.insert(address("ann@example.org"), at(90));
    let missing = Err(Refusal::Absent(format!("mailbox {}", ann())));
    assert_eq!(decide(&directory(1), &without), missing);
    let purge = |id| {
        let purge = model::Purge { shard: ShardId(0), asked: at(1), done: None };
        model::Bindings { purged: [(id, purge)].into(), ..Default::default() }
    };
    assert_eq!(decide_with(&directory(1), &without, purge(MailboxId::from_random([9; 17]))), missing);
    assert_eq!(decide_with(&directory(1), &without, purge(ann())), Ok(()));
}

#[test]
fn the_first_push_is_taken_and_one_for_another_server_is_not() {
    let push = Push { directory: directory(1), bindings: model::Bindings::default() };
    assert_eq!(check(None, &push, &ServerId("s".into()), at(0)), Ok(()));
    let refused = check(None, &push, &ServerId("t".into()), at(0));
    assert_eq!(refused, Err(Refusal::OtherServer(ServerId("t".into()))));
}

#[test]
fn an_older_push_is_refused_and_the_same_again_is_taken() {
    assert_eq!(decide(&directory(2), &directory(2)), Ok(()));
    assert_eq!(decide(&directory(2), &directory(3)), Ok(()));
    assert!(matches!(decide(&directory(2), &directory(1)), Err(Refusal::Older { .. })));
    let mut newer_epoch = directory(1);
    newer_epoch.generation.epoch = 2;
    assert_eq!(decide(&directory(9), &newer_epoch), Ok(()));
}

#[test]
fn the_same_generation_cannot_say_something_else_but_about_keys() {
    let mut other = directory(2);
    other.hostname = "other.example.org".into();
    assert!(matches!(decide(&directory(2), &other), Err(Refusal::Changed(_))));
    let mut keyed = directory(2);
    keyed.mailboxes.get_mut(&ann()).unwrap().keyed = true;
    assert_eq!(decide(&directory(2), &keyed), Ok(()));
}

#[test]
fn absence_is_not_removal() {
    let mut without = directory(3);
    without.entries.clear();
    assert_eq!(decide(&directory(2), &without), Err(Refusal::Absent("ann@example.org".into())));
    without.removed = [(address("ann@example.org"), at(100))].into();
    assert_eq!(decide(&directory(2), &without), Ok(()));
    let mut unbound = without.clone();
    unbound.mailboxes.clear();
    assert!(matches!(decide(&directory(2), &unbound), Err(Refusal::Absent(_))));
}

#[test]
fn a_tombstone_stays_until_its_grace_is_over() {
    let mut known = directory(2);
    known.removed = [(address("gone@example.org"), at(100)), (address("old@example.org"), at(10))].into();
    assert_eq!(decide(&known, &directory(3)), Err(Refusal::Absent("gone@example.org".into())));
    let mut kept = directory(3);
    kept.removed = [(address("gone@example.org"), at(100))].into();
    assert_eq!(decide(&known, &kept), Ok(()));
}

#[tokio::test]
async fn keys_are_the_shards_own_knowledge_and_a_push_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("directory.sqlite");
    let open = |keyed: BTreeSet<MailboxId>| {
        let file = DirectoryFile::open(&path, &[1; 32]).unwrap();
        Routes::load(ServerId("s".into()), ShardId(0), file, keyed).unwrap()
    };
    let routes = open(BTreeSet::new());
    let mut watch = routes.watch();
    let mut boast = directory(1);
    boast.mailboxes.get_mut(&ann()).unwrap().keyed = true;
    let bindings =
        model::Bindings { aliases: [(address("info@example.org"), "uid".into())].into(), ..Default::default() };
    routes.push(Push { directory: boast, bindings: bindings.clone() }, at(0)).await.unwrap();
    assert!(!watch.borrow_and_update().as_ref().unwrap().mailboxes[&ann()].keyed);
    routes.keyed(ann()).await;
    assert!(watch.borrow_and_update().as_ref().unwrap().mailboxes[&ann()].keyed);
    drop(routes);
    let routes = open([ann()].into());
    assert_eq!(routes.pushed().await.unwrap().unwrap().bindings, bindings);
    let again = routes.current().unwrap();
    assert_eq!(again.generation, Generation { epoch: 1, seq: 1 });
    assert!(again.mailboxes[&ann()].keyed);
}

#[tokio::test(start_paused = true)]
async fn keys_that_come_many_at_a_time_make_few_directories() {
    let folder = tempfile::tempdir().unwrap();
    let file = DirectoryFile::open(&folder.path().join("directory.sqlite"), &[1; 32]).unwrap();
    let routes = Arc::new(Routes::load(ServerId("s".into()), ShardId(0), file, BTreeSet::new()).unwrap());
    let mut many = directory(1);
    let entry = many.mailboxes[&ann()].clone();
    let ids: Vec<_> = (1..=200).map(|n| MailboxId::from_random([n; 17])).collect();
    many.mailboxes = ids.iter().map(|id| (*id, entry.clone())).collect();
    routes.push(Push { directory: many, bindings: model::Bindings::default() }, at(0)).await.unwrap();
    let stop = CancellationToken::new();
    let follower = tokio::spawn({
        let (routes, stop) = (routes.clone(), stop.clone());
        async move { routes.follow_keys(&stop).await }
    });
    let mut watch = routes.watch();
    let seen = tokio::spawn(async move {
        let mut directories = 0;
        while watch.changed().await.is_ok() {
            directories += 1;
            let keyed = watch.borrow_and_update().as_ref().unwrap().mailboxes.values().filter(|m| m.keyed).count();
            if keyed == 200 {
                break;
            }
        }
        directories
    });
    for id in ids {
        routes.keyed(id).await;
    }
    assert_eq!(routes.keyed_mailboxes().await.len(), 200);
    let directories = seen.await.unwrap();
    assert!(directories <= 20, "{directories} directories for 200 keys");
    stop.cancel();
    follower.await.unwrap();
}
