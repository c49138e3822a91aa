//! What a mailbox remembers while its key is here, and never writes down.

use std::collections::HashMap;

use model::{FolderId, SessionId, Uid};
use tokio::sync::oneshot;

/// `\Recent`, selections, and the order of appends.
#[derive(Default)]
pub(crate) struct Memory {
    /// Messages from here on were announced to no session that takes `\Recent`.
    recent: HashMap<FolderId, Uid>,
    /// The folder a session has selected for reading and writing.
    selected: HashMap<SessionId, FolderId>,
    /// Ends when the last append of a session so far has been queued.
    turns: HashMap<SessionId, oneshot::Receiver<()>>,
}

/// An append's place in the order of its session.
pub(crate) struct Turn {
    before: Option<oneshot::Receiver<()>>,
    /// Dropping it lets the next one go on.
    _done: oneshot::Sender<()>,
}

impl Turn {
    /// Waits until the append before has been queued, or has failed.
    pub async fn wait(&mut self) {
        if let Some(before) = self.before.take() {
            let _ = before.await;
        }
    }
}

impl Memory {
    /// With what is in the folders when the key comes.
    pub fn new(recent: HashMap<FolderId, Uid>) -> Self {
        Self { recent, ..Self::default() }
    }

    /// The next place in a session's order.
    pub fn turn(&mut self, session: SessionId) -> Turn {
        let (done, next) = oneshot::channel();
        Turn { before: self.turns.insert(session, next), _done: done }
    }

    /// Where `\Recent` begins in a folder.
    pub fn recent_from(&self, folder: FolderId) -> Uid {
        self.recent.get(&folder).copied().unwrap_or(Uid(1))
    }

    /// SELECT takes `\Recent`, EXAMINE does not. Answers where it begins.
    pub fn select(&mut self, session: SessionId, folder: FolderId, uidnext: Uid, read_only: bool) -> Uid {
        let from = self.recent_from(folder);
        if read_only {
            self.selected.remove(&session);
        } else {
            self.selected.insert(session, folder);
            self.take_recent(folder, uidnext);
        }
        from
    }

    /// The session learned of everything below `uidnext`.
    pub fn announced(&mut self, session: SessionId, folder: FolderId, uidnext: Uid) {
        if self.selected.get(&session) == Some(&folder) {
            self.take_recent(folder, uidnext);
        }
    }

    /// Forgets a session.
    pub fn end(&mut self, session: SessionId) {
        self.selected.remove(&session);
        self.turns.remove(&session);
    }

    fn take_recent(&mut self, folder: FolderId, uidnext: Uid) {
        let known = self.recent.entry(folder).or_insert(Uid(1));
        *known = uidnext.max(*known);
    }
}
