//! Contexts of the compressor, shared by all threads.
//!
//! Making one costs more than compressing a small message, so they are kept. But a context holds pieces of what went
//! through it last, and threads of a pool live as long as there is anything to do anywhere: contexts that belonged to threads
//! would remember mail for hours. Here they rest in one place, and go when they have rested for [`REST`]; the C library
//! overwrites what they held.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a context is kept unused: bursts of mail find it, an idle process holds none.
const REST: Duration = Duration::from_secs(2);

/// Contexts that nobody uses now, the last one used at the end.
pub(super) struct Contexts<C>(Mutex<Vec<(C, Instant)>>);

impl<C> Contexts<C> {
    pub const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// Works with a context, one that rests or a new one. After an error it is not used again.
    pub fn with<T>(
        &self,
        make: impl FnOnce() -> io::Result<C>,
        work: impl FnOnce(&mut C) -> io::Result<T>,
    ) -> io::Result<T> {
        let rested = self.lock().pop();
        let mut context = match rested {
            Some((context, _)) => context,
            None => make()?,
        };
        let done = work(&mut context)?;
        self.lock().push((context, Instant::now()));
        Ok(done)
    }

    /// Drops those that have rested long enough.
    pub fn forget(&self) {
        let mut resting = self.lock();
        let fresh = resting.partition_point(|(_, since)| since.elapsed() >= REST);
        let old: Vec<_> = resting.drain(..fresh).collect();
        drop(resting);
        drop(old);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(C, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_are_used_again_and_go_when_they_have_rested() {
        let (contexts, mut count) = (Contexts::new(), 0);
        let mut make = || {
            count += 1;
            Ok(count)
        };
        assert_eq!(contexts.with(&mut make, |n| Ok(*n)).unwrap(), 1);
        assert_eq!(contexts.with(&mut make, |n| Ok(*n)).unwrap(), 1);
        contexts.with(&mut make, |_| contexts.with(|| Ok(7), |n| Ok(*n))).unwrap();
        assert_eq!(contexts.lock().len(), 2);
        assert!(contexts.with(&mut make, |_| Err::<(), _>(io::Error::other("broken"))).is_err());
        contexts.forget();
        assert_eq!(contexts.lock().iter().map(|(n, _)| *n).collect::<Vec<_>>(), [7]);
        contexts.lock()[0].1 -= REST;
        contexts.forget();
        assert!(contexts.lock().is_empty());
    }
}
