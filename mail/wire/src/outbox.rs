//! What waits to be written to a socket, and the one task that writes it.
//!
//! Two ways in. The *queue* is bounded, in messages and in octets, and makes its callers wait: answers and bodies. The
//! *urgent* part never waits, as each of its kinds is bounded by something else: credit and cancels by the streams, a pong by
//! being one, hints by coalescing per mailbox, the directory by replacing its predecessor. Urgent messages overtake the queue.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use model::verbs::Hint;
use model::{Directory, MailboxId};
use tokio::io::AsyncWrite;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::WireError;
use crate::codec::encode;
use crate::limits::{FAREWELL, MAX_DIRECTORY, MAX_HINT_FOLDERS, MAX_REPLY, QUEUE, QUEUE_BYTES, QUIET};
use crate::proto::ToSecondary;
use crate::socket::MessageWriter;

/// Shorter messages (pings) say nothing that had to be overwritten.
const WORDLESS: usize = 16;

/// Where messages for a socket are put.
#[derive(Debug, Clone)]
pub struct Outbox {
    queue: mpsc::Sender<Queued>,
    /// Octets that may still be queued.
    room: Arc<Semaphore>,
    urgent: Arc<Urgent>,
}

/// Takes them out and writes them.
#[derive(Debug)]
pub struct Writer {
    queue: mpsc::Receiver<Queued>,
    urgent: Arc<Urgent>,
    /// Something was written since the peer's buffers were last overwritten.
    words: bool,
}

/// A message and the room that it takes until it is written.
#[derive(Debug)]
struct Queued {
    message: Bytes,
    _room: OwnedSemaphorePermit,
}

#[derive(Debug, Default)]
struct Urgent {
    backlog: Mutex<Backlog>,
    ready: Notify,
}

#[derive(Debug, Default)]
struct Backlog {
    messages: Vec<Bytes>,
    pong: Option<Bytes>,
    changed: BTreeMap<MailboxId, Hint>,
    directory: Option<Arc<Directory>>,
}

/// Both ends for one socket.
pub fn outbox() -> (Outbox, Writer) {
    let (sender, queue) = mpsc::channel(QUEUE);
    let (room, urgent) = (Arc::new(Semaphore::new(QUEUE_BYTES)), Arc::new(Urgent::default()));
    (Outbox { queue: sender, room, urgent: urgent.clone() }, Writer { queue, urgent, words: false })
}

impl Outbox {
    /// Waits for room in the queue; an error once the socket is gone.
    pub async fn send(&self, message: Bytes) -> Result<(), WireError> {
        // One that is larger than all the room there is goes when nothing else waits.
        let octets = message.len().min(QUEUE_BYTES) as u32;
        let room = self.room.clone().acquire_many_owned(octets).await.map_err(|_| WireError::Closed)?;
        self.queue.send(Queued { message, _room: room }).await.map_err(|_| WireError::Closed)
    }

    /// Credit, cancels, key queries and their answers.
    pub fn urgent(&self, message: Bytes) {
        self.put(|backlog| backlog.messages.push(message));
    }

    /// The answer to any number of pings.
    pub fn pong(&self, message: Bytes) {
        self.put(|backlog| backlog.pong = Some(message));
    }

    /// A hint, merged with one that waits already.
    pub fn changed(&self, mailbox: MailboxId, hint: Hint) {
        self.put(|backlog| match backlog.changed.get_mut(&mailbox) {
            Some(waiting) => merge(waiting, hint),
            None => drop(backlog.changed.insert(mailbox, hint)),
        });
    }

    /// The directory, in place of one that waits already.
    pub fn directory(&self, directory: Arc<Directory>) {
        self.put(|backlog| backlog.directory = Some(directory));
    }

    fn put(&self, change: impl FnOnce(&mut Backlog)) {
        change(&mut self.urgent.backlog.lock().unwrap_or_else(PoisonError::into_inner));
        self.urgent.ready.notify_one();
    }
}

/// Both hints in one. No folders means any folder, and any stays any.
fn merge(waiting: &mut Hint, hint: Hint) {
    waiting.modseq = waiting.modseq.max(hint.modseq);
    if waiting.folders.is_empty() || hint.folders.is_empty() {
        waiting.folders.clear();
        return;
    }
    for folder in hint.folders {
        if !waiting.folders.contains(&folder) {
            waiting.folders.push(folder);
        }
    }
    if waiting.folders.len() > MAX_HINT_FOLDERS {
        waiting.folders.clear();
    }
}

