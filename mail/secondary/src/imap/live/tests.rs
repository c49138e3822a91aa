use std::time::Duration;

use crypto::{Dek, HandoverKey};
use model::{BootId, Term};

use super::*;
use crate::testing;

fn hello() -> HelloReply {
    HelloReply {
        version: 1,
        shard: ShardId(0),
        term: Term(1),
        boot: BootId([1; 16]),
        generation: None,
        handover: ByteBuf::from(HandoverKey::generate().unwrap().public().as_bytes()),
    }
}

fn mailbox(n: u8) -> MailboxId {
    MailboxId::from_random([n; 17])
}

fn opened(n: u8) -> Opened {
    let dek = ShieldedDek::new(&Dek::from_bytes(&[n; 32]));
    Opened { mailbox: mailbox(n), slot: SlotId(1), keys_version: 1, dek }
}

fn is_empty(registry: &Sessions) -> bool {
    registry.with(|registry| registry.sessions.is_empty() && registry.by_mailbox.is_empty())
}

#[tokio::test]
async fn a_session_vouches_for_its_mailbox_until_it_is_dropped() {
    let (registry, shard, hello) = (Sessions::default(), testing::unreachable(0), hello());
    let (one, two) = (Live::register(opened(1), shard.clone(), &registry), Live::register(opened(2), shard, &registry));
    let reported = registry.of_shard(ShardId(0));
    assert_eq!(reported.len(), 2);
    assert!(reported.contains(&LiveSession { session: one.session(), mailbox: mailbox(1) }));
    assert!(registry.of_shard(ShardId(1)).is_empty());
    let answer = registry.key(mailbox(2), [7; 16], &hello).unwrap();
    assert_eq!((answer.session, answer.nonce), (two.session(), [7; 16]));
    assert!(registry.key(mailbox(3), [7; 16], &hello).is_none());
    assert_eq!(registry.reattach(one.session(), &hello).unwrap().mailbox, mailbox(1));
    drop((one, two));
    assert!(is_empty(&registry));
}

#[tokio::test]
async fn a_revoked_session_ends_and_gives_its_key_to_nobody_any_more() {
    let (registry, hello) = (Sessions::default(), hello());
    let live = Live::register(opened(1), testing::unreachable(0), &registry);
    let notices = live.notices();
    registry.revoked(live.session());
    assert_eq!(notices.borrow().ended, Some(Ended::Revoked));
    assert!(registry.key(mailbox(1), [7; 16], &hello).is_none());
    assert_eq!(registry.reattach(live.session(), &hello).unwrap_err().code, Code::Revoked);
    assert!(registry.of_shard(ShardId(0)).is_empty() && is_empty(&registry));
}

#[tokio::test]
async fn a_login_that_is_given_up_while_it_attaches_leaves_nothing() {
    let registry = Sessions::default();
    let opening = Live::open(opened(1), testing::unreachable(0), &registry);
    assert!(tokio::time::timeout(Duration::from_millis(1), opening).await.is_err());
    assert!(is_empty(&registry));
}

#[tokio::test]
async fn hints_reach_the_sessions_of_their_mailbox_and_missed_ones_ask_for_a_sync() {
    let (registry, shard) = (Sessions::default(), testing::unreachable(0));
    let (one, two) = (Live::register(opened(1), shard.clone(), &registry), Live::register(opened(2), shard, &registry));
    let (mut of_one, of_two) = (one.notices(), two.notices());
    let hint = |modseq| Hint { modseq: ModSeq(modseq), folders: Vec::new() };
    registry.changed(mailbox(1), &hint(5));
    assert_eq!(of_one.borrow_and_update().modseq, Some(ModSeq(5)));
    assert!(!of_two.has_changed().unwrap());
    registry.changed(mailbox(1), &hint(0));
    assert!(of_one.has_changed().unwrap());
    assert_eq!(of_one.borrow_and_update().modseq, None);
    registry.resync(ShardId(1));
    assert!(!of_one.has_changed().unwrap());
    registry.resync(ShardId(0));
    assert!(of_one.has_changed().unwrap() && of_two.has_changed().unwrap());
}
