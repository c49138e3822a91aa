//! The routes as this shard knows them: accepted from the operator, kept on disk, handed to every secondary.
//!
//! Rules of a push (a whole directory):
//! * It is for this server, and not older than what is here. The same generation again must say the same.
//! * **Absence never means removal**: each address known here is in it, as an entry or as a tombstone in `removed`; a
//!   tombstone stays until its grace time is over; each mailbox known here is in it, or in its bindings as purged.
//! * What is accepted is on disk before it is used or answered.
//! * Whether a mailbox of this shard is `keyed` is the shard's own knowledge and replaces what the push says.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use control::operator::Push;
use jiff::Timestamp;
use model::{Directory, MailboxId, ServerId, ShardId};
use store::{DirectoryFile, StoreError};
use tokio::sync::{Mutex, Notify, watch};
use tokio_util::sync::CancellationToken;

/// Why a push was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is for another MailServer.
    #[error("this shard belongs to server {0}")]
    OtherServer(ServerId),
    /// Something newer is here already.
    #[error("generation {pushed} is older than {known}, which this shard has")]
    Older {
        /// The generation pushed.
        pushed: String,
        /// The generation here.
        known: String,
    },
    /// The same generation says something else.
    #[error("generation {0} was pushed before with other contents")]
    Changed(String),
    /// A known name is missing and has no tombstone.
    #[error("{0} is missing and not removed: absence is not removal")]
    Absent(String),
}

/// Decides on a push; see the rules of this module.
pub fn check(known: Option<&Directory>, push: &Push, server: &ServerId, now: Timestamp) -> Result<(), Refusal> {
    let Push { directory: pushed, bindings } = push;
    if pushed.server != *server {
        return Err(Refusal::OtherServer(server.clone()));
    }
    let Some(known) = known else { return Ok(()) };
    let generation = pushed.generation.to_string();
    if pushed.generation < known.generation {
        return Err(Refusal::Older { pushed: generation, known: known.generation.to_string() });
    }
    if pushed.generation == known.generation && !is_same(known, pushed) {
        return Err(Refusal::Changed(generation));
    }
    let is_named = |address| pushed.entries.contains_key(address) || pushed.removed.contains_key(address);
    let entries = known.entries.keys();
    let graves = known.removed.iter().filter(|(_, until)| now < **until).map(|(address, _)| address);
    if let Some(missing) = entries.chain(graves).find(|address| !is_named(address)) {
        return Err(Refusal::Absent(missing.to_string()));
    }
    let is_known = |id| pushed.mailboxes.contains_key(id) || bindings.purged.contains_key(id);
    match known.mailboxes.keys().find(|id| !is_known(id)) {
        Some(missing) => Err(Refusal::Absent(format!("mailbox {missing}"))),
        None => Ok(()),
    }
}

/// Equal but for what shards say of their keys.
fn is_same(one: &Directory, other: &Directory) -> bool {
    let plain = |directory: &Directory| {
        let mut copy = directory.clone();
        copy.mailboxes.values_mut().for_each(|mailbox| mailbox.keyed = false);
        copy
    };
    plain(one) == plain(other)
}

/// The directory with this shard's own knowledge of which of its mailboxes have keys.
pub fn overlay(directory: &Directory, shard: ShardId, keyed: &BTreeSet<MailboxId>) -> Directory {
    let mut own = directory.clone();
    for (id, mailbox) in own.mailboxes.iter_mut().filter(|(_, mailbox)| mailbox.shard == shard) {
        mailbox.keyed = keyed.contains(id);
    }
    own
}

/// A push that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// By the rules.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The directory in force.
pub struct Routes {
    server: ServerId,
    shard: ShardId,
    file: Arc<DirectoryFile>,
    current: watch::Sender<Option<Arc<Directory>>>,
    /// One push or change of keys at a time.
    changing: Mutex<Keyed>,
    /// Keys have come that the directory does not show yet.
    behind: Notify,
}

