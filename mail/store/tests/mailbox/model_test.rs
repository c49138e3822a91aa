//! Random operations, held against a mailbox of plain vectors.

use std::collections::BTreeMap;

use model::verbs::*;
use model::{Uid, UidSet};
use proptest::prelude::*;

use crate::fixture::*;

const FOLDERS: [&str; 3] = ["INBOX", "Sent", "Archive"];

#[derive(Debug, Clone)]
enum Op {
    Append(usize, u8),
    Flag(usize, u8, u8, bool),
    Copy(usize, usize, u8, bool),
    Expunge(usize),
    Reopen,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        4 => (0..3_usize, any::<u8>()).prop_map(|(f, n)| Op::Append(f, n)),
        3 => (0..3_usize, any::<u8>(), 0..5_u8, any::<bool>()).prop_map(|(f, m, bit, on)| Op::Flag(f, m, bit, on)),
        2 => (0..3_usize, 0..3_usize, any::<u8>(), any::<bool>()).prop_map(|(f, t, m, x)| Op::Copy(f, t, m, x)),
        1 => (0..3_usize).prop_map(Op::Expunge),
        1 => Just(Op::Reopen),
    ];
    prop::collection::vec(op, 1..40)
}

/// UID -> flags and body.
#[derive(Default)]
struct Plain {
    next: u32,
    rows: BTreeMap<u32, (u64, Vec<u8>)>,
}

/// Eight of the UIDs so far, by the bits of `mask`.
fn pick(mask: u8) -> UidSet {
    (0..8).filter(|n| mask & (1 << n) != 0).map(|n| Uid(n + 1)).collect()
}

/// What a session that only syncs believes.
struct Watcher {
    view: View,
    flags: BTreeMap<u32, u64>,
}

async fn run(ops: Vec<Op>) {
    let mut f = fixture().await;
    let mut plain: Vec<Plain> = (0..3).map(|_| Plain { next: 1, ..Plain::default() }).collect();
    let mut watchers = Vec::new();
    let s = f.session(2);
    for name in FOLDERS {
        watchers.push(Watcher { view: view(&s.select(name).await), flags: BTreeMap::new() });
    }
    drop(s);
    let mut session = 10;
    for op in ops {
        session += 1;
        let s = f.session(session);
        apply(&mut f, s, &mut plain, &op).await;
        let s = f.session(2);
        for (n, watcher) in watchers.iter_mut().enumerate() {
            check(&s, n, watcher, &plain[n]).await;
        }
    }
}

async fn apply(f: &mut Fixture, s: Session, plain: &mut [Plain], op: &Op) {
    match *op {
        Op::Append(n, seed) => {
            let body = format!("Subject: {seed}\r\n\r\n{}", "z".repeat(seed as usize)).into_bytes();
            let uid = s.append(FOLDERS[n], body.clone()).await.unwrap().uid.0;
            assert_eq!(uid, plain[n].next);
            plain[n].next += 1;
            plain[n].rows.insert(uid, (0, body));
        }
        Op::Flag(n, mask, bit, on) => {
            let view = view(&s.select(FOLDERS[n]).await);
            let mode = if on { StoreMode::Add } else { StoreMode::Remove };
            let name = model::SystemFlag::ALL[bit as usize].name();
            s.store(&view, &pick(mask).to_string(), mode, &[name]).await;
            for (uid, row) in &mut plain[n].rows {
                if pick(mask).contains(Uid(*uid)) {
                    row.0 = if on { row.0 | 1 << bit } else { row.0 & !(1 << bit) };
                }
            }
        }
        Op::Copy(n, to, mask, remove) => {
            let view = view(&s.select(FOLDERS[n]).await);
            let copied = s.copy(&view, &pick(mask).to_string(), FOLDERS[to], remove).await.unwrap();
            let rows: Vec<_> =
                plain[n].rows.iter().filter(|r| pick(mask).contains(Uid(*r.0))).map(|r| (*r.0, r.1.clone())).collect();
            assert_eq!(copied.from, rows.iter().map(|row| row.0).collect::<Vec<_>>());
            for (uid, row) in rows {
                if remove {
                    plain[n].rows.remove(&uid);
                }
                let next = plain[to].next;
                plain[to].rows.insert(next, row);
                plain[to].next += 1;
            }
        }
        Op::Expunge(n) => {
            let view = view(&s.select(FOLDERS[n]).await);
            s.expunge(&view, None).await;
            plain[n].rows.retain(|_, row| row.0 & 4 == 0);
        }
        Op::Reopen => {
            drop(s);
            f.mailboxes.detach(id()).await;
            f.mailbox = f.mailboxes.attach(id(), dek()).await.unwrap();
        }
    }
}

async fn check(s: &Session, n: usize, watcher: &mut Watcher, plain: &Plain) {
    let delta = s.sync(&watcher.view).await;
    for uid in delta.vanished.iter() {
        watcher.flags.remove(&uid.0);
    }
    for (uid, flags, _) in delta.changed.iter() {
        assert!(watcher.flags.insert(uid.0, flags.0).is_some(), "a change of an unknown message");
    }
    let view = watcher.view;
    watcher.view = moved_on(&view, &delta);
    let new = s.fetch(Fetch { uids: delta.appeared.clone(), ..fetching(&watcher.view, Vec::new()) }).await;
    for event in new {
        if let FetchEvent::Rows(rows) = event {
            watcher.flags.extend(rows.uids.iter().copied().zip(rows.flags.iter().copied()));
        }
    }
    let expected: BTreeMap<_, _> = plain.rows.iter().map(|(uid, row)| (*uid, row.0)).collect();
    assert_eq!(watcher.flags, expected);
    assert!(s.bodies(FOLDERS[n]).await == plain.rows.values().map(|row| row.1.clone()).collect::<Vec<_>>());
    let query = FolderQuery { patterns: vec![Pattern(FOLDERS[n].into())], status: true, ..FolderQuery::default() };
    let status = s.list(query).await[0].status.unwrap();
    let count = |is: &dyn Fn(u64) -> bool| plain.rows.values().filter(|row| is(row.0)).count() as u64;
    assert_eq!(status.messages, plain.rows.len() as u64);
    assert_eq!((status.unseen, status.deleted), (count(&|f| f & 8 == 0), count(&|f| f & 4 != 0)));
    assert_eq!(status.bytes, plain.rows.values().map(|row| row.1.len() as u64).sum::<u64>());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_agrees_with_a_mailbox_of_vectors(ops in ops()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(run(ops));
    }
}
