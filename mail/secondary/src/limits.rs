//! Slowing down guesses of passwords.
//!
//! Counted by client network and address together; an address alone never locks out, so nobody can keep an owner from
//! logging in by failing in his name. Each failure doubles the delay of the next answer for that pair.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Failures that cost nothing: people mistype.
const FREE: u32 = 3;
/// Delay after the first failure that counts.
const FIRST: Duration = Duration::from_millis(250);
/// Longest delay; further attempts are refused outright meanwhile.
const LONGEST: Duration = Duration::from_secs(15);
/// After so long without an attempt a pair is forgotten.
const MEMORY: Duration = Duration::from_secs(15 * 60);
/// Pairs remembered; past it the oldest half is forgotten.
const MAX_PAIRS: usize = 50_000;

/// Failures by (network, address).
#[derive(Clone, Default)]
pub struct Failures(Arc<Mutex<HashMap<(IpAddr, String), Failed>>>);

#[derive(Clone, Copy)]
struct Failed {
    count: u32,
    last: Instant,
}

impl Failures {
    /// How long the answer to an attempt of this pair has to wait.
    pub fn delay(&self, network: IpAddr, address: &str, now: Instant) -> Duration {
        let Ok(pairs) = self.0.lock() else { return LONGEST };
        match pairs.get(&(network, address.to_owned())) {
            Some(failed) if now.duration_since(failed.last) < MEMORY && failed.count >= FREE => {
                (FIRST * 2_u32.saturating_pow((failed.count - FREE).min(10))).min(LONGEST)
            }
            _ => Duration::ZERO,
        }
    }

    /// Notes a failure.
    pub fn failed(&self, network: IpAddr, address: &str, now: Instant) {
        let Ok(mut pairs) = self.0.lock() else { return };
        if pairs.len() >= MAX_PAIRS {
            let mut times: Vec<Instant> = pairs.values().map(|f| f.last).collect();
            times.sort_unstable();
            let middle = times[times.len() / 2];
            pairs.retain(|_, failed| failed.last > middle);
        }
        let failed = pairs.entry((network, address.to_owned())).or_insert(Failed { count: 0, last: now });
        failed.count = if now.duration_since(failed.last) < MEMORY { failed.count + 1 } else { 1 };
        failed.last = now;
    }

    /// A success clears the pair.
    pub fn succeeded(&self, network: IpAddr, address: &str) {
        if let Ok(mut pairs) = self.0.lock() {
            pairs.remove(&(network, address.to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_for_the_pair_alone_and_end_with_success() {
        let (failures, now) = (Failures::default(), Instant::now());
        let (bad, good): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        for _ in 0..FREE {
            assert_eq!(failures.delay(bad, "ann@x.example", now), Duration::ZERO);
            failures.failed(bad, "ann@x.example", now);
        }
        assert_eq!(failures.delay(bad, "ann@x.example", now), FIRST);
        failures.failed(bad, "ann@x.example", now);
        assert_eq!(failures.delay(bad, "ann@x.example", now), FIRST * 2);
        assert_eq!(failures.delay(good, "ann@x.example", now), Duration::ZERO);
        assert_eq!(failures.delay(bad, "ann@x.example", now + MEMORY), Duration::ZERO);
        failures.succeeded(bad, "ann@x.example");
        assert_eq!(failures.delay(bad, "ann@x.example", now), Duration::ZERO);
    }
}