/// Which mailboxes of this shard have keys.
struct Keyed {
    mailboxes: BTreeSet<MailboxId>,
    /// When the directory was last made anew for that.
    shown: Option<Instant>,
}

/// The directory is made anew, and sent whole to every secondary, at most so often for keys that come.
const SHOW_EVERY: Duration = Duration::from_millis(200);

impl Routes {
    /// The directory that was last accepted, if any. Blocking.
    pub fn load(
        server: ServerId,
        shard: ShardId,
        file: DirectoryFile,
        keyed: BTreeSet<MailboxId>,
    ) -> Result<Self, StoreError> {
        let stored = file.load()?.map(|(directory, _)| Arc::new(overlay(&directory, shard, &keyed)));
        let (current, _) = watch::channel(stored);
        Ok(Self {
            server,
            shard,
            file: Arc::new(file),
            current,
            changing: Mutex::new(Keyed { mailboxes: keyed, shown: None }),
            behind: Notify::new(),
        })
    }

    /// The directory now.
    pub fn current(&self) -> Option<Arc<Directory>> {
        self.current.borrow().clone()
    }

    /// Follows the directory.
    pub fn watch(&self) -> watch::Receiver<Option<Arc<Directory>>> {
        self.current.subscribe()
    }

    /// What was last pushed, as it is on disk.
    pub async fn pushed(&self) -> Result<Option<Push>, StoreError> {
        let file = self.file.clone();
        let read = tokio::task::spawn_blocking(move || file.load()).await.map_err(|_| StoreError::Stopped)??;
        Ok(read.map(|(directory, bindings)| Push { directory, bindings }))
    }

    /// True where what was last pushed has given a mailbox up for good.
    pub async fn has_given_up(&self, mailbox: MailboxId) -> Result<bool, StoreError> {
        let pushed = self.pushed().await?;
        Ok(pushed.is_some_and(|Push { directory, bindings }| {
            bindings.purged.contains_key(&mailbox) && !directory.mailboxes.contains_key(&mailbox)
        }))
    }

    /// Takes a push from the operator.
    pub async fn push(&self, push: Push, now: Timestamp) -> Result<(), PushError> {
        let keyed = self.changing.lock().await;
        check(self.current().as_deref(), &push, &self.server, now)?;
        let own = Arc::new(overlay(&push.directory, self.shard, &keyed.mailboxes));
        let (file, saved) = (self.file.clone(), own.clone());
        let written = tokio::task::spawn_blocking(move || file.save(&saved, &push.bindings)).await;
        written.map_err(|_| StoreError::Stopped)??;
        self.current.send_replace(Some(own));
        Ok(())
    }

    /// A mailbox of this shard has keys now. The directory shows it at once, or, where many come, soon.
    pub async fn keyed(&self, mailbox: MailboxId) {
        let mut keyed = self.changing.lock().await;
        if !keyed.mailboxes.insert(mailbox) {
            return;
        }
        if keyed.shown.is_some_and(|shown| shown.elapsed() < SHOW_EVERY) {
            self.behind.notify_one();
            return;
        }
        self.show(&mut keyed);
    }

    /// Shows keys that came too fast to be shown one by one, until `stop`.
    pub async fn follow_keys(&self, stop: &CancellationToken) {
        while stop.run_until_cancelled(self.behind.notified()).await.is_some() {
            tokio::time::sleep(SHOW_EVERY).await;
            self.show(&mut *self.changing.lock().await);
        }
    }

    fn show(&self, keyed: &mut Keyed) {
        keyed.shown = Some(Instant::now());
        if let Some(known) = self.current() {
            self.current.send_replace(Some(Arc::new(overlay(&known, self.shard, &keyed.mailboxes))));
        }
    }

    /// Which mailboxes of this shard have keys.
    pub async fn keyed_mailboxes(&self) -> BTreeSet<MailboxId> {
        self.changing.lock().await.mailboxes.clone()
    }
}

#[cfg(test)]
mod tests;
