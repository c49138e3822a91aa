//! Fences: mailboxes whose files stay closed until the directory says otherwise, so that a person can repair them.
//!
//! * Whoever needs files of a mailbox asks [`Shard::usable`] first; what was let in just before a fence finds the store shut.
//!   `keys.json` is not open at any time, and not read for logins.
//! * A fence is closed ([`Fences`]) once this process has none of the mailbox's databases open. Until then it is only wanted.
//! * Sessions are taken away without a word to their clients, whose next command is refused; once the fence is gone, it brings
//!   the session back, like after a restart of this process.
//! * After a fence nothing is taken for granted that was known of the files: they may have been replaced.
//!
//! What a crash leaves: nothing. The directory on disk has the fence, and whoever starts asks it before anything is opened.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{Directory, MailboxId};

use crate::shard::Shard;

/// The fences that are closed.
#[derive(Default)]
pub struct Fences(Mutex<BTreeSet<MailboxId>>);

impl Fences {
    /// All of them.
    pub fn all(&self) -> BTreeSet<MailboxId> {
        self.closed().clone()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.closed().len()
    }

    fn closed(&self) -> MutexGuard<'_, BTreeSet<MailboxId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes and opens what every new directory says, until the shard stops. Apart from whoever hands directories on: closing
/// waits for what is being written.
pub async fn follow(shard: Arc<Shard>) {
    let mut routes = shard.routes.watch();
    loop {
        let directory = routes.borrow_and_update().clone();
        if let Some(directory) = directory {
            apply(&shard, &directory).await;
        }
        tokio::select! {
            changed = routes.changed() => if changed.is_err() { return },
            () = shard.stop.cancelled() => return,
        }
    }
}

async fn apply(shard: &Arc<Shard>, directory: &Directory) {
    let own = directory.mailboxes.iter().filter(|(_, entry)| entry.shard == shard.id && entry.fenced);
    let wanted: BTreeSet<MailboxId> = own.map(|(id, _)| *id).collect();
    let closed = shard.fences.all();
    for id in closed.difference(&wanted) {
        open(shard, *id).await;
    }
    for id in wanted.difference(&closed) {
        close(shard, *id).await;
    }
}

async fn close(shard: &Arc<Shard>, id: MailboxId) {
    let evicted = shard.sessions().evict(id, None);
    shard.end(evicted.into_iter().map(|(ended, _)| ended));
    shard.mailboxes.shut_down(id).await;
    if let Err(error) = shard.spools.of(id).shut_down().await {
        tracing::warn!(mailbox = %id, %error, "a fence is not closed yet");
        return;
    }
    shard.fences.closed().insert(id);
    tracing::info!(mailbox = %id, "fenced: its files are closed");
}

async fn open(shard: &Arc<Shard>, id: MailboxId) {
    shard.keysets.forget(id);
    // Its numbers may mean something else.
    shard.archive.forget(id);
    if let Err(error) = shard.mailboxes.await_check(id).await {
        tracing::warn!(mailbox = %id, %error, "it is not known whether a mailbox was restored");
    }
    shard.spools.of(id).reopen();
    shard.mailboxes.reopen(id);
    shard.fences.closed().remove(&id);
    tracing::info!(mailbox = %id, "the fence is gone");
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use jiff::Timestamp;
    use model::SessionId;
    use model::verbs::Code;
    use wire::LinkId;

    use super::*;
    use crate::testing::Volume;
    use crate::wire_service::attach;

    const LINK: LinkId = LinkId([1; 16]);

    async fn fence(volume: &Volume, shard: &Arc<Shard>, fenced: bool) {
        let mut directory = (*shard.routes.current().unwrap()).clone();
        directory.generation.seq += 1;
        directory.mailboxes.get_mut(&volume.ann).unwrap().fenced = fenced;
        let push = control::operator::Push { directory, bindings: model::Bindings::default() };
        shard.routes.push(push, Timestamp::now()).await.unwrap();
    }

    async fn until(what: &str, holds: impl Fn() -> bool) {
        let start = Instant::now();
        while !holds() {
            assert!(start.elapsed() < Duration::from_secs(10), "never happened: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Databases in that folder that this process has open.
    fn open_files(volume: &Volume, shard: &Shard) -> Vec<String> {
        let folder = shard.layout.mailbox(volume.ann).parent().unwrap().canonicalize().unwrap();
        let all = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        let names = all.filter_map(|fd| std::fs::read_link(fd.path()).ok()).filter(|path| path.starts_with(&folder));
        names.map(|path| path.display().to_string()).collect()
    }

    #[tokio::test]
    async fn a_fence_closes_the_files_and_what_comes_is_refused_until_it_is_gone() {
        let volume = Volume::new();
        let shard = volume.open().await;
        shard.tasks.spawn(follow(shard.clone()));
        let request = volume.attach(&shard, SessionId([2; 16]));
        attach(&shard, LINK, request).await.unwrap();
        assert!(!open_files(&volume, &shard).is_empty());

        fence(&volume, &shard, true).await;
        until("the fence closes", || shard.fences.all().contains(&volume.ann)).await;
        assert_eq!(open_files(&volume, &shard), Vec::<String>::new());
        assert_eq!(shard.sessions().count(), 0);
        let refused = attach(&shard, LINK, volume.attach(&shard, SessionId([2; 16]))).await.unwrap_err();
        assert_eq!(refused.code, Code::Unavailable);
        assert_eq!(shard.receiver(volume.ann).unwrap_err().code, Code::Unavailable);
        // Past the gate, as what came just before the fence.
        let state = shard.spools.of(volume.ann).state().await;
        assert!(matches!(state, Err(store::StoreError::Fenced)), "{state:?}");
        assert_eq!(open_files(&volume, &shard), Vec::<String>::new());

        fence(&volume, &shard, false).await;
        until("the fence is gone", || !shard.fences.all().contains(&volume.ann)).await;
        attach(&shard, LINK, volume.attach(&shard, SessionId([3; 16]))).await.unwrap();
        shard.spools.of(volume.ann).state().await.unwrap();
        volume.close(shard).await;
    }

    #[tokio::test]
    async fn a_fence_outlives_the_process() {
        let volume = Volume::new();
        let shard = volume.open().await;
        fence(&volume, &shard, true).await;
        volume.close(shard).await;
        let shard = volume.open().await;
        let refused = attach(&shard, LINK, volume.attach(&shard, SessionId([2; 16]))).await.unwrap_err();
        assert_eq!(refused.code, Code::Unavailable, "before anybody follows the directory");
        shard.tasks.spawn(follow(shard.clone()));
        until("the fence closes", || shard.fences.all().contains(&volume.ann)).await;
        volume.close(shard).await;
    }
}
