//! What runs ask of the loop. A mailbox has one turn at a time, so whoever replaces its files, or needs to know where its archive
//! stands, has its turn meanwhile.

use model::MailboxId;
use model::backup::ArchiveId;
use tokio::sync::{mpsc, oneshot};

use super::super::board::Failure;
use super::super::turn::{Done, Ended, Snapped, Turn};
use crate::ship::ShipError;

/// What is asked, and what comes back.
pub enum Request {
    /// The next turn of a mailbox.
    Turn(Wish),
    /// A turn is over.
    Back(Box<Ended>),
    /// A snapshot of a mailbox, now.
    Snapshot(MailboxId, oneshot::Sender<Result<(ArchiveId, Snapped), Failure>>),
    /// An answer when nobody works on a mailbox any more, and nobody will. It is to be purged.
    Quiet(MailboxId, oneshot::Sender<()>),
    /// An answer when the primary was told of everything that is archived by now.
    Flush(oneshot::Sender<()>),
}

/// Who waits for a turn.
pub struct Wish {
    /// Of which mailbox.
    pub mailbox: MailboxId,
    /// None where it has none: nobody archives it, or its archive is not ours to write.
    pub back: oneshot::Sender<Option<Held>>,
}

/// Where runs ask. A run asks for one thing at a time, so no more requests wait than there are runs.
#[derive(Debug, Clone)]
pub struct Desk(mpsc::UnboundedSender<Request>);

impl Desk {
    /// A desk, and where its requests come out.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<Request>) {
        let (ask, asked) = mpsc::unbounded_channel();
        (Self(ask), asked)
    }

    /// Waits for the turn of a mailbox.
    pub async fn turn(&self, mailbox: MailboxId) -> Option<Held> {
        let (back, answer) = oneshot::channel();
        self.ask(Request::Turn(Wish { mailbox, back }));
        answer.await.ok().flatten()
    }

    /// Waits for a snapshot that begins after this.
    pub async fn snapshot(&self, mailbox: MailboxId) -> Result<(ArchiveId, Snapped), Failure> {
        let (back, answer) = oneshot::channel();
        self.ask(Request::Snapshot(mailbox, back));
        let gone =
            || Failure { reason: "Failed", message: "there is no such mailbox on this shard any more".to_owned() };
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Waits until nobody works on a mailbox that is to be purged.
    pub async fn quiet(&self, mailbox: MailboxId) {
        let (back, answer) = oneshot::channel();
        self.ask(Request::Quiet(mailbox, back));
        // Nobody answers at the end of the process.
        let _ = answer.await;
    }

    /// Waits until the primary was told of everything that is archived by now, or is away.
    pub async fn flush(&self) {
        let (back, answer) = oneshot::channel();
        self.ask(Request::Flush(back));
        // Nobody answers at the end of the process.
        let _ = answer.await;
    }

    /// For the loop: lends a turn.
    pub fn lend(&self, turn: Turn) -> Held {
        Held { mailbox: turn.mailbox, turn: Some(turn), shipped: Done::default(), ended: None, desk: self.clone() }
    }

    fn ask(&self, request: Request) {
        // The loop is gone only at the end of the process.
        let _ = self.0.send(request);
    }
}

/// A mailbox's turn, on loan: nobody else ships it. It goes back when this is dropped.
pub struct Held {
    mailbox: MailboxId,
    turn: Option<Turn>,
    shipped: Done,
    ended: Option<Box<Ended>>,
    desk: Desk,
}

impl Held {
    /// Ships what there is, and keeps the turn.
    pub async fn ship(&mut self) -> Result<(), ShipError> {
        let Some(turn) = &mut self.turn else { return Ok(()) };
        let done = turn.work().await?;
        self.shipped.join(done);
        Ok(())
    }

    /// Ships what there is, and gives the turn back.
    pub async fn end(mut self) {
        if let Some(turn) = self.turn.take() {
            self.ended = Some(Box::new(turn.take().await));
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut ended = self.ended.take().unwrap_or_else(|| {
            // Nobody knows how far it came: the next turn looks.
            let result = Ok(Done { more: true, ..Done::default() });
            let (mailbox, forgotten) = (self.mailbox, Vec::new());
            Box::new(Ended { mailbox, state: None, forgotten, unnumbered: false, result })
        });
        if let Ok(done) = &mut ended.result {
            done.join(std::mem::take(&mut self.shipped));
        }
        self.desk.ask(Request::Back(ended));
    }
}
