//! Sessions against a real volume; the wire itself is in `tests/shard.rs`.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use model::MailboxState;
use wire::LinkId;

use super::*;
use crate::testing::Volume;

const LINK: LinkId = LinkId([1; 16]);
const SESSION: SessionId = SessionId([2; 16]);

/// The next directory, with ann's mailbox changed.
async fn push(volume: &Volume, shard: &Arc<Shard>, change: impl FnOnce(&mut model::MailboxEntry)) {
    let mut directory = (*shard.routes.current().unwrap()).clone();
    directory.generation.seq += 1;
    change(directory.mailboxes.get_mut(&volume.ann).unwrap());
    let push = control::operator::Push { directory, bindings: model::Bindings::default() };
    shard.routes.push(push, Timestamp::now()).await.unwrap();
}

#[tokio::test]
async fn sessions_end_when_their_owner_may_not_come_in_any_more() {
    let volume = Volume::new();
    let shard = volume.open().await;
    shard.tasks.spawn(follow_routes(shard.clone()));
    attach(&shard, LINK, volume.attach(&shard, SESSION)).await.unwrap();
    let over = shard.sessions().open(volume.ann).unwrap().over.clone();
    push(&volume, &shard, |ann| ann.access.clear()).await;
    tokio::time::timeout(Duration::from_secs(10), over.cancelled()).await.unwrap();
    assert_eq!(shard.sessions().count(), 0);
    let refused = attach(&shard, LINK, volume.attach(&shard, SESSION)).await.unwrap_err();
    assert_eq!(refused.code, Code::NoPerm);
    volume.close(shard).await;
}

#[tokio::test]
async fn a_mailbox_that_is_suspended_while_it_is_opened_has_no_session_afterwards() {
    let volume = Volume::new();
    let shard = volume.open().await;
    // Nobody follows the routes here: what the attach itself finds at its end has to be enough.
    let request = volume.attach(&shard, SESSION);
    let suspend = push(&volume, &shard, |ann| ann.state = MailboxState::Suspended);
    // Polled in this order: the attach has looked at the directory before it first waits.
    let (attached, ()) = tokio::join!(biased; attach(&shard, LINK, request), suspend);
    assert_eq!(attached.unwrap_err().code, Code::NoPerm);
    assert_eq!(shard.sessions().count(), 0);
    volume.close(shard).await;
}

#[tokio::test]
async fn a_session_whose_link_broke_while_it_attached_is_served_over_the_next_one() {
    let volume = Volume::new();
    let shard = volume.open().await;
    // No link of that id is up.
    attach(&shard, LINK, volume.attach(&shard, SESSION)).await.unwrap();
    assert!(shard.sessions().links(volume.ann).is_empty());
    let next = LinkId([9; 16]);
    shard.sessions().renew(next, &[SESSION], Instant::now());
    assert_eq!(shard.sessions().links(volume.ann), HashSet::from([next]));
    volume.close(shard).await;
}
