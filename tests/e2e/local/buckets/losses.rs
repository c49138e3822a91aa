//! Everything is killed and the volume is gone: what was acknowledged a lag and a second before is in the bucket.

use std::time::{Duration, Instant};

use jiff::SignedDuration;
use sidecar::assemble::{Gone, Target};
use sidecar::bucket::Folder;

use super::load::{Load, hashes, numbered};
use super::opened::Keys;
use super::restores::End;
use super::*;
use crate::soak::Rng;

/// `maxLagSeconds` of the policy.
const LAG: u32 = 1;
const MAILBOXES: usize = 10;
/// Deliveries a second.
const RATE: usize = 100;

/// One round: load, a kill at a random moment, a look into the bucket. Answers how many messages were sent, how many of them
/// are not there, and how long before the kill the oldest of those was acknowledged.
fn lose_everything(
    remote: &Remote,
    server: &mut Server,
    rng: &mut Rng,
    round: usize,
) -> (usize, usize, SignedDuration) {
    // Every other one is here.
    let sessions: Vec<_> = (0..MAILBOXES).step_by(2).map(|n| server.imap(&address(n), PASSWORD)).collect();
    let load = Load::new(MAILBOXES);
    let mx = server.endpoint("mx");
    let time = Duration::from_millis(4000 + rng.below(5000) as u64);
    let killed = std::thread::scope(|threads| {
        threads.spawn(|| load.run(mx, 8, RATE, |n| numbered(round, n)));
        let _end = End(&load);
        let until = Instant::now() + time;
        while Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        server.crash_now().1
    });
    drop(sessions);
    std::fs::remove_dir_all(server.state().join("shard-0")).unwrap();

    let promised = killed - SignedDuration::from_secs(i64::from(LAG) + 1);
    let folder = Folder::new(remote.folder());
    let mut there = std::collections::HashMap::new();
    for archive in remote.newest() {
        // One whose mailbox got nothing in this round is one of an earlier one.
        let (dir, assembled) = match remote.assemble(&folder, &archive, Target::Latest) {
            Ok(found) => found,
            // It had just begun: what was promised is asked below.
            Err(AssembleError::Gone { of: Gone::Beyond { commit: 0 }, .. }) => continue,
            Err(error) => panic!("round {round}: {archive}: {error}"),
        };
        there.extend(hashes(&Keys::of(dir.path()).open(dir.path(), &assembled)));
    }
    let (mut sent, mut lost, mut longest) = (0, 0, SignedDuration::ZERO);
    for n in 0..MAILBOXES {
        for message in load.sent(n) {
            sent += 1;
            let Some(acknowledged) = message.acknowledged.filter(|_| !there.contains_key(&message.hash)) else {
                continue;
            };
            lost += 1;
            longest = longest.max(killed.duration_since(acknowledged));
            assert!(
                acknowledged > promised,
                "round {round}: a message to {} was acknowledged {:?} before the kill and is not in the bucket",
                address(n),
                killed.duration_since(acknowledged)
            );
        }
    }
    assert!(there.values().all(|times| *times == 1), "round {round}: a message is there twice");
    (sent, lost, longest)
}

fn rounds(count: usize, seed: u64) {
    let remote = Remote::start();
    let manifests = remote.manifests(MAILBOXES, LAG);
    let mut server = start(&manifests);
    let (mut rng, mut all) = (Rng(seed), Vec::new());
    for round in 0..count {
        if round > 0 {
            server.start();
        }
        let (sent, lost, longest) = lose_everything(&remote, &mut server, &mut rng, round);
        println!(
            "round {round}: {sent} messages sent, {lost} lost, the oldest acknowledged {longest:?} before the kill"
        );
        assert!(sent > MAILBOXES, "there was load");
        all.push(longest);
    }
    println!("{count} rounds: the longest loss is {:?}", all.iter().max().unwrap());
}

#[test]
fn what_was_acknowledged_a_lag_and_a_second_before_everything_was_lost_is_in_the_bucket() {
    rounds(2, 11);
}

/// docs/testing.md says how it is run.
#[test]
#[ignore = "takes minutes"]
fn thirty_losses_at_random_moments_of_a_hundred_deliveries_a_second() {
    rounds(30, 7);
}
