//! A mailbox in a temporary folder, and the verbs in short words.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use crypto::Dek;
use model::verbs::*;
use model::{DeliveryId, FolderId, MailboxId, ModSeq, SessionId, TxId, Uid, UidSet};
use store::{Body, Delivery, Layout, Limits, Mailbox, Mailboxes, Room};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

pub const KEY: [u8; 32] = [42; 32];

pub struct Fixture {
    pub folder: TempDir,
    pub mailboxes: Mailboxes,
    pub mailbox: Arc<Mailbox>,
    _chores: Option<AbortOnDropHandle<()>>,
}

/// One login, with its counter of requests.
#[derive(Clone)]
pub struct Session {
    pub mailbox: Arc<Mailbox>,
    pub id: SessionId,
    pub seq: Arc<AtomicU64>,
}

pub fn id() -> MailboxId {
    MailboxId::from_random([3; 17])
}

pub fn dek() -> Dek {
    Dek::from_bytes(&KEY)
}

pub fn patient() -> Limits {
    Limits { close_after: Duration::from_mins(10), forget_after: Duration::from_mins(10), ..Limits::default() }
}

pub async fn fixture() -> Fixture {
    with_limits(patient(), false).await
}

pub async fn with_limits(limits: Limits, chores: bool) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let mailboxes = Mailboxes::new(Layout::new(folder.path()), limits);
    let ours = mailboxes.clone();
    let running =
        chores.then(|| AbortOnDropHandle::new(tokio::spawn(async move { ours.run(CancellationToken::new()).await })));
    let mailbox = mailboxes.attach(id(), dek()).await.unwrap();
    Fixture { folder, mailboxes, mailbox, _chores: running }
}

/// Runs the future, or fails: no test waits for ever.
pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("in time")
}

