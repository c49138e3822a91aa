//! An open mailbox: what sessions and deliveries ask, each on a bounded blocking pool.
//!
//! Invariants:
//! * One writing connection; writes queue and share commits (`writer`). Reads have connections of their own.
//! * The key is kept, shielded, as long as a [`Mailbox`] is held; the files close when nobody has asked for a while.
//! * `\Recent` and what sessions have selected are in memory only and start anew with the key.

mod core;
mod memory;

use std::future::Future;
use std::sync::Arc;

use model::verbs::{Answer, Append, Appended, Failure, Fetch, FetchEvent, Hint, QuotaUse, Request, Resume};
use model::{MailboxId, SessionId, TxId};
use tokio::sync::{broadcast, mpsc};

use crate::append::{self, Body};
use crate::state::quota;
use crate::writer::Durability;
use crate::{Delivered, Delivery, StoreError, copy, deliver, delta, expunge, fetch, flags, folders, search, select};

pub(crate) use core::{Core, FEW, ROWS, Shared};
pub(crate) use memory::{Memory, Turn};

/// One open mailbox. Its key stays in memory while any clone of the `Arc` it comes in is held.
pub struct Mailbox {
    core: Arc<Core>,
}

impl Mailbox {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Which mailbox.
    pub fn id(&self) -> MailboxId {
        self.core.id
    }

    /// One command with a small answer.
    pub async fn request(&self, session: SessionId, request: Request) -> Result<Answer, Failure> {
        self.dispatch(session, request).await.map_err(|error| self.failure(error))
    }

    /// Answers FETCH into `sink`. A receiver that is dropped ends it.
    pub async fn fetch(&self, session: SessionId, fetch: Fetch, sink: mpsc::Sender<FetchEvent>) -> Result<(), Failure> {
        fetch::fetch(&self.core, session, fetch, &sink).await.map_err(|error| self.failure(error))
    }

    /// Goes on inside a large section: events of `Data` only.
    pub async fn resume(&self, resume: Resume, sink: mpsc::Sender<FetchEvent>) -> Result<(), Failure> {
        fetch::resume(&self.core, resume, &sink).await.map_err(|error| self.failure(error))
    }

    /// Adds a message. Messages of one session are placed in the order of calls of this function (not of polls), while
    /// their preparation overlaps and their commits are shared.
    pub fn append(
        &self,
        session: SessionId,
        append: Append,
        body: Body,
    ) -> impl Future<Output = Result<Appended, Failure>> + Send + 'static {
        let core = self.core.clone();
        let turn = core.memory().turn(session);
        async move {
            let appended = append::append(&core, session, append, body, turn).await;
            appended.map_err(|error| core.failure(error))
        }
    }

    /// Adds several messages to one folder in one transaction (MULTIAPPEND, RFC 3502): all or none. All have the folder of
    /// the first, and the answers the `seq` and view of the first.
    pub async fn append_many(
        &self,
        session: SessionId,
        messages: Vec<(Append, Body)>,
    ) -> Result<Vec<Appended>, Failure> {
        let turn = self.core.memory().turn(session);
        append::append_many(&self.core, session, messages, turn).await.map_err(|error| self.failure(error))
    }

    /// Puts a message into INBOX, exactly once.
    pub async fn deliver(&self, delivery: Delivery) -> Result<Delivered, Failure> {
        deliver::deliver(&self.core, delivery).await.map_err(|error| self.failure(error))
    }

    /// Puts messages into INBOX in their order, in one commit; each has its own answer.
    pub async fn deliver_many(&self, deliveries: Vec<Delivery>) -> Vec<Result<Delivered, Failure>> {
        let results = deliver::deliver_many(&self.core, deliveries).await;
        results.into_iter().map(|result| result.map_err(|error| self.failure(error))).collect()
    }

    /// The senders of these transactions know that we have their mail: an equal message is a new one from now on.
    ///
    /// Not synced by itself. A power cut may undo it; then one byte-identical repeat within a week, Message-ID and all, is
    /// taken for a retry, although the message is here. That is less than an fsync per message is worth.
    pub async fn settle(&self, transactions: Vec<TxId>) -> Result<(), Failure> {
        let work = move |tx: &mut crate::state::WriteTx<'_>| deliver::settle(tx, &transactions);
        self.core.write(Durability::Lazy, work).await.map_err(|error| self.failure(error))
    }

    /// The commit number: no lower than that of anything that was answered.
    pub fn commits(&self) -> u64 {
        self.core.commits()
    }

    /// Use and limit.
    pub async fn quota(&self) -> Result<QuotaUse, Failure> {
        let policy = self.core.policy();
        self.core.read(move |c| quota(c, policy)).await.map_err(|error| self.failure(error))
    }

    /// Sets the limit in octets, and whether clients may change anything.
    pub fn set_policy(&self, limit: Option<u64>, read_only: bool) {
        self.core.set_policy(limit, read_only);
    }

    /// So many octets of accepted mail wait for this mailbox: what clients add has to leave room for them.
    pub fn reserve(&self, octets: u64) {
        self.core.reserve(octets);
    }

    /// Hints of what changed from now on. A receiver that lags has missed some: any folder may have changed.
    pub fn hints(&self) -> broadcast::Receiver<Hint> {
        self.core.hints()
    }

    /// Forgets what a session had selected.
    pub fn end_session(&self, session: SessionId) {
        self.core.memory().end(session);
    }

    async fn dispatch(&self, session: SessionId, request: Request) -> Result<Answer, StoreError> {
        let core = &self.core;
        Ok(match request {
            Request::Folders(query) => Answer::Folders(folders::list(core, query).await?),
            Request::FolderChange { seq, change } => folders::change(core, session, seq, change).await?,
            Request::Select { name, read_only } => {
                Answer::Selected(select::select(core, session, name, read_only).await?)
            }
            Request::Sync(view) => Answer::Synced(delta::sync(core, session, view).await?),
            Request::Store(store) => flags::store(core, session, store).await?,
            Request::Copy(copy) => copy::copy(core, session, copy).await?,
            Request::Expunge { seq, view, only, silent } => {
                expunge::expunge(core, session, seq, view, only, silent).await?
            }
            Request::Search(search) => Answer::Found(search::search(core, session, search).await?),
            Request::Quota => {
                let policy = core.policy();
                Answer::Quota(core.read(move |c| quota(c, policy)).await?)
            }
        })
    }

    fn failure(&self, error: StoreError) -> Failure {
        self.core.failure(error)
    }
}
