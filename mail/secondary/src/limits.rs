//! Slowing down guesses of passwords.
//!
//! Counted by client network and address together; an address alone never locks out, so nobody can keep an owner from
//! logging in by failing in his name. Each failure doubles the delay of the next answer for that pair, and attempts that
//! come at the same time wait behind each other: many connections guess no faster than one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use model::Address;

/// Failures that cost nothing: people mistype.
const FREE: u32 = 3;
/// Delay after the first failure that counts.
const FIRST: Duration = Duration::from_millis(250);
/// Longest wait; attempts that would wait longer are refused outright.
const LONGEST: Duration = Duration::from_secs(15);
/// After so long without an attempt a pair is forgotten.
const MEMORY: Duration = Duration::from_mins(15);
/// Pairs remembered; past it the oldest half is forgotten.
const MAX_PAIRS: usize = 50_000;

/// Failures by (network, address).
#[derive(Clone, Default)]
pub struct Failures(Arc<Mutex<HashMap<(IpAddr, Address), Failed>>>);

#[derive(Clone, Copy)]
struct Failed {
    count: u32,
    last: Instant,
    /// When the last attempt that was let in may have its answer.
    busy_until: Instant,
}

impl Failures {
    /// How long an attempt of this pair has to wait for its answer; none where it is refused.
    pub fn admit(&self, network: IpAddr, address: &Address, now: Instant) -> Option<Duration> {
        let mut pairs = self.0.lock().ok()?;
        let failed = pairs.get_mut(&(network, address.clone()));
        let recent = failed.filter(|failed| now.saturating_duration_since(failed.last) < MEMORY);
        let Some(failed) = recent.filter(|failed| failed.count >= FREE) else { return Some(Duration::ZERO) };
        let step = (FIRST * 2_u32.saturating_pow((failed.count - FREE).min(10))).min(LONGEST);
        let answer_at = failed.busy_until.max(now) + step;
        let wait = answer_at.saturating_duration_since(now);
        if wait > LONGEST {
            return None;
        }
        failed.busy_until = answer_at;
        Some(wait)
    }

    /// Notes a failure.
    pub fn failed(&self, network: IpAddr, address: &Address, now: Instant) {
        let Ok(mut pairs) = self.0.lock() else { return };
        if pairs.len() >= MAX_PAIRS {
            let mut times: Vec<Instant> = pairs.values().map(|f| f.last).collect();
            times.sort_unstable();
            let middle = times[times.len() / 2];
            pairs.retain(|_, failed| failed.last > middle);
        }
        let failed = pairs.entry((network, address.clone())).or_insert(Failed { count: 0, last: now, busy_until: now });
        let is_recent = now.saturating_duration_since(failed.last) < MEMORY;
        failed.count = if is_recent { failed.count.saturating_add(1) } else { 1 };
        failed.last = now;
    }

    /// A success clears the pair.
    pub fn succeeded(&self, network: IpAddr, address: &Address) {
        if let Ok(mut pairs) = self.0.lock() {
            pairs.remove(&(network, address.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAD: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const GOOD: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn ann() -> Address {
        "ann@x.example".parse().unwrap()
    }

    #[test]
    fn delays_grow_for_the_pair_alone_and_end_with_success() {
        let (failures, now) = (Failures::default(), Instant::now());
        for _ in 0..FREE {
            assert_eq!(failures.admit(BAD, &ann(), now), Some(Duration::ZERO));
            failures.failed(BAD, &ann(), now);
        }
        assert_eq!(failures.admit(BAD, &ann(), now), Some(FIRST));
        let later = now + FIRST;
        // Another spelling is the same address.
        failures.failed(BAD, &"ANN@X.Example".parse().unwrap(), later);
        assert_eq!(failures.admit(BAD, &ann(), later), Some(FIRST * 2));
        assert_eq!(failures.admit(GOOD, &ann(), later), Some(Duration::ZERO));
        assert_eq!(failures.admit(BAD, &ann(), later + MEMORY), Some(Duration::ZERO));
        failures.succeeded(BAD, &ann());
        assert_eq!(failures.admit(BAD, &ann(), later), Some(Duration::ZERO));
    }

    #[test]
    fn attempts_at_the_same_time_wait_behind_each_other_and_too_many_are_refused() {
        let (failures, now) = (Failures::default(), Instant::now());
        for _ in 0..FREE + 3 {
            failures.failed(BAD, &ann(), now);
        }
        let waits: Vec<_> = std::iter::from_fn(|| failures.admit(BAD, &ann(), now)).collect();
        let step = FIRST * 8;
        assert_eq!(waits, (1..=7).map(|n| step * n).collect::<Vec<_>>());
        assert_eq!(failures.admit(BAD, &ann(), now + step * 7), Some(step));
        assert_eq!(failures.admit(GOOD, &ann(), now), Some(Duration::ZERO));
    }
}
