//! A shard: what every request to a primary works on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crypto::HandoverKey;
use model::verbs::{Code, Failure};
use model::{BootId, MailboxEntry, MailboxId, MailboxState, ServerId, ShardId, Term};
use store::{Archive, Layout, Mailbox, Mailboxes, Spools, StoreError};
use tokio::sync::{Mutex as AsyncMutex, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wire::LinkId;
use zeroize::Zeroizing;

use crate::config::Tuning;
use crate::control::SeenSpools;
use crate::delivery::Lanes;
use crate::directory::Routes;
use crate::fences::Fences;
use crate::guesses::Guesses;
use crate::keysets::Keysets;
use crate::sessions::{Ended, Sessions};
use crate::sidecar::{Holds, Wanted};
use crate::space::Floor;
use crate::wire_service::Link;

/// Everything of one shard. Shared by all connections and tasks.
pub struct Shard {
    /// Whose.
    pub server: ServerId,
    /// Which.
    pub id: ShardId,
    /// Under which ownership.
    pub term: Term,
    /// This start of the process.
    pub boot: BootId,
    /// When that was.
    pub started: Instant,
    /// What DEKs are sealed to.
    pub handover: HandoverKey,
    /// Names deliveries and fingerprints.
    pub shard_key: Zeroizing<[u8; 32]>,
    /// Limits.
    pub tuning: Tuning,
    /// Paths of the volume.
    pub layout: Layout,
    /// Open mailboxes.
    pub mailboxes: Mailboxes,
    /// Sealed mail.
    pub spools: Spools,
    /// What whoever archives the volume is told, and has said.
    pub archive: Arc<Archive>,
    /// The volume's own identity.
    pub volume: String,
    /// Mailboxes whose files stay closed.
    pub fences: Fences,
    /// Databases that the sidecar holds.
    pub holds: Holds,
    /// One snapshot at a time.
    pub snapshots: Arc<Semaphore>,
    /// One restored mailbox takes its place, or one is purged, at a time.
    pub adopting: AsyncMutex<()>,
    /// What is wanted of the sidecar, and what it says of itself.
    pub wanted: Wanted,
    /// `keys.json` of each.
    pub keysets: Keysets,
    /// The directory.
    pub routes: Routes,
    /// What control requests have seen of them.
    pub seen_spools: SeenSpools,
    /// Free space.
    pub floor: Floor,
    /// Drains.
    pub lanes: Lanes,
    /// Octets of mail held in memory at a time, in KiB.
    pub memory: Arc<Semaphore>,
    /// Everything that runs for the shard.
    pub tasks: TaskTracker,
    /// The shard stops.
    pub stop: CancellationToken,
    pub(crate) guesses: Mutex<Guesses>,
    pub(crate) sessions: Mutex<Sessions<Arc<Mailbox>>>,
    pub(crate) links: Mutex<HashMap<LinkId, Arc<Link>>>,
}

impl Shard {
    /// The sessions, for a moment: never across an await.
    pub fn sessions(&self) -> MutexGuard<'_, Sessions<Arc<Mailbox>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Failed logins, for a moment.
    pub(crate) fn guesses(&self) -> MutexGuard<'_, Guesses> {
        self.guesses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connected secondaries, for a moment.
    pub(crate) fn links(&self) -> MutexGuard<'_, HashMap<LinkId, Arc<Link>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store of a mailbox that has a session.
    pub fn attached(&self, mailbox: MailboxId) -> Option<Arc<Mailbox>> {
        self.sessions().open(mailbox).map(|open| open.mailbox.clone())
    }

    /// What the directory says of a mailbox of this shard.
    pub fn entry(&self, mailbox: MailboxId) -> Result<MailboxEntry, Failure> {
        let directory = self.routes.current().ok_or_else(|| Failure::unavailable("this shard has no directory yet"))?;
        let entry = directory.mailboxes.get(&mailbox);
        let entry = entry.ok_or_else(|| Failure::unavailable("this shard does not know that mailbox"))?;
        if entry.shard != self.id {
            return Err(Failure::new(Code::WrongShard, format!("shard {} owns that mailbox", entry.shard)));
        }
        Ok(entry.clone())
    }

    /// The same for whoever needs its files: refused while it is fenced.
    pub fn usable(&self, mailbox: MailboxId) -> Result<MailboxEntry, Failure> {
        let entry = self.entry(mailbox)?;
        if entry.fenced { Err(StoreError::Fenced.into_failure()) } else { Ok(entry) }
    }

    /// The same for mail: refused where the mailbox takes none now.
    pub fn receiver(&self, mailbox: MailboxId) -> Result<MailboxEntry, Failure> {
        let entry = self.usable(mailbox)?;
        match entry.state {
            MailboxState::Active | MailboxState::ReadOnly => Ok(entry),
            MailboxState::Suspended | MailboxState::Retained => {
                Err(Failure::unavailable("the mailbox takes no mail now"))
            }
        }
    }

    /// Room in memory for a message of that size, for as long as the permit is held.
    pub async fn reserve(&self, size: u64) -> Result<OwnedSemaphorePermit, Failure> {
        if size > self.tuning.max_message_size {
            return Err(Failure::new(Code::TooBig, "the message is too large"));
        }
        let permits = u32::try_from(size.div_ceil(1024)).unwrap_or(u32::MAX);
        let room = self.memory.clone().acquire_many_owned(permits);
        match tokio::time::timeout(Duration::from_secs(10), room).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(Failure::unavailable("too much mail at a time")),
        }
    }

    /// Cleans up after sessions. The store closes a mailbox and wipes its key soon after nobody holds it; what it holds
    /// is remembered for quota.
    pub fn end(self: &Arc<Self>, ended: impl IntoIterator<Item = Ended<Arc<Mailbox>>>) {
        for Ended { session, id, mailbox, last } in ended {
            mailbox.end_session(session);
            if last {
                let shard = self.clone();
                self.tasks.spawn(async move { shard.remember_usage(id, &mailbox).await });
            }
        }
    }

    /// Keeps what a mailbox holds in its spool, for quota while it is locked.
    pub async fn remember_usage(&self, id: MailboxId, mailbox: &Mailbox) {
        let Ok(used) = mailbox.quota().await else { return };
        match self.spools.of(id).set_usage(used.bytes, used.messages).await {
            // The next session's end notes it.
            Ok(()) | Err(StoreError::Fenced | StoreError::Purged) => {}
            Err(error) => tracing::warn!(mailbox = %id, %error, "the use of a mailbox could not be noted"),
        }
    }
}