/// Asks again until it is true, or fails.
pub async fn eventually(mut is: impl AsyncFnMut() -> bool) {
    soon(async {
        while !is().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

impl Fixture {
    pub fn session(&self, n: u8) -> Session {
        Session::new(self.mailbox.clone(), n)
    }

    pub fn path(&self) -> PathBuf {
        Layout::new(self.folder.path()).mailbox(id())
    }

    /// Looks into the file.
    pub fn sql(&self, sql: &str) -> i64 {
        let connection = rusqlite::Connection::open(self.path()).unwrap();
        sys::sqlite::key(&connection, &KEY).unwrap();
        sys::sqlite::no_checkpoint_on_close(&connection).unwrap();
        connection.query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

pub fn delivery(n: u8, body: &str) -> Delivery {
    Delivery {
        id: DeliveryId([n; 16]),
        txid: TxId([n; 16]),
        fp: None,
        settled: false,
        began: "2024-05-01T10:00:00Z".parse().unwrap(),
        received: "2024-05-01T10:00:00Z".parse().unwrap(),
        trace: Bytes::from_static(b"Return-Path: <x@example.org>\r\n"),
        body: Bytes::copy_from_slice(body.as_bytes()),
        room: Room::Beside(0),
        until: None,
    }
}

pub fn uids(text: &str) -> UidSet {
    text.parse().unwrap()
}

pub fn all() -> UidSet {
    UidSet::range(Uid(1), Uid(u32::MAX - 1))
}

pub fn view(selected: &Selected) -> View {
    View {
        folder: selected.folder,
        since: selected.modseq,
        uidnext: selected.uidnext,
        keywords: selected.keywords.0.len() as u32,
    }
}

pub fn moved_on(view: &View, delta: &Delta) -> View {
    View { since: delta.modseq, uidnext: delta.uidnext, ..*view }
}

pub fn section(path: &[u32], part: Part) -> Section {
    Section { path: path.to_vec(), part, partial: None }
}

impl Session {
    pub fn new(mailbox: Arc<Mailbox>, n: u8) -> Self {
        Self { mailbox, id: SessionId([n; 16]), seq: Arc::default() }
    }

    pub fn next(&self) -> u64 {
        self.seq.fetch_add(1, Ordering::Relaxed)
    }

    pub async fn ask(&self, request: Request) -> Result<Answer, Failure> {
        soon(self.mailbox.request(self.id, request)).await
    }

    pub async fn select(&self, name: &str) -> Selected {
        match self.ask(Request::Select { name: name.into(), read_only: false }).await.unwrap() {
            Answer::Selected(selected) => selected,
            other => panic!("{other:?}"),
        }
    }

    pub async fn sync(&self, view: &View) -> Delta {
        match self.ask(Request::Sync(*view)).await.unwrap() {
            Answer::Synced(delta) => delta,
            other => panic!("{other:?}"),
        }
    }

    pub fn appending(&self, folder: &str, flags: &[&str], bytes: impl Into<Bytes>) -> (Append, Body) {
        let bytes = bytes.into();
        let append = Append {
            seq: self.next(),
            folder: folder.into(),
            flags: flags.iter().map(|f| (*f).to_owned()).collect(),
            internal_date: Some("2024-05-06T07:08:09Z".parse().unwrap()),
            size: bytes.len() as u64,
            view: None,
        };
        (append, Body::Whole(bytes))
    }

    pub async fn append(&self, folder: &str, bytes: impl Into<Bytes>) -> Result<Appended, Failure> {
        let (append, body) = self.appending(folder, &[], bytes);
        soon(self.mailbox.append(self.id, append, body)).await
    }

    pub async fn change(&self, change: FolderChange) -> Result<Answer, Failure> {
        self.ask(Request::FolderChange { seq: self.next(), change }).await
    }

    pub async fn create(&self, name: &str) -> Result<Answer, Failure> {
        self.change(FolderChange::Create { name: name.into(), special: None }).await
    }

    pub async fn rename(&self, from: &str, to: &str) -> Result<Answer, Failure> {
        self.change(FolderChange::Rename { from: from.into(), to: to.into() }).await
    }

    pub async fn delete(&self, name: &str) -> Result<Answer, Failure> {
        self.change(FolderChange::Delete { name: name.into() }).await
    }

    pub async fn list(&self, query: FolderQuery) -> Vec<FolderRow> {
        match self.ask(Request::Folders(query)).await.unwrap() {
            Answer::Folders(rows) => rows,
            other => panic!("{other:?}"),
        }
    }

    pub async fn names(&self, pattern: &str) -> Vec<String> {
        let query = FolderQuery { patterns: vec![Pattern(pattern.into())], ..FolderQuery::default() };
        self.list(query).await.into_iter().map(|row| row.name).collect()
    }

    pub async fn store(&self, view: &View, set: &str, mode: StoreMode, flags: &[&str]) -> Stored {
        let flags = flags.iter().map(|f| (*f).to_owned()).collect();
        let store = Store { seq: self.next(), view: *view, uids: uids(set), mode, flags, unchanged_since: None };
        match self.ask(Request::Store(store)).await.unwrap() {
            Answer::Stored(stored) => stored,
            other => panic!("{other:?}"),
        }
    }

    pub async fn copy(&self, view: &View, set: &str, target: &str, remove: bool) -> Result<Copied, Failure> {
        let copy = Copy { seq: self.next(), view: *view, uids: uids(set), target: target.into(), remove };
        self.ask(Request::Copy(copy)).await.map(|answer| match answer {
            Answer::Copied(copied) => copied,
            other => panic!("{other:?}"),
        })
    }

    pub async fn expunge(&self, view: &View, only: Option<&str>) -> Expunged {
        let request = Request::Expunge { seq: self.next(), view: *view, only: only.map(uids), silent: false };
        match self.ask(request).await.unwrap() {
            Answer::Expunged(expunged) => expunged,
            other => panic!("{other:?}"),
        }
    }

    pub async fn search(&self, view: &View, key: SearchKey) -> UidSet {
        match self.ask(Request::Search(Search { view: *view, key, recent: UidSet::new() })).await.unwrap() {
            Answer::Found(found) => found.uids,
            other => panic!("{other:?}"),
        }
    }

    pub async fn quota(&self) -> QuotaUse {
        match self.ask(Request::Quota).await.unwrap() {
            Answer::Quota(quota) => quota,
            other => panic!("{other:?}"),
        }
    }

    pub async fn fetch(&self, fetch: Fetch) -> Vec<FetchEvent> {
        let (sink, mut events) = mpsc::channel(4);
        let (mailbox, id) = (self.mailbox.clone(), self.id);
        let running = tokio::spawn(async move { mailbox.fetch(id, fetch, sink).await });
        let mut all = Vec::new();
        soon(async {
            while let Some(event) = events.recv().await {
                all.push(event);
            }
        })
        .await;
        running.await.unwrap().unwrap();
        all
    }

    /// Each message's one section, with large ones put together.
    pub async fn sections(&self, view: &View, section: Section) -> Vec<(u32, Option<Vec<u8>>)> {
        let mut found: Vec<(u32, Option<Vec<u8>>)> = Vec::new();
        for event in self.fetch(fetching(view, vec![section])).await {
            match event {
                FetchEvent::Head { .. } => {}
                FetchEvent::Rows(rows) => {
                    for (uid, data) in rows.uids.iter().zip(rows.sections) {
                        found.push((
                            *uid,
                            match data {
                                SectionData::Nil => None,
                                SectionData::Inline(bytes) => Some(bytes.to_vec()),
                                SectionData::Large(_) => Some(Vec::new()),
                            },
                        ));
                    }
                }
                FetchEvent::Data(bytes) => found.last_mut().unwrap().1.as_mut().unwrap().extend_from_slice(&bytes),
            }
        }
        found
    }

    pub async fn bodies(&self, folder: &str) -> Vec<Vec<u8>> {
        let view = view(&self.select(folder).await);
        self.sections(&view, section(&[], Part::All)).await.into_iter().map(|(_, body)| body.unwrap()).collect()
    }
}

/// A FETCH of all messages.
pub fn fetching(view: &View, sections: Vec<Section>) -> Fetch {
    Fetch { view: *view, uids: all(), items: FetchItems::default(), sections, changed_since: None, mark_seen: false }
}

/// A view that knows nothing.
pub fn blank(folder: FolderId) -> View {
    View { folder, since: ModSeq(0), uidnext: Uid(1), keywords: 0 }
}
