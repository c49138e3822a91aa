//! What a primary says unasked, and asks itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::verbs::Hint;
use model::{
    Address, Directory, Entry, FolderId, Generation, MailboxEntry, MailboxState, ModSeq, ServerId, SessionId, ShardId,
};
use sealpost_wire::{LiveSession, PushHandle};
use tls::Role;

use crate::secondary::Told;
use crate::shard::FakeShard;
use crate::world::{SESSION, World, mailbox, soon};

async fn link(shard: &FakeShard) -> PushHandle {
    let mut links = shard.links.subscribe();
    let links = soon(links.wait_for(|links| !links.is_empty())).await.unwrap();
    links[0].1.clone()
}

fn directory(seq: u64, mailboxes: u32) -> Arc<Directory> {
    let mut directory = Directory {
        server: ServerId("s1".to_owned()),
        hostname: "mx.example.test".to_owned(),
        generation: Generation { epoch: 1, seq },
        domains: BTreeSet::from(["example.test".parse().unwrap()]),
        max_message_size: 50_000_000,
        entries: BTreeMap::new(),
        mailboxes: BTreeMap::new(),
        removed: BTreeMap::new(),
    };
    for n in 0..mailboxes {
        let address: Address = format!("user{n}@example.test").parse().unwrap();
        let mut id = [0; 17];
        id[..4].copy_from_slice(&n.to_be_bytes());
        let id = model::MailboxId::from_random(id);
        directory.entries.insert(address.clone(), Entry { mailbox: Some(id), alias: None });
        let entry = MailboxEntry {
            address,
            shard: ShardId(0),
            state: MailboxState::Active,
            access: BTreeSet::new(),
            quota: None,
            keyed: true,
            fenced: false,
        };
        directory.mailboxes.insert(id, entry);
    }
    Arc::new(directory)
}

/// One generation, with these mailboxes keyed or not.
fn with_keys(keyed: &[bool]) -> Arc<Directory> {
    let mut directory = directory(1, keyed.len() as u32);
    let mailboxes = Arc::make_mut(&mut directory).mailboxes.values_mut();
    mailboxes.zip(keyed).for_each(|(mailbox, &keyed)| mailbox.keyed = keyed);
    directory
}

#[tokio::test]
async fn hints_revocations_and_draining_arrive() {
    let world = World::new();
    let served = world.serve(1).await;
    let (_client, secondary) = world.attached(served.address).await;
    let push = link(&served.shard).await;
    let hint = Hint { modseq: ModSeq(5), folders: vec![FolderId(2)] };
    push.changed(mailbox(1), hint.clone());
    secondary.heard(|told| *told == Told::Changed(mailbox(1), hint.clone())).await;
    push.revoked(SESSION);
    secondary.heard(|told| *told == Told::Revoked(SESSION)).await;
    push.draining();
    secondary.heard(|told| *told == Told::Draining).await;
    served.kill().await;
    assert!(push.is_closed());
    push.changed(mailbox(1), hint);
}

#[tokio::test]
async fn a_burst_of_hints_ends_with_the_newest() {
    let world = World::new();
    let served = world.serve(1).await;
    let (_client, secondary) = world.attached(served.address).await;
    let push = link(&served.shard).await;
    for n in 1..=10_000 {
        push.changed(mailbox(1), Hint { modseq: ModSeq(n), folders: vec![FolderId(2)] });
    }
    secondary.heard(|told| matches!(told, Told::Changed(_, hint) if hint.modseq == ModSeq(10_000))).await;
    let hints = secondary.told.borrow().iter().filter(|told| matches!(told, Told::Changed(..))).count();
    assert!(hints < 5000, "{hints} hints were sent");
    served.kill().await;
}

#[tokio::test]
async fn a_large_directory_comes_at_hello_and_when_it_changes() {
    let world = World::new();
    let served = world.serve(1).await;
    *served.shard.directory.lock().unwrap() = Some(directory(1, 10_000));
    let (client, secondary) = world.client(Role::Mx, served.address);
    secondary.heard(|told| *told == Told::Directory(1)).await;
    let push = link(&served.shard).await;
    push.directory(directory(2, 3));
    secondary.heard(|told| *told == Told::Directory(2)).await;
    // Older ones are not even mentioned; asking gives the newest.
    *served.shard.directory.lock().unwrap() = Some(directory(3, 5));
    let asked = soon(client.directory()).await.unwrap().unwrap();
    assert_eq!((asked.generation.seq, asked.entries.len()), (3, 5));
    push.directory(directory(1, 1));
    assert_eq!(soon(client.directory()).await.unwrap().unwrap().generation.seq, 3);
    let seen: Vec<_> =
        secondary.told.borrow().iter().filter(|told| matches!(told, Told::Directory(_))).cloned().collect();
    assert_eq!(seen, [Told::Directory(1), Told::Directory(2), Told::Directory(3)]);

    // A secondary that has it is not sent it again.
    let address = served.kill().await;
    let second = world.serve_at(2, address).await;
    *second.shard.directory.lock().unwrap() = Some(directory(3, 5));
    secondary.heard(|told| *told == Told::Connected(second.shard.boot)).await;
    soon(client.settle(model::verbs::Settle { transactions: Vec::new() })).await.unwrap();
    assert_eq!(secondary.told.borrow().iter().filter(|told| matches!(told, Told::Directory(_))).count(), 3);
    second.kill().await;
}

