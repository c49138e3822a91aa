use control::Database;
use model::verbs::*;
use proptest::prelude::*;
use store::Limits;

use crate::fixture::*;
use crate::volume::Volume;

#[derive(Debug, Clone)]
enum Op {
    Append(u8),
    Large,
    Refused,
    Deliver(u8),
    Flag(bool),
    Move,
    Expunge,
    Folder(u8),
    Settle(u8),
    Together(u8),
    Close,
    Quiet,
    /// What repeats itself is kept short; this is not.
    Random,
    /// Let go, or folded in.
    Hold(bool),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        4 => any::<u8>().prop_map(Op::Append),
        1 => Just(Op::Large),
        1 => Just(Op::Refused),
        3 => any::<u8>().prop_map(Op::Deliver),
        3 => any::<bool>().prop_map(Op::Flag),
        1 => Just(Op::Move),
        2 => Just(Op::Expunge),
        1 => any::<u8>().prop_map(Op::Folder),
        1 => any::<u8>().prop_map(Op::Settle),
        2 => (2..20_u8).prop_map(Op::Together),
        1 => Just(Op::Close),
        1 => Just(Op::Quiet),
        1 => Just(Op::Random),
        3 => any::<bool>().prop_map(Op::Hold),
    ];
    prop::collection::vec(op, 1..30)
}

async fn run(ops: Vec<Op>) {
    let limits = Limits { grave_rest: std::time::Duration::ZERO, ..patient() };
    let volume = Volume::with(limits, store::SpoolLimits::default());
    // So that closing leaves the WAL: what is in it after an opening is what an archive goes on from.
    volume.cover();
    let (mut s, mut life, mut main) = (volume.session(1).await, [0, 0], Vec::new());
    for (n, op) in ops.into_iter().enumerate() {
        let message = format!("Subject: {n}\r\n\r\nbody {n}");
        let inbox = view(&s.select("INBOX").await);
        match op {
            Op::Append(n) => drop(s.append("INBOX", format!("{message} {n}")).await.unwrap()),
            Op::Large => drop(s.append("INBOX", "Subject: x\r\n\r\n0123456789".repeat(200_000)).await.unwrap()),
            Op::Refused => drop(s.append("nowhere", message).await.unwrap_err()),
            Op::Deliver(n) => drop(s.mailbox.deliver(delivery(n, &message)).await.unwrap()),
            Op::Flag(on) => {
                let mode = if on { StoreMode::Add } else { StoreMode::Remove };
                s.store(&inbox, "1:3", mode, &["\\Deleted"]).await;
            }
            Op::Move => drop(s.copy(&inbox, "2:4", "Archive", true).await.unwrap()),
            Op::Expunge => drop(s.expunge(&inbox, None).await),
            Op::Folder(n) => drop(s.create(&format!("f{n}")).await),
            Op::Settle(n) => s.mailbox.settle(vec![model::TxId([n; 16])]).await.unwrap(),
            Op::Together(many) => {
                let appends: Vec<_> = (0..many)
                    .map(|n| {
                        let (append, body) = s.appending("INBOX", &[], format!("{message} {n}"));
                        tokio::spawn(s.mailbox.append(s.id, append, body))
                    })
                    .collect();
                for append in appends {
                    append.await.unwrap().unwrap();
                }
            }
            Op::Close => {
                drop(s);
                volume.mailboxes.detach(id()).await;
                s = volume.session(n as u8 + 2).await;
            }
            Op::Quiet => volume.mailboxes.look().await,
            Op::Random => {
                let random: String = (0..20_000).map(|_| u128::from_le_bytes(crypto::random()).to_string()).collect();
                s.append("INBOX", format!("{message} {random}")).await.unwrap();
            }
            Op::Hold(fold) => {
                let held = volume.mailboxes.hold(id()).await.unwrap().unwrap();
                if fold {
                    held.checkpoint().await.unwrap();
                }
            }
        }
        volume.check_numbers(Database::Mailbox);
        // No life of the WAL is followed by another one before its end was recorded.
        let salts = volume.wal(Database::Mailbox).salts;
        let now = std::fs::read(volume.path(Database::Mailbox)).unwrap();
        if ![life, [0, 0]].contains(&salts) {
            assert!(life == [0, 0] || volume.record().unwrap().end.salts == life, "an end without a record");
            life = salts;
        } else if salts == life && life != [0, 0] {
            // Bases are copied from it while mail comes, and stand for the beginning of this life.
            assert!(now == main, "the main file changed while the WAL's life went on");
        }
        main = now;
    }
}

#[test]
fn every_commit_of_random_work_has_its_number_and_notices_name_its_last_frame() {
    let mut config = ProptestConfig::with_cases(12);
    config.failure_persistence = None;
    proptest!(config, |(ops in ops())| {
        tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(run(ops));
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_that_were_lost_count_as_one_more_when_they_are_made_up_for() {
    let volume = Volume::new();
    volume.cover();
    let s = volume.session(1).await;
    s.append("INBOX", "a: b\r\n\r\n").await.unwrap();
    let inbox = view(&s.select("INBOX").await);
    s.store(&inbox, "1", StoreMode::Add, &["\\Seen"]).await;
    assert!(volume.wal(Database::Mailbox).commits.len() >= 2);
    let before = volume.commit(Database::Mailbox);
    // As after a power cut: the mark of unsynced flags is found at the next opening.
    let copy = Volume::new();
    for suffix in ["sqlite", "sqlite-wal"] {
        let name = |volume: &Volume| volume.path(Database::Mailbox).with_extension(suffix);
        std::fs::copy(name(&volume), name(&copy)).unwrap();
    }
    copy.attach().await;
    assert_eq!(copy.commit(Database::Mailbox), before + 1);
    copy.check_numbers(Database::Mailbox);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_policy_the_wal_is_folded_in_at_the_end_and_recorded_as_not_copied() {
    let volume = Volume::new();
    let s = volume.session(1).await;
    s.append("INBOX", "a: b\r\n\r\n").await.unwrap();
    let (wal, commit) = (volume.wal(Database::Mailbox), volume.commit(Database::Mailbox));
    drop(s);
    volume.mailboxes.detach(id()).await;
    assert!(volume.wal(Database::Mailbox).commits.is_empty());
    let record = volume.record().unwrap();
    assert_eq!((record.epoch, record.commit, record.copied), (1, commit, false));
    assert_eq!((record.end.salts, record.end.frame), (wal.salts, *wal.commits.last().unwrap()));
}
