//! Slowing down guesses of passwords.
//!
//! Counted here and not where clients come in, so that many front ends let no more guesses through than one.
//!
//! * By client network and address together: each failure doubles the delay of the next answer for that pair, attempts that
//!   come at the same time wait behind each other, and who would wait too long is refused.
//! * By address alone, over all networks: it only delays, and a little. Nobody can keep an owner from logging in by failing
//!   in his name.
//!
//! Pure bookkeeping; the clock is a parameter.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use model::Address;

/// Failures of a pair that cost nothing: people mistype.
const FREE: u32 = 3;
/// Delay after the first failure that counts.
const FIRST: Duration = Duration::from_millis(250);
/// Longest wait of a pair; attempts that would wait longer are refused outright.
const LONGEST: Duration = Duration::from_secs(15);
/// Failures of an address, from wherever, that cost nothing: every device of its owner after a change of the password.
const FREE_OF_ADDRESS: u32 = 30;
/// Longest delay for an address alone: an owner who is under attack waits so long.
const LONGEST_OF_ADDRESS: Duration = Duration::from_secs(2);
/// After so long without a failure it is forgotten.
const MEMORY: Duration = Duration::from_mins(15);
/// Pairs, and addresses, remembered; past it the oldest half is forgotten.
const MOST: usize = 50_000;

/// What was failed with.
#[derive(Default)]
pub struct Guesses {
    pairs: HashMap<(IpAddr, Address), Failed>,
    addresses: HashMap<Address, Failed>,
}

/// An attempt that may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admitted {
    /// Its answer is to be held back so long.
    pub wait: Duration,
    /// There were failures before.
    pub suspect: bool,
}

#[derive(Clone, Copy)]
struct Failed {
    count: u32,
    last: Instant,
    /// When the last attempt that was let in may have its answer.
    busy_until: Instant,
}

impl Failed {
    fn is_recent(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) < MEMORY
    }

    /// The delay after so many failures above those that cost nothing; none for the first.
    fn step(&self, free: u32, longest: Duration) -> Option<Duration> {
        let counted = self.count.checked_sub(free)?;
        Some((FIRST * 2_u32.saturating_pow(counted.min(10))).min(longest))
    }
}

impl Guesses {
    /// Whether an attempt may be made now; none where it is refused.
    pub fn admit(&mut self, network: IpAddr, address: &Address, now: Instant) -> Option<Admitted> {
        let of_address = self.addresses.get(address).filter(|failed| failed.is_recent(now));
        let (is_known, slow) =
            (of_address.is_some(), of_address.and_then(|f| f.step(FREE_OF_ADDRESS, LONGEST_OF_ADDRESS)));
        let slow = slow.unwrap_or_default();
        let pair = self.pairs.get_mut(&(network, address.clone())).filter(|failed| failed.is_recent(now));
        let Some(pair) = pair else { return Some(Admitted { wait: slow, suspect: is_known }) };
        let Some(step) = pair.step(FREE, LONGEST) else { return Some(Admitted { wait: slow, suspect: true }) };
        let answer_at = pair.busy_until.max(now) + step;
        let wait = answer_at.saturating_duration_since(now);
        if wait > LONGEST {
            return None;
        }
        pair.busy_until = answer_at;
        Some(Admitted { wait: wait.max(slow), suspect: true })
    }

    /// Notes a failure.
    pub fn failed(&mut self, network: IpAddr, address: &Address, now: Instant) {
        note(&mut self.pairs, (network, address.clone()), now);
        note(&mut self.addresses, address.clone(), now);
    }

    /// A success clears the pair.
    pub fn succeeded(&mut self, network: IpAddr, address: &Address) {
        self.pairs.remove(&(network, address.clone()));
    }
}

fn note<K: Eq + Hash>(failures: &mut HashMap<K, Failed>, key: K, now: Instant) {
    if failures.len() >= MOST {
        let mut times: Vec<Instant> = failures.values().map(|f| f.last).collect();
        times.sort_unstable();
        let middle = times[times.len() / 2];
        failures.retain(|_, failed| failed.last > middle);
    }
    let failed = failures.entry(key).or_insert(Failed { count: 0, last: now, busy_until: now });
    failed.count = if failed.is_recent(now) { failed.count.saturating_add(1) } else { 1 };
    failed.last = now;
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAD: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const GOOD: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn ann() -> Address {
        "ann@x.example".parse().unwrap()
    }

    fn wait(guesses: &mut Guesses, network: IpAddr, now: Instant) -> Option<Duration> {
        guesses.admit(network, &ann(), now).map(|admitted| admitted.wait)
    }

    #[test]
    fn delays_grow_for_the_pair_alone_and_end_with_success() {
        let (mut guesses, now) = (Guesses::default(), Instant::now());
        assert!(!guesses.admit(BAD, &ann(), now).unwrap().suspect);
        for _ in 0..FREE {
            assert_eq!(wait(&mut guesses, BAD, now), Some(Duration::ZERO));
            guesses.failed(BAD, &ann(), now);
        }
        assert_eq!(guesses.admit(BAD, &ann(), now), Some(Admitted { wait: FIRST, suspect: true }));
        let later = now + FIRST;
        // Another spelling is the same address.
        guesses.failed(BAD, &"ANN@X.Example".parse().unwrap(), later);
        assert_eq!(wait(&mut guesses, BAD, later), Some(FIRST * 2));
        assert_eq!(wait(&mut guesses, GOOD, later), Some(Duration::ZERO));
        assert_eq!(wait(&mut guesses, BAD, later + MEMORY), Some(Duration::ZERO));
        guesses.succeeded(BAD, &ann());
        assert_eq!(wait(&mut guesses, BAD, later), Some(Duration::ZERO));
    }

    #[test]
    fn attempts_at_the_same_time_wait_behind_each_other_and_too_many_are_refused() {
        let (mut guesses, now) = (Guesses::default(), Instant::now());
        for _ in 0..FREE + 3 {
            guesses.failed(BAD, &ann(), now);
        }
        let waits: Vec<_> = std::iter::from_fn(|| wait(&mut guesses, BAD, now)).collect();
        let step = FIRST * 8;
        assert_eq!(waits, (1..=7).map(|n| step * n).collect::<Vec<_>>());
        assert_eq!(wait(&mut guesses, BAD, now + step * 7), Some(step));
        assert_eq!(wait(&mut guesses, GOOD, now), Some(Duration::ZERO));
    }

    #[test]
    fn an_address_that_is_guessed_from_everywhere_is_slow_for_all_and_refused_for_none() {
        let (mut guesses, now) = (Guesses::default(), Instant::now());
        for n in 0..20_000_u32 {
            guesses.failed(IpAddr::from(n.to_be_bytes()), &ann(), now);
        }
        for _ in 0..100 {
            assert_eq!(wait(&mut guesses, GOOD, now), Some(LONGEST_OF_ADDRESS));
        }
        let bob = "bob@x.example".parse().unwrap();
        assert_eq!(guesses.admit(GOOD, &bob, now), Some(Admitted { wait: Duration::ZERO, suspect: false }));
        assert_eq!(wait(&mut guesses, GOOD, now + MEMORY), Some(Duration::ZERO));
    }

    #[test]
    fn memory_is_bounded() {
        let (mut guesses, now) = (Guesses::default(), Instant::now());
        for n in 0..MOST as u32 + 10 {
            guesses.failed(IpAddr::from(n.to_be_bytes()), &ann(), now + Duration::from_micros(u64::from(n)));
        }
        assert!(guesses.pairs.len() <= MOST);
    }
}
