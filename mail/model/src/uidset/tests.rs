use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn set(uids: &BTreeSet<u32>) -> UidSet {
    uids.iter().map(|&u| Uid(u)).collect()
}

fn plain(set: &UidSet) -> BTreeSet<u32> {
    set.iter().map(|u| u.0).collect()
}

fn some() -> impl Strategy<Value = BTreeSet<u32>> {
    prop::collection::btree_set(1_u32..60, 0..40)
}

proptest! {
    #[test]
    fn set_algebra_agrees_with_plain_sets(a in some(), b in some(), x in 1_u32..60) {
        let (sa, sb) = (set(&a), set(&b));
        prop_assert_eq!(plain(&sa.and(&sb)), &a & &b);
        prop_assert_eq!(plain(&sa.or(&sb)), &a | &b);
        prop_assert_eq!(plain(&sa.minus(&sb)), &a - &b);
        prop_assert_eq!(sa.or(&sb), set(&(&a | &b)));
        prop_assert_eq!(sa.contains(Uid(x)), a.contains(&x));
        prop_assert_eq!(sa.rank(Uid(x)), a.range(..x).count() as u64);
        prop_assert_eq!(sa.len(), a.len() as u64);
        for (n, &uid) in a.iter().enumerate() {
            prop_assert_eq!(sa.nth(n as u64), Some(Uid(uid)));
        }
        prop_assert_eq!(sa.to_string().parse::<UidSet>().unwrap(), sa);
    }

    #[test]
    fn insertion_in_any_order_gives_the_same_runs(mut uids in prop::collection::vec(1_u32..60, 0..40)) {
        let forward: UidSet = uids.iter().map(|&u| Uid(u)).collect();
        uids.reverse();
        let backward: UidSet = uids.iter().map(|&u| Uid(u)).collect();
        prop_assert_eq!(forward, backward);
    }

    #[test]
    fn it_survives_serialisation(a in some()) {
        let json = serde_json::to_string(&set(&a)).unwrap();
        prop_assert_eq!(serde_json::from_str::<UidSet>(&json).unwrap(), set(&a));
    }
}

#[test]
fn the_highest_uid_is_no_special_case() {
    let mut all = UidSet::range(Uid(u32::MAX - 1), Uid(u32::MAX));
    all.insert(Uid(u32::MAX));
    assert_eq!(all.len(), 2);
    assert_eq!(all.minus(&UidSet::range(Uid(1), Uid(u32::MAX))), UidSet::new());
}
