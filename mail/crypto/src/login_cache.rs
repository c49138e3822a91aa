//! Logins of the last minutes, so that a phone that reconnects does not cost an Argon2id run each time.
//!
//! Invariants:
//! * Held in memory only, under a hash of address and secret that is keyed by this process: the cache reveals neither.
//! * Bounded in number and in time; the time counts from the full check, not from the last use.
//! * A hit is no permission: the primary still refuses a slot that was changed or removed since (`keys_version`).

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use model::verbs::Scope;
use model::{Address, MailboxId, SlotId};

use crate::dek::shield;
use crate::hash::{hkdf_sha256, hmac_sha256};
use crate::{Canonical, Secret, ShieldedDek};

/// What a full login found out.
#[derive(Debug, Clone)]
pub struct CachedLogin {
    /// Whose mailbox.
    pub mailbox: MailboxId,
    /// Which slot opened it.
    pub slot: SlotId,
    /// What its secret may do.
    pub scopes: BTreeSet<Scope>,
    /// Version of the keyset that was opened.
    pub keys_version: u64,
    /// The mailbox's key.
    pub dek: ShieldedDek,
}

/// The cache of one process.
#[derive(Debug)]
pub struct LoginCache {
    logins: Mutex<Logins>,
    capacity: usize,
    lifetime: Duration,
}

type Key = [u8; 32];

#[derive(Debug, Default)]
struct Logins {
    by_key: HashMap<Key, Entry>,
    /// Every insertion, oldest first; those replaced or removed since are skipped.
    order: VecDeque<(Instant, Key)>,
}

#[derive(Debug)]
struct Entry {
    address: Address,
    since: Instant,
    login: CachedLogin,
}

impl LoginCache {
    /// At most `capacity` logins, each for at most `lifetime`.
    pub fn new(capacity: usize, lifetime: Duration) -> Self {
        Self { logins: Mutex::default(), capacity, lifetime }
    }

    /// The login that succeeded with exactly these words, if it is recent.
    pub fn get(&self, address: &Address, secret: &Secret, now: Instant) -> Option<CachedLogin> {
        let key = cache_key(address, secret);
        let mut logins = self.lock();
        logins.expire(now, self.lifetime);
        logins.by_key.get(&key).map(|entry| entry.login.clone())
    }

    /// Remembers a login that was checked just now.
    pub fn insert(&self, address: &Address, secret: &Secret, login: CachedLogin, now: Instant) {
        let key = cache_key(address, secret);
        let mut logins = self.lock();
        logins.expire(now, self.lifetime);
        while logins.by_key.len() >= self.capacity && logins.drop_oldest() {}
        logins.by_key.insert(key, Entry { address: address.clone(), since: now, login });
        logins.order.push_back((now, key));
    }

    /// Forgets all logins of an address: its primary refused one, or its keys changed.
    pub fn forget(&self, address: &Address) {
        self.lock().by_key.retain(|_, entry| entry.address != *address);
    }

    /// Forgets everything.
    pub fn clear(&self) {
        *self.lock() = Logins::default();
    }

    /// A panic elsewhere leaves at worst a login too many or too few.
    fn lock(&self) -> MutexGuard<'_, Logins> {
        self.logins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Logins {
    fn expire(&mut self, now: Instant, lifetime: Duration) {
        while self.order.front().is_some_and(|(since, _)| now.saturating_duration_since(*since) >= lifetime) {
            self.drop_oldest();
        }
    }

    /// Removes the oldest insertion, and its entry unless that is newer; false when there is none.
    fn drop_oldest(&mut self) -> bool {
        let Some((since, key)) = self.order.pop_front() else { return false };
        if self.by_key.get(&key).is_some_and(|entry| entry.since == since) {
            self.by_key.remove(&key);
        }
        true
    }
}

fn cache_key(address: &Address, secret: &Secret) -> Key {
    let words = zeroize::Zeroizing::new(
        Canonical::new("sealpost/login-cache/v1")
            .bytes(address.to_string().as_bytes())
            .bytes(secret.bytes())
            .into_bytes(),
    );
    let key = hkdf_sha256(b"", shield().bytes(), b"sealpost/login-cache-key/v1");
    hmac_sha256(key.as_slice(), &words)
}

#[cfg(test)]
mod tests;