#[tokio::test]
async fn keys_that_come_within_a_generation_are_told_at_once_and_after_a_break() {
    let world = World::new();
    let served = world.serve(1).await;
    *served.shard.directory.lock().unwrap() = Some(with_keys(&[false, false]));
    let (client, secondary) = world.client(Role::Mx, served.address);
    secondary.heard(|told| *told == Told::Directory(1)).await;
    link(&served.shard).await.directory(with_keys(&[true, false]));
    let keyed = async || {
        let known = soon(client.directory()).await.unwrap().unwrap();
        known.mailboxes.values().filter(|mailbox| mailbox.keyed).count()
    };
    *served.shard.directory.lock().unwrap() = None;
    assert_eq!(keyed().await, 1);

    let address = served.kill().await;
    secondary.heard(|told| *told == Told::Disconnected).await;
    let shard = FakeShard::new(2);
    *shard.directory.lock().unwrap() = Some(with_keys(&[true, true]));
    let second = world.serve_shard(shard, address).await;
    secondary.heard(|told| *told == Told::Connected(second.shard.boot)).await;
    *second.shard.directory.lock().unwrap() = None;
    assert_eq!(keyed().await, 2);
    second.kill().await;
}

#[tokio::test]
async fn a_key_query_is_answered_by_a_live_session_only() {
    let world = World::new();
    let served = world.serve(1).await;
    let (_client, secondary) = world.attached(served.address).await;
    let push = link(&served.shard).await;
    let ask = |nonce| soon(push.key_query(mailbox(1), nonce, Duration::from_secs(5)));
    assert_eq!(ask([1; 16]).await, None, "no live session");
    secondary.live.lock().unwrap().push(LiveSession { session: SESSION, mailbox: mailbox(1) });
    let answer = ask([2; 16]).await.unwrap();
    assert_eq!((answer.session, answer.nonce), (SESSION, [2; 16]));
    *secondary.wrong_nonce.lock().unwrap() = Some([9; 16]);
    assert_eq!(ask([3; 16]).await, None, "an answer to another question");
    served.kill().await;
    assert_eq!(ask([4; 16]).await, None, "the link is gone");
}

#[tokio::test]
async fn an_mx_is_never_asked_for_keys_nor_told_of_mailboxes() {
    let world = World::new();
    let served = world.serve(1).await;
    let (client, secondary) = world.client(Role::Mx, served.address);
    soon(client.connected()).await.unwrap();
    secondary.live.lock().unwrap().push(LiveSession { session: SESSION, mailbox: mailbox(1) });
    let push = link(&served.shard).await;
    assert_eq!(soon(push.key_query(mailbox(1), [1; 16], Duration::from_secs(5))).await, None);
    push.changed(mailbox(1), Hint { modseq: ModSeq(1), folders: Vec::new() });
    push.revoked(SESSION);
    push.draining();
    secondary.heard(|told| *told == Told::Draining).await;
    assert_eq!(secondary.told.borrow().len(), 2, "connected and draining: {:?}", secondary.told.borrow());
    served.kill().await;
}

#[tokio::test]
async fn all_live_sessions_are_reported_at_once() {
    let world = World::new();
    let first = world.serve(1).await;
    let (_client, secondary) = world.client(Role::Imap, first.address);
    let mut live = first.shard.live.subscribe();
    soon(live.wait_for(|live| live.as_ref().is_some_and(Vec::is_empty))).await.unwrap();
    let session = |n: u32| {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&n.to_be_bytes());
        LiveSession { session: SessionId(id), mailbox: mailbox(1) }
    };
    *secondary.live.lock().unwrap() = (0..10_000).map(session).collect();
    let address = first.kill().await;
    let second = world.serve_at(2, address).await;
    let mut live = second.shard.live.subscribe();
    let reported = soon(live.wait_for(Option::is_some)).await.unwrap().clone().unwrap();
    assert_eq!(reported, *secondary.live.lock().unwrap());
    second.kill().await;
}
