//! Opening keysets: the one slow step of a login, on a bounded number of threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crypto::{CryptoError, Keyset, Secret, Unlocked};
use tokio::sync::Semaphore;

/// Logins that may wait for a thread: some seconds' worth of work. More are told to come back.
const MAX_WAITING: usize = 256;

/// Runs Argon2id (64 MiB each) on as many threads as there are cores.
#[derive(Clone)]
pub struct UnlockPool {
    permits: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
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
        Self { permits: Arc::new(Semaphore::new(cores)), waiting: Arc::default() }
    }
}

impl UnlockPool {
    /// Tries a secret on a keyset.
    pub async fn unlock(&self, keyset: Keyset, secret: Secret) -> Result<Unlocked, UnlockFailed> {
        let waiting = Waiting::enter(&self.waiting).ok_or(UnlockFailed::Full)?;
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| UnlockFailed::Full)?;
        let opened = tokio::task::spawn_blocking(move || {
            let opened = keyset.unlock(&secret);
            drop((permit, waiting));
            opened
        });
        match opened.await {
            Ok(Ok(unlocked)) => Ok(unlocked),
            Ok(Err(CryptoError::WrongSecret)) => Err(UnlockFailed::Wrong),
            Ok(Err(error)) => Err(UnlockFailed::Broken(error)),
            // The runtime is going down.
            Err(_) => Err(UnlockFailed::Full),
        }
    }
}

struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    fn enter(count: &Arc<AtomicUsize>) -> Option<Self> {
        let waiting = Self(count.clone());
        (count.fetch_add(1, Ordering::Relaxed) < MAX_WAITING).then_some(waiting)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
