//! Opening keysets: the one slow step of a login, on a bounded number of threads.

use std::net::IpAddr;
use std::sync::Arc;

use crypto::{CryptoError, Keyset, Secret, Unlocked};
use tokio::sync::Semaphore;

use crate::listener::Census;

/// Logins that may wait for a thread: some seconds' worth of work. More are told to come back.
const MAX_WAITING: usize = 256;
/// The same for one client network, so that who guesses passwords does not lock out everybody else.
const MAX_WAITING_PER_NETWORK: usize = 64;

/// Runs Argon2id (64 MiB each) on as many threads as there are cores.
#[derive(Clone)]
pub struct UnlockPool {
    permits: Arc<Semaphore>,
    waiting: Census,
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
    /// Tries a secret on a keyset, for a client of that network.
    pub async fn unlock(&self, network: IpAddr, keyset: Keyset, secret: Secret) -> Result<Unlocked, UnlockFailed> {
        // Some microseconds: devices get in while others guess.
        if secret.is_minted() {
            return answer(keyset.unlock(&secret));
        }
        let waiting = self.waiting.enter(network).ok_or(UnlockFailed::Full)?;
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| UnlockFailed::Full)?;
        let opened = tokio::task::spawn_blocking(move || {
            let opened = keyset.unlock(&secret);
            drop((permit, waiting));
            opened
        });
        match opened.await {
            Ok(opened) => answer(opened),
            // The runtime is going down.
            Err(_) => Err(UnlockFailed::Full),
        }
    }
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

    #[tokio::test]
    async fn one_network_cannot_fill_the_pool_and_minted_secrets_never_wait() {
        let pool = UnlockPool::default();
        let (greedy, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let (chosen, minted) = (Secret::new("sesame"), Secret::mint(&[]));
        let taken: Vec<_> = std::iter::from_fn(|| pool.waiting.enter(greedy)).collect();
        assert_eq!(taken.len(), MAX_WAITING_PER_NETWORK);
        let full = pool.unlock(greedy, keyset(&chosen), chosen.clone()).await;
        assert!(matches!(full, Err(UnlockFailed::Full)));
        pool.unlock(other, keyset(&chosen), chosen.clone()).await.unwrap();
        pool.unlock(greedy, keyset(&minted), minted.clone()).await.unwrap();
        let wrong = pool.unlock(greedy, keyset(&chosen), minted).await;
        assert!(matches!(wrong, Err(UnlockFailed::Wrong)));
        drop(taken);
        pool.unlock(greedy, keyset(&chosen), chosen).await.unwrap();
    }
}
