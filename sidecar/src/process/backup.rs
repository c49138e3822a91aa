//! A backup that was asked for: a snapshot now, before all that are due by schedule.
//!
//! Nothing of it is the run's own: whoever is cancelled, or asks twice, leaves a snapshot more.

use model::MailboxId;
use model::backup::ArchiveId;
use tokio::sync::oneshot;

use super::board::Failure;
use super::run::Sidecar;
use super::runs::{Broken, Desk, Outcome, Ticket};
use super::turn::Snapped;

/// One backup.
pub struct Backup {
    pub mailbox: MailboxId,
    pub desk: Desk,
}

/// Who waits for a snapshot.
pub struct Asker {
    /// Of which mailbox.
    pub mailbox: MailboxId,
    /// What has come of it, and where it is.
    pub back: oneshot::Sender<Result<(ArchiveId, Snapped), Failure>>,
    /// False while one that had begun before is being made.
    pub begun: bool,
}

impl Backup {
    /// Asks for it, and waits.
    pub async fn carry_out(&self, ticket: &Ticket) -> Result<Outcome, Broken> {
        ticket.tell("shipping what is not archived yet");
        if let Some(held) = ticket.unless_stopped(self.desk.turn(self.mailbox)).await? {
            Box::pin(held.end()).await;
        }
        ticket.tell("waiting for the snapshot");
        let (archive, snapped) =
            ticket.unless_stopped(self.desk.snapshot(self.mailbox)).await?.map_err(Broken::Failed)?;
        let archive = Some(archive.to_string());
        Ok(match snapped {
            Snapped::Made(record) => Outcome {
                message: format!("{} messages, {} bytes", record.messages, record.size),
                archive,
                reached_commit: Some(record.commit),
                reached_time: Some(record.time),
                replaced: None,
            },
            Snapped::Unchanged => {
                let message = "nothing has changed since the last snapshot".to_owned();
                Outcome { message, archive, ..Outcome::default() }
            }
            Snapped::Based(_) | Snapped::Lost => {
                let message = "its owner is not here, so no snapshot can be checked: everything is archived, and the snapshot is \
                               made when the owner comes";
                Outcome { message: message.to_owned(), archive, ..Outcome::default() }
            }
        })
    }
}

impl Sidecar {
    /// Somebody asks for a snapshot now.
    pub fn ask_snapshot(&mut self, mailbox: MailboxId, back: oneshot::Sender<Result<(ArchiveId, Snapped), Failure>>) {
        if self.shipper_of(mailbox).is_none() {
            let message = "no backup policy holds for this mailbox: name one in the Mailbox or the MailServer";
            // Whoever does not wait any more needs no answer.
            let _ = back.send(Err(Failure { reason: "NotSupported", message: message.to_owned() }));
            return;
        }
        self.askers.push(Asker { mailbox, back, begun: false });
        self.snapshots.ask(mailbox);
    }

    /// A snapshot is begun: it is for all who have asked by now.
    pub fn begin_asked(&mut self, mailbox: MailboxId) {
        self.askers.retain(|asker| !asker.back.is_closed());
        for asker in self.askers.iter_mut().filter(|asker| asker.mailbox == mailbox) {
            asker.begun = true;
        }
    }

    /// This came of it.
    pub fn answer_asked(&mut self, mailbox: MailboxId, result: &Result<(ArchiveId, Snapped), Failure>) {
        let for_them = |asker: &mut Asker| asker.mailbox == mailbox && asker.begun;
        for asker in self.askers.extract_if(.., for_them) {
            let _ = asker.back.send(result.clone());
        }
    }
}
