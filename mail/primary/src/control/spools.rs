//! What spools hold, for those who ask every second: a spool is opened only where its files have changed since.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use model::MailboxId;
use store::{SpoolState, StoreError};

use crate::shard::Shard;

/// A file that was changed less than this before it was looked at may change again within the same tick of its clock.
const SETTLED: Duration = Duration::from_secs(1);

/// What was seen of spools.
#[derive(Default)]
pub struct SeenSpools {
    /// What does not change unless the files do, which were like that before.
    settled: Mutex<HashMap<MailboxId, (Stamp, SpoolState)>>,
    /// All of it, at the last look.
    last: Mutex<HashMap<MailboxId, SpoolState>>,
}

/// Size and time of a spool and of its WAL; none where there is no such file, or an empty one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp([Option<(u64, SystemTime)>; 2]);

impl Stamp {
    fn of(spool: &Path) -> Self {
        let look = |path: &Path| {
            let found = std::fs::metadata(path).ok().filter(|found| found.len() > 0)?;
            Some((found.len(), found.modified().ok()?))
        };
        let mut wal = spool.as_os_str().to_owned();
        wal.push("-wal");
        Self([look(spool), look(Path::new(&wal))])
    }

    /// True where a later change shows in another stamp.
    fn is_settled(&self, now: SystemTime) -> bool {
        let age = |(_, changed): &(u64, SystemTime)| now.duration_since(*changed).unwrap_or_default();
        self.0.iter().flatten().all(|file| age(file) >= SETTLED)
    }
}

impl SeenSpools {
    /// What each of these spools holds; one that cannot be read is an error of its own. One that is fenced (the second word)
    /// stays closed, and holds what was seen last.
    pub async fn look(
        &self,
        shard: &Shard,
        mailboxes: impl Iterator<Item = (MailboxId, bool)>,
    ) -> Result<HashMap<MailboxId, Result<SpoolState, StoreError>>, StoreError> {
        let (fenced, open): (Vec<_>, Vec<_>) = mailboxes.partition(|(_, fenced)| *fenced);
        let paths: Vec<(MailboxId, PathBuf)> = open.into_iter().map(|(id, _)| (id, shard.layout.spool(id))).collect();
        let stamps = move || paths.into_iter().map(|(id, path)| (id, Stamp::of(&path))).collect::<Vec<_>>();
        let stamps = tokio::task::spawn_blocking(stamps).await.map_err(|_| StoreError::Stopped)?;
        let now = SystemTime::now();
        let mut found = HashMap::with_capacity(stamps.len() + fenced.len());
        found.extend(fenced.into_iter().map(|(id, _)| (id, Ok(self.last().get(&id).copied().unwrap_or_default()))));
        for (id, stamp) in stamps {
            if let Some(state) = self.known(id, stamp) {
                found.insert(id, Ok(state));
                continue;
            }
            let state = shard.spools.of(id).state().await;
            if let Ok(state) = &state
                && stamp.is_settled(now)
            {
                self.seen().insert(id, (stamp, *state));
            }
            found.insert(id, state);
        }
        *self.last() = found.iter().filter_map(|(id, state)| Some((*id, *state.as_ref().ok()?))).collect();
        Ok(found)
    }

    fn known(&self, id: MailboxId, stamp: Stamp) -> Option<SpoolState> {
        self.seen().get(&id).filter(|(known, _)| *known == stamp).map(|(_, state)| *state)
    }

    /// Messages that waited, and that were set aside, at the last look.
    pub fn totals(&self) -> (u64, u64) {
        self.last().values().fold((0, 0), |(waiting, aside), state| (waiting + state.waiting, aside + state.aside))
    }

    fn last(&self) -> std::sync::MutexGuard<'_, HashMap<MailboxId, SpoolState>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, HashMap<MailboxId, (Stamp, SpoolState)>> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use jiff::Timestamp;
    use model::{DeliveryId, TxId};
    use store::NewWaiting;

    use super::*;
    use crate::testing::Volume;

    #[test]
    fn a_stamp_follows_both_files_and_counts_only_once_it_has_settled() {
        let folder = tempfile::tempdir().unwrap();
        let (spool, wal) = (folder.path().join("spool.sqlite"), folder.path().join("spool.sqlite-wal"));
        let none = Stamp::of(&spool);
        assert!(none.is_settled(SystemTime::now()));
        std::fs::write(&spool, b"pages").unwrap();
        let written = Stamp::of(&spool);
        assert!(written != none && !written.is_settled(SystemTime::now()));
        assert!(written.is_settled(SystemTime::now() + 2 * SETTLED));
        // As an opening leaves it: nothing has changed.
        std::fs::write(&wal, b"").unwrap();
        assert_eq!(Stamp::of(&spool), written);
        std::fs::write(&wal, b"frame").unwrap();
        assert_ne!(Stamp::of(&spool), written);
    }

    #[tokio::test]
    async fn a_spool_is_opened_again_only_after_a_change() {
        let volume = Volume::new();
        let shard = volume.open().await;
        let ann = volume.ann;
        let look = async || {
            shard.seen_spools.look(&shard, [(ann, false)].into_iter()).await.unwrap()[&ann].as_ref().unwrap().waiting
        };
        let is_known = || shard.seen_spools.known(ann, Stamp::of(&shard.layout.spool(ann))).is_some();
        assert_eq!(look().await, 0);
        assert!(is_known(), "there is no file");
        for n in 1..=2 {
            shard.spools.of(ann).insert(waiting(n)).await.unwrap();
            assert!(!is_known());
            assert_eq!(look().await, u64::from(n));
            assert!(!is_known(), "it may change within the same tick");
            let spool = shard.layout.spool(ann);
            for path in [spool.clone(), spool.with_file_name("spool.sqlite-wal")] {
                let file = std::fs::File::options().write(true).open(path).unwrap();
                file.set_modified(SystemTime::now() - Duration::from_secs(60 - u64::from(n))).unwrap();
            }
            assert_eq!(look().await, u64::from(n));
            assert!(is_known());
        }
        volume.close(shard).await;
    }

    fn waiting(n: u8) -> NewWaiting {
        NewWaiting {
            delivery: DeliveryId([n; 16]),
            txid: TxId([n; 16]),
            fp: None,
            began: Timestamp::now(),
            size: 1,
            at: Timestamp::now(),
            sealed: Bytes::from_static(b"sealed"),
            limit: None,
            until: None,
        }
    }
}
