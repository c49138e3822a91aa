use super::*;
use crate::Dek;

const LIFETIME: Duration = Duration::from_mins(5);

fn address(local: &str) -> Address {
    format!("{local}@example.org").parse().unwrap()
}

fn login(slot: u32) -> CachedLogin {
    CachedLogin {
        mailbox: MailboxId::from_random([1; 17]),
        slot: SlotId(slot),
        scopes: BTreeSet::from([Scope::Imap]),
        keys_version: 1,
        dek: ShieldedDek::new(&Dek::from_bytes(&[slot as u8; 32])),
    }
}

#[test]
fn only_the_same_words_hit() {
    let (cache, now) = (LoginCache::new(10, LIFETIME), Instant::now());
    cache.insert(&address("ann"), &Secret::new("one"), login(1), now);
    let hit = cache.get(&address("ann"), &Secret::new("one"), now).unwrap();
    assert!(hit.slot == SlotId(1) && hit.dek.with(|dek| dek.bytes() == &[1; 32]));
    assert!(cache.get(&address("ann"), &Secret::new("two"), now).is_none());
    assert!(cache.get(&address("bob"), &Secret::new("one"), now).is_none());
}

#[test]
fn a_login_is_forgotten_after_its_time_however_often_it_was_used() {
    let (cache, start) = (LoginCache::new(10, LIFETIME), Instant::now());
    let (ann, secret) = (address("ann"), Secret::new("one"));
    cache.insert(&ann, &secret, login(1), start);
    for minutes in 0..5 {
        assert!(cache.get(&ann, &secret, start + Duration::from_secs(60 * minutes)).is_some());
    }
    assert!(cache.get(&ann, &secret, start + LIFETIME).is_none());
    assert!(cache.lock().by_key.is_empty(), "the key must go too");
}

#[test]
fn the_oldest_makes_room() {
    let (cache, now) = (LoginCache::new(2, LIFETIME), Instant::now());
    let second = Duration::from_secs(1);
    let known = |n: u32| cache.get(&address("ann"), &Secret::new(&n.to_string()), now + 5 * second).is_some();
    for n in 1..=3 {
        cache.insert(&address("ann"), &Secret::new(&n.to_string()), login(n), now + n * second);
    }
    assert_eq!((known(1), known(2), known(3)), (false, true, true));
}

#[test]
fn a_renewed_login_lives_its_full_time() {
    let (cache, now) = (LoginCache::new(2, LIFETIME), Instant::now());
    let (ann, secret) = (address("ann"), Secret::new("one"));
    cache.insert(&ann, &secret, login(1), now);
    cache.insert(&ann, &secret, login(2), now + LIFETIME / 2);
    let hit = cache.get(&ann, &secret, now + LIFETIME).unwrap();
    assert_eq!(hit.slot, SlotId(2));
}

#[test]
fn the_logins_of_one_address_can_be_forgotten() {
    let (cache, now) = (LoginCache::new(10, LIFETIME), Instant::now());
    for (local, words) in [("ann", "one"), ("ann", "two"), ("bob", "one")] {
        cache.insert(&address(local), &Secret::new(words), login(1), now);
    }
    cache.forget(&address("ann"));
    assert!(cache.get(&address("ann"), &Secret::new("one"), now).is_none());
    assert!(cache.get(&address("ann"), &Secret::new("two"), now).is_none());
    assert!(cache.get(&address("bob"), &Secret::new("one"), now).is_some());
    cache.clear();
    assert!(cache.get(&address("bob"), &Secret::new("one"), now).is_none());
}
