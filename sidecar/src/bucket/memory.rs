//! A bucket in memory, for tests.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use jiff::Timestamp;

use super::{Answer, Bucket, BucketError, Entry, Fencing, Kept, Object, PAGE, Page, Put, check_key};
use crate::format::Sha256;

/// A bucket in memory.
#[derive(Debug, Default)]
pub struct Memory {
    objects: Mutex<BTreeMap<String, Stored>>,
}

#[derive(Debug)]
struct Stored {
    bytes: Bytes,
    run: String,
    modified: Timestamp,
}

impl Memory {
    fn objects(&self) -> MutexGuard<'_, BTreeMap<String, Stored>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts bytes in place of an object's, as no bucket should: what a tampering owner of the bucket does. Answers what
    /// was there.
    pub fn tamper(&self, key: &str, bytes: Option<Bytes>) -> Option<Bytes> {
        let mut objects = self.objects();
        let old = objects.remove(key);
        if let Some(bytes) = bytes {
            let stored = Stored { bytes, run: String::new(), modified: Timestamp::now() };
            objects.insert(key.to_owned(), stored);
        }
        old.map(|stored| stored.bytes)
    }

    fn put(&self, key: &str, object: &Object) -> Result<Put, BucketError> {
        check_key(key)?;
        let bytes = object.read(&(0..object.size()))?;
        let have = Sha256::of(&bytes);
        if have != object.sha256 {
            return Err(BucketError::Changed { key: key.to_owned(), have, want: object.sha256 });
        }
        let mut objects = self.objects();
        if let Some(there) = objects.get(key) {
            let theirs = Sha256::of(&there.bytes);
            let run = Some(there.run.clone());
            return if theirs == have {
                Ok(Put::Same)
            } else {
                Err(BucketError::Conflict { key: key.to_owned(), theirs, run })
            };
        }
        let stored = Stored { bytes, run: object.run.clone(), modified: Timestamp::now() };
        objects.insert(key.to_owned(), stored);
        Ok(Put::Stored)
    }
}

impl Bucket for Memory {
    fn describe(&self) -> String {
        "memory".to_owned()
    }

    fn put_if_absent<'a>(&'a self, key: &'a str, object: &'a Object) -> Answer<'a, Put> {
        Box::pin(async move { self.put(key, object) })
    }

    fn get<'a>(&'a self, key: &'a str, range: Range<u64>) -> Answer<'a, Bytes> {
        Box::pin(async move {
            check_key(key)?;
            let objects = self.objects();
            let stored = objects.get(key).ok_or_else(|| BucketError::NotFound { key: key.to_owned() })?;
            let size = stored.bytes.len() as u64;
            let (start, end) = (range.start.min(size), range.end.min(size));
            Ok(stored.bytes.slice(start as usize..end.max(start) as usize))
        })
    }

    fn head<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Entry>> {
        Box::pin(async move {
            check_key(key)?;
            Ok(self.objects().get_key_value(key).map(entry))
        })
    }

    fn list<'a>(&'a self, prefix: &'a str, after: Option<&'a str>) -> Answer<'a, Page> {
        Box::pin(async move {
            let objects = self.objects();
            let start = match after.filter(|after| *after >= prefix) {
                Some(after) => Bound::Excluded(after),
                None => Bound::Included(prefix),
            };
            let range = objects.range::<str, _>((start, Bound::Unbounded));
            let mut found = range.take_while(|(key, _)| key.starts_with(prefix));
            let entries: Vec<Entry> = found.by_ref().take(PAGE).map(entry).collect();
            Ok(Page { entries, more: found.next().is_some() })
        })
    }

    fn delete<'a>(&'a self, keys: &'a [String]) -> Answer<'a, ()> {
        Box::pin(async move {
            keys.iter().try_for_each(|key| check_key(key))?;
            let mut objects = self.objects();
            for key in keys {
                objects.remove(key);
            }
            Ok(())
        })
    }

    fn forget<'a>(&'a self, _prefix: &'a str) -> Answer<'a, Kept> {
        // There is one version of everything.
        Box::pin(async { Ok(Kept::default()) })
    }

    fn fencing(&self) -> Answer<'_, Fencing> {
        Box::pin(async { Ok(Fencing::Strong) })
    }

    fn sweep(&self, _before: Timestamp) -> Answer<'_, usize> {
        Box::pin(async { Ok(0) })
    }
}

fn entry((key, stored): (&String, &Stored)) -> Entry {
    Entry { key: key.clone(), size: stored.bytes.len() as u64, modified: stored.modified }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn memory_is_a_bucket() {
        super::super::conformance::run(|| Box::new(Memory::default())).await;
    }
}
