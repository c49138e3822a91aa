//! Opening keysets: the one slow step of a login, on a bounded number of threads.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crypto::{CryptoError, Keyset, Secret, Unlocked};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::listener::{Census, Counted};

/// Logins that may wait for a thread, each for at most [`PATIENCE`]: everybody who comes back after a pause of the front end.
const MAX_WAITING: usize = 2_000;
/// The same for one client network, so that who guesses passwords does not lock out everybody else.
const MAX_WAITING_PER_NETWORK: usize = 64;
/// How long a login waits for its turn: a client that was told to come again does so, one that waits for ever gives up.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs Argon2id (64 MiB each) on as many threads as there are cores.
#[derive(Clone)]
pub struct UnlockPool {
    permits: Arc<Semaphore>,
    waiting: Census,
}

/// The right to occupy a thread.
pub struct Turn {
    _permit: OwnedSemaphorePermit,
    _waiting: Counted,
}

/// Why a keyset was not opened.
#[derive(Debug)]
pub enum UnlockFailed {
    /// The secret opens nothing.
    Wrong,
    /// Too many are waiting.
    Full,
    /// The keyset is damaged or was tampered with.
    Broken(CryptoError),
}

impl Default for UnlockPool {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { permits: Arc::new(Semaphore::new(cores)), waiting: Census::new(MAX_WAITING, MAX_WAITING_PER_NETWORK) }
    }
}

impl UnlockPool {
    /// Waits for a turn, for a client of that network; none where too many wait, or for too long.
    pub async fn turn(&self, network: IpAddr) -> Option<Turn> {
        let waiting = self.waiting.enter(network)?;
        let permit = tokio::time::timeout(PATIENCE, self.permits.clone().acquire_owned()).await.ok()?.ok()?;
        Some(Turn { _permit: permit, _waiting: waiting })
    }
}

impl Turn {
    /// Tries a secret on a keyset.
    pub async fn unlock(self, keyset: Keyset, secret: Secret) -> Result<Unlocked, UnlockFailed> {
        let opened = tokio::task::spawn_blocking(move || {
            let opened = keyset.unlock(&secret);
            drop(self);
            opened
        });
        match opened.await {
            Ok(opened) => answer(opened),
            // The runtime is going down.
            Err(_) => Err(UnlockFailed::Full),
        }
    }
}

/// Tries a minted secret: some microseconds, so devices get in while others guess.
pub fn unlock_minted(keyset: &Keyset, secret: &Secret) -> Result<Unlocked, UnlockFailed> {
    answer(keyset.unlock(secret))
}

fn answer(opened: Result<Unlocked, CryptoError>) -> Result<Unlocked, UnlockFailed> {
    opened.map_err(|error| match error {
        CryptoError::WrongSecret => UnlockFailed::Wrong,
        error => UnlockFailed::Broken(error),
    })
}

#[cfg(test)]
mod tests {
    use crypto::{Argon2Cost, NewKeyset};
    use jiff::Timestamp;

    use super::*;

    fn keyset(password: &Secret) -> Keyset {
        let new = NewKeyset {
            address: &"ann@example.org".parse().unwrap(),
            password,
            recovery: None,
            cost: Argon2Cost::CHEAPEST,
            created: Timestamp::UNIX_EPOCH,
        };
        Keyset::create(&new).unwrap().0
    }

    #[tokio::test(start_paused = true)]
    async fn one_network_cannot_fill_the_pool_and_minted_secrets_never_wait() {
        let pool = UnlockPool::default();
        let (greedy, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let (chosen, minted) = (Secret::new("sesame"), Secret::mint(&[]));
        let taken: Vec<_> = std::iter::from_fn(|| pool.waiting.enter(greedy)).collect();
        assert_eq!(taken.len(), MAX_WAITING_PER_NETWORK);
        assert!(pool.turn(greedy).await.is_none());
        pool.turn(other).await.unwrap().unlock(keyset(&chosen), chosen.clone()).await.unwrap();
        unlock_minted(&keyset(&minted), &minted).unwrap();
        assert!(matches!(unlock_minted(&keyset(&chosen), &minted), Err(UnlockFailed::Wrong)));
        drop(taken);
        pool.turn(greedy).await.unwrap().unlock(keyset(&chosen), chosen).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_a_turn_for_ever() {
        let pool = UnlockPool::default();
        let network = IpAddr::from([192, 0, 2, 1]);
        let cores = pool.permits.available_permits();
        let mut turns = Vec::new();
        for _ in 0..cores {
            turns.push(pool.turn(network).await.unwrap());
        }
        let begun = tokio::time::Instant::now();
        assert!(pool.turn(network).await.is_none());
        assert_eq!(begun.elapsed(), PATIENCE);
        drop(turns);
        assert!(pool.turn(network).await.is_some());
    }
}
