//! A bucket that fails as buckets do: for tests of everything that uses one.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use super::{Answer, Bucket, BucketError, Entry, Fencing, Kept, Object, Page, Put};

/// What is asked of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// [`Bucket::put_if_absent`]
    Put,
    /// [`Bucket::get`]
    Get,
    /// [`Bucket::head`]
    Head,
    /// [`Bucket::list`]
    List,
    /// [`Bucket::delete`]
    Delete,
    /// [`Bucket::forget`]
    Forget,
    /// [`Bucket::fencing`]
    Fencing,
    /// [`Bucket::sweep`]
    Sweep,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Get => "get",
            Self::Head => "head",
            Self::List => "list",
            Self::Delete => "delete",
            Self::Forget => "forget",
            Self::Fencing => "fencing",
            Self::Sweep => "sweep",
        }
    }
}

/// How an attempt goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done.
    Fail,
    /// It is done after a while.
    Delay(Duration),
    /// It is done, and the answer is lost.
    Late,
    /// A read, or a page of a listing, has half of what it should have. Anything else is broken off with nothing done.
    Truncate,
}

/// A bucket whose first attempts go wrong: the n-th attempt of an operation on a key or prefix has the n-th of the faults,
/// those after the last have none.
#[derive(Debug)]
pub struct Unreliable {
    inner: Arc<dyn Bucket>,
    faults: Vec<Fault>,
    away: AtomicBool,
    asked: AtomicU64,
    attempts: Mutex<HashMap<(Operation, String), usize>>,
}

impl Unreliable {
    /// `inner` with those faults.
    pub fn new(inner: Arc<dyn Bucket>, faults: &[Fault]) -> Self {
        Self {
            inner,
            faults: faults.to_vec(),
            away: AtomicBool::new(false),
            asked: AtomicU64::new(0),
            attempts: Mutex::default(),
        }
    }

    /// While it is away, everything fails.
    pub fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    /// Requests so far, those that failed included.
    pub fn requests(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }

    fn next(&self, operation: Operation, key: &str) -> Option<Fault> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.away.load(Ordering::SeqCst) {
            return Some(Fault::Fail);
        }
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let attempt = attempts.entry((operation, key.to_owned())).or_default();
        let fault = self.faults.get(*attempt).copied();
        *attempt += 1;
        fault
    }

    fn through<'a, T: Send + 'a>(
        &'a self,
        operation: Operation,
        key: &'a str,
        inner: Answer<'a, T>,
        cut: fn(T) -> Option<T>,
    ) -> Answer<'a, T> {
        Box::pin(async move {
            let lost = |reason: &str| BucketError::Unavailable {
                action: operation.name(),
                key: key.to_owned(),
                reason: reason.to_owned(),
            };
            match self.next(operation, key) {
                None => inner.await,
                Some(Fault::Fail) => Err(lost("it is away")),
                Some(Fault::Delay(time)) => {
                    tokio::time::sleep(time).await;
                    inner.await
                }
                Some(Fault::Late) => {
                    inner.await?;
                    Err(lost("the answer was lost"))
                }
                Some(Fault::Truncate) if matches!(operation, Operation::Get | Operation::List) => {
                    cut(inner.await?).ok_or_else(|| lost("it was broken off"))
                }
                Some(Fault::Truncate) => Err(lost("it was broken off")),
            }
        })
    }
}

fn nothing<T>(_: T) -> Option<T> {
    None
}

impl Bucket for Unreliable {
    fn describe(&self) -> String {
        format!("unreliable {}", self.inner.describe())
    }

    fn put_if_absent<'a>(&'a self, key: &'a str, object: &'a Object) -> Answer<'a, Put> {
        self.through(Operation::Put, key, self.inner.put_if_absent(key, object), nothing)
    }

    fn get<'a>(&'a self, key: &'a str, range: Range<u64>) -> Answer<'a, Bytes> {
        let half = |bytes: Bytes| Some(bytes.slice(..bytes.len() / 2));
        self.through(Operation::Get, key, self.inner.get(key, range), half)
    }

    fn head<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Entry>> {
        self.through(Operation::Head, key, self.inner.head(key), nothing)
    }

    fn list<'a>(&'a self, prefix: &'a str, after: Option<&'a str>) -> Answer<'a, Page> {
        let half = |mut page: Page| {
            let keep = page.entries.len().div_ceil(2);
            page.more |= keep < page.entries.len();
            page.entries.truncate(keep);
            Some(page)
        };
        self.through(Operation::List, prefix, self.inner.list(prefix, after), half)
    }

    fn delete<'a>(&'a self, keys: &'a [String]) -> Answer<'a, ()> {
        let first = keys.first().map(String::as_str).unwrap_or_default();
        self.through(Operation::Delete, first, self.inner.delete(keys), nothing)
    }

    fn forget<'a>(&'a self, prefix: &'a str) -> Answer<'a, Kept> {
        self.through(Operation::Forget, prefix, self.inner.forget(prefix), nothing)
    }

    fn fencing(&self) -> Answer<'_, Fencing> {
        self.through(Operation::Fencing, "", self.inner.fencing(), nothing)
    }

    fn sweep(&self, before: Timestamp) -> Answer<'_, usize> {
        self.through(Operation::Sweep, "", self.inner.sweep(before), nothing)
    }
}

#[cfg(test)]
mod tests;
