//! Mailbox verbs of attached sessions, passed through to the store.

use std::sync::Arc;
use std::time::Instant;

use model::verbs::{Answer, Append, Appended, Code, Failure, Fetch, FetchEvent, Request, Resume};
use model::{MailboxId, SessionId};
use store::{Body, Mailbox};
use tokio::sync::mpsc;
use wire::{BodyReader, FetchSender, LinkId};

use crate::shard::Shard;

/// Events between the store and the link: enough to keep both busy, and little memory.
const AHEAD: usize = 4;

fn mailbox(shard: &Shard, link: LinkId, session: SessionId) -> Result<(MailboxId, Arc<Mailbox>), Failure> {
    let found = shard.sessions().mailbox(session, link, Instant::now());
    found.ok_or_else(|| Failure::new(Code::NotAttached, "the session is not attached"))
}

/// A command with a small answer. What shows INBOX waits for mail that is being drained.
pub async fn request(shard: &Shard, link: LinkId, session: SessionId, request: Request) -> Result<Answer, Failure> {
    let (id, mailbox) = mailbox(shard, link, session)?;
    if shows_inbox(&request) {
        shard.lanes.drained(id).await;
    }
    mailbox.request(session, request).await
}

fn shows_inbox(request: &Request) -> bool {
    match request {
        Request::Select { name, .. } => name == "INBOX",
        Request::Folders(query) => query.status && query.patterns.iter().any(|pattern| pattern.matches("INBOX")),
        _ => false,
    }
}

/// FETCH.
pub async fn fetch(
    shard: &Shard,
    link: LinkId,
    session: SessionId,
    fetch: Fetch,
    out: FetchSender,
) -> Result<(), Failure> {
    let (_, mailbox) = mailbox(shard, link, session)?;
    let (events, rows) = mpsc::channel(AHEAD);
    pump(mailbox.fetch(session, fetch, events), rows, out).await
}

/// FETCH, continued.
pub async fn resume(
    shard: &Shard,
    link: LinkId,
    session: SessionId,
    resume: Resume,
    out: FetchSender,
) -> Result<(), Failure> {
    let (_, mailbox) = mailbox(shard, link, session)?;
    let (events, rows) = mpsc::channel(AHEAD);
    pump(mailbox.resume(resume, events), rows, out).await
}

/// Moves events from the store to the link as fast as the link takes them.
async fn pump(
    work: impl Future<Output = Result<(), Failure>>,
    mut events: mpsc::Receiver<FetchEvent>,
    mut out: FetchSender,
) -> Result<(), Failure> {
    // Dropped with its receiver as soon as the link fails, which ends the work too.
    let forward = async move {
        while let Some(event) = events.recv().await {
            out.send(event).await?;
        }
        Ok(())
    };
    let (worked, forwarded) = tokio::join!(work, forward);
    forwarded.and(worked)
}

/// APPEND. Messages of one session are placed in the order in which they come here.
pub async fn append(
    shard: &Shard,
    link: LinkId,
    session: SessionId,
    append: Append,
    body: BodyReader,
) -> Result<Appended, Failure> {
    let (_, mailbox) = mailbox(shard, link, session)?;
    shard.floor.admit(append.size)?;
    let (sender, pieces) = mpsc::channel(AHEAD);
    let appending = mailbox.append(session, append, Body::Stream(pieces));
    let (appended, complete) = tokio::join!(appending, feed_body(body, sender));
    // Where the message was not complete, that is the reason that counts.
    match complete {
        Err(failure) if appended.is_err() => Err(failure),
        _ => appended,
    }
}

async fn feed_body(mut body: BodyReader, sender: mpsc::Sender<bytes::Bytes>) -> Result<(), Failure> {
    while let Some(piece) = body.next().await {
        if sender.send(piece?).await.is_err() {
            // The store has made up its mind before the end; the wire throws the rest away.
            return Ok(());
        }
    }
    Ok(())
}