impl Writer {
    /// Writes until the socket breaks, every [`Outbox`] is gone, or `stop`: then what must not wait is still said. What
    /// waits is written together and flushed once.
    pub async fn run<W>(mut self, mut socket: MessageWriter<W>, stop: CancellationToken) -> Result<(), WireError>
    where
        W: AsyncWrite + Unpin,
    {
        let ended = stop.run_until_cancelled(self.write_all(&mut socket)).await;
        if let Some(ended) = ended {
            return ended;
        }
        if !socket.is_whole() {
            return Ok(());
        }
        // A peer that does not read will notice by itself.
        let farewell = tokio::time::timeout(FAREWELL, self.write_urgent(&mut socket));
        farewell.await.unwrap_or(Ok(()))
    }

    async fn write_all<W: AsyncWrite + Unpin>(&mut self, socket: &mut MessageWriter<W>) -> Result<(), WireError> {
        let mut batch = Vec::with_capacity(QUEUE);
        loop {
            tokio::select! {
                () = self.urgent.ready.notified() => {}
                taken = self.queue.recv_many(&mut batch, QUEUE) => if taken == 0 {
                    return Ok(());
                },
                () = quiet(), if self.words => {
                    socket.scrub().await?;
                    self.words = false;
                    continue;
                }
            }
            files::fault::point("wire.write.before");
            self.put_urgent(socket).await?;
            for queued in batch.drain(..) {
                self.words |= queued.message.len() > WORDLESS;
                socket.feed(queued.message).await?;
            }
            socket.flush().await?;
            files::fault::point("wire.write.after");
        }
    }

    async fn write_urgent<W: AsyncWrite + Unpin>(&mut self, socket: &mut MessageWriter<W>) -> Result<(), WireError> {
        self.put_urgent(socket).await?;
        socket.flush().await
    }

    async fn put_urgent<W: AsyncWrite + Unpin>(&mut self, socket: &mut MessageWriter<W>) -> Result<(), WireError> {
        for message in self.urgent.take()? {
            self.words |= message.len() > WORDLESS;
            socket.feed(message).await?;
        }
        Ok(())
    }
}

/// Nothing was written for a while. Pings come in between and begin it anew, so it is shorter than their distance.
async fn quiet() {
    tokio::time::sleep(QUIET).await;
}

impl Urgent {
    fn take(&self) -> Result<Vec<Bytes>, WireError> {
        let backlog = std::mem::take(&mut *self.backlog.lock().unwrap_or_else(PoisonError::into_inner));
        let mut messages = backlog.messages;
        messages.extend(backlog.pong);
        if let Some(directory) = backlog.directory {
            messages.push(encode(&ToSecondary::Directory(directory), MAX_DIRECTORY)?);
        }
        for (mailbox, hint) in backlog.changed {
            messages.push(encode(&ToSecondary::Changed { mailbox, hint }, MAX_REPLY)?);
        }
        Ok(messages)
    }
}

#[cfg(test)]
mod tests {
    use super::merge;
    use crate::limits::MAX_HINT_FOLDERS;
    use model::verbs::Hint;
    use model::{FolderId, ModSeq};

    fn hint(modseq: u64, folders: &[i64]) -> Hint {
        Hint { modseq: ModSeq(modseq), folders: folders.iter().map(|&id| FolderId(id)).collect() }
    }

    #[test]
    fn hints_of_a_mailbox_become_one() {
        let mut waiting = hint(5, &[1]);
        merge(&mut waiting, hint(4, &[2, 1]));
        assert_eq!(waiting, hint(5, &[1, 2]));
        merge(&mut waiting, hint(9, &[]));
        assert_eq!(waiting, hint(9, &[]));
        merge(&mut waiting, hint(10, &[3]));
        assert_eq!(waiting, hint(10, &[]), "any folder stays any");
    }

    #[test]
    fn a_hint_of_too_many_folders_means_any() {
        let mut waiting = hint(1, &[0]);
        let many: Vec<i64> = (1..=MAX_HINT_FOLDERS as i64).collect();
        merge(&mut waiting, hint(2, &many));
        assert_eq!(waiting, hint(2, &[]));
    }
}
