use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

fn folder(uids: UidSet) -> Folder {
    let selected = Selected {
        folder: FolderId(1),
        uidvalidity: UidValidity(1),
        uidnext: uids.last().map_or(Uid(1), |last| Uid(last.0 + 1)),
        modseq: ModSeq(10),
        uids,
        first_unseen: None,
        recent_from: Uid(u32::MAX),
        keywords: Keywords::default(),
        read_only: false,
    };
    Folder::new("INBOX".into(), false, selected)
}

fn told(folder: &mut Folder, expunge: bool) -> Vec<String> {
    let mut out = vec![];
    folder.announce(&mut out, expunge, false);
    String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
}

fn set(text: &str) -> UidSet {
    text.parse().unwrap()
}

#[test]
fn numbers_stay_until_expunge_is_told() {
    let mut folder = folder(set("10:12,20"));
    let mut delta = Delta { modseq: ModSeq(11), uidnext: Uid(22), ..Delta::default() };
    (delta.vanished, delta.appeared) = (set("11,12,15"), set("21"));
    delta.changed.push(Uid(20), FlagSet(8), ModSeq(11));
    folder.absorb(delta);
    assert_eq!(told(&mut folder, false), ["* 5 EXISTS", "* 0 RECENT", "* 4 FETCH (UID 20 FLAGS (\\Seen))"]);
    assert_eq!(folder.number(Uid(21)), Some(5));
    assert_eq!(told(&mut folder, true), ["* 2 EXPUNGE", "* 2 EXPUNGE"]);
    assert_eq!((folder.number(Uid(20)), folder.number(Uid(11))), (Some(2), None));
    assert!(told(&mut folder, true).is_empty());
}

#[test]
fn an_answer_that_comes_late_brings_nothing_back() {
    let mut folder = folder(set("1:3"));
    folder.absorb(Delta { modseq: ModSeq(12), vanished: set("4"), uidnext: Uid(5), ..Delta::default() });
    folder.absorb(Delta { modseq: ModSeq(11), appeared: set("4"), uidnext: Uid(5), ..Delta::default() });
    assert!(told(&mut folder, true).is_empty());
    assert_eq!((folder.exists(), folder.view().since), (3, ModSeq(12)));
}

#[test]
fn sets_mean_what_the_rfc_says() {
    let folder = folder(set("10:12,20"));
    let resolve = |text: &[(u32, u32)], uid| folder.resolve(&Sequence(text.to_vec()), uid).map(|s| s.to_string());
    let star = crate::parse::STAR;
    assert_eq!(resolve(&[(4, 2), (1, 1)], false), Ok("10:12,20".to_owned()));
    assert_eq!(resolve(&[(star, star)], false), Ok("20".to_owned()));
    assert_eq!(resolve(&[(5, 5)], false), Err(NoSuchMessage));
    assert_eq!(resolve(&[(11, 19)], true), Ok("11:12".to_owned()));
    assert_eq!(resolve(&[(99, star)], true), Ok("20".to_owned()), "the last message is always in n:*");
    assert_eq!(folder.resolve_leniently(&Sequence(vec![(3, 9), (7, 8)]), false).to_string(), "12,20");
}

#[test]
fn a_hundred_thousand_scattered_messages_are_numbered_quickly() {
    let uids: UidSet = (1..=100_000).map(|n| Uid(n * 2)).collect();
    let folder = folder(uids);
    let start = Instant::now();
    for n in 1..=100_000 {
        assert_eq!(folder.number(Uid(n * 2)), Some(n));
    }
    let every_other = Sequence((1..=13_000).rev().map(|n| (n * 3, n * 3)).collect());
    assert_eq!(folder.resolve(&every_other, false).unwrap().len(), 13_000);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

proptest! {
    #[test]
    fn ranks_agree_with_counting(uids in prop::collection::btree_set(1_u32..300, 0..80)) {
        let ranks = Ranks::new(uids.iter().map(|&uid| Uid(uid)).collect());
        prop_assert_eq!(ranks.len() as usize, uids.len());
        for (n, &uid) in uids.iter().enumerate() {
            prop_assert_eq!(ranks.number(Uid(uid)), Some(n as u32 + 1));
            prop_assert_eq!(ranks.uid(n as u32 + 1), Some(Uid(uid)));
        }
        prop_assert_eq!(ranks.uid(uids.len() as u32 + 1), None);
        prop_assert_eq!(ranks.uid(0), None);
        prop_assert_eq!(ranks.number(Uid(300)), None);
    }

    /// A client that only counts what it is told ends up with what is there.
    #[test]
    fn a_client_that_believes_us_knows_the_folder(steps in prop::collection::vec((0_u8..3, 1_u32..40, any::<bool>()), 0..60)) {
        let mut folder = folder(set("1:10"));
        let mut client: Vec<u32> = (1..=10).collect();
        let (mut truth, mut uidnext, mut modseq) = (client.clone(), 11, 10);
        for (what, uid, expunge) in steps {
            modseq += 1;
            let mut delta = Delta { modseq: ModSeq(modseq), ..Delta::default() };
            match what {
                0 => {
                    delta.appeared = UidSet::range(Uid(uidnext), Uid(uidnext));
                    truth.push(uidnext);
                    uidnext += 1;
                }
                1 => {
                    truth.retain(|&known| known != uid);
                    delta.vanished = UidSet::range(Uid(uid), Uid(uid));
                }
                _ => {}
            }
            delta.uidnext = Uid(uidnext);
            folder.absorb(delta);
            for line in told(&mut folder, expunge) {
                let words: Vec<&str> = line.split(' ').collect();
                let n: usize = words[1].parse().unwrap();
                match words[2] {
                    "EXPUNGE" => { client.remove(n - 1); }
                    "EXISTS" => while client.len() < n {
                        let uid = folder.known.uid(client.len() as u32 + 1).unwrap();
                        client.push(uid.0);
                    },
                    _ => {}
                }
            }
        }
        let _ = told(&mut folder, true).iter().map(|line| {
            let n: usize = line.split(' ').nth(1).unwrap().parse().unwrap();
            client.remove(n - 1)
        }).count();
        prop_assert_eq!(&client, &truth);
        prop_assert_eq!(folder.known.set().iter().map(|uid| uid.0).collect::<Vec<_>>(), truth);
    }
}
