//! The end of the content, DATA's or BDAT's: last checks, delivery, one answer for all recipients.

use jiff::Timestamp;
use model::verbs::{Accepted, Code, Envelope, Failure, Recipient};
use model::{Class, TxId};
use tokio::time::timeout;

use crate::body::Body;
use crate::head::{self, Head};
use crate::reply::{Reply, too_big};
use crate::session::{Client, Session, Unsettled};
use crate::trace::Trace;
use crate::verbs::{To, Transaction};
use crate::{Delivery, Message};

/// `Received` fields beyond which mail is taken to run in circles.
const MAX_HOPS: usize = 50;

impl<D: Delivery> Session<D> {
    /// Delivers, and says how it went.
    pub(crate) async fn accept(&mut self, transaction: Transaction, body: Body) -> Reply {
        let mut bytes = [0; 16];
        if getrandom::fill(&mut bytes).is_err() {
            return Reply::new(451, "4.3.0", "No random numbers, try again later");
        }
        let txid = TxId(bytes);
        // The permit is held as long as the message is being delivered.
        let (chunks, _paid) = body.finish();
        let host = self.state.hostname(transaction.directory.as_deref());
        let Ok(head) = head::examine(chunks, &host) else {
            return Reply::new(554, "5.6.0", "Header section is too large");
        };
        if is_loop(&head, &transaction.recipients) {
            return Reply::new(554, "5.4.6", "Mail loop");
        }
        let message = self.message(txid, &transaction, head, &host);
        let (size, recipients) = (message.size, message.recipients.len());
        let mailboxes = message.recipients.iter().map(|recipient| recipient.mailbox).collect();
        let results = timeout(self.state.config.timeouts.delivery, self.state.delivery.deliver(message)).await;
        // Asked before the answer is queued: what is here already was not sent in answer to it.
        let pipelined = self.link.is_pipelined().await;
        if let Some(reply) = refusal(results.as_deref().unwrap_or_default(), recipients) {
            tracing::info!(%txid, size, recipients, code = reply.code, "message not taken");
            return reply;
        }
        tracing::info!(%txid, size, recipients, "message stored");
        self.commands = 0;
        self.unsettled = Some(Unsettled { txid, mailboxes, pipelined });
        Reply::new(250, "2.0.0", format!("Ok: queued as {txid}"))
    }

    fn message(&self, txid: TxId, transaction: &Transaction, head: Head, host: &str) -> Message {
        let state = &self.state;
        let client = state.client.clone().unwrap_or(Client { name: "unknown".into(), extended: false });
        let received = Timestamp::now();
        let trace = Trace {
            helo: &client.name,
            peer: state.peer,
            host,
            extended: client.extended,
            secured: state.secured,
            utf8: transaction.utf8,
            txid,
            time: received,
            mail_from: transaction.from.text(),
        };
        let recipients = recipients(&transaction.recipients, &trace);
        let mail_from = transaction.from.text().to_owned();
        let size = head.body.iter().map(|chunk| chunk.len() as u64).sum();
        let envelope = Envelope { mail_from, helo: client.name.clone(), peer: state.peer, received };
        Message { txid, envelope, recipients, body: head.body, size }
    }
}

/// One for each mailbox: who is reached by two addresses gets the message once, for the first.
fn recipients(to: &[To], trace: &Trace<'_>) -> Vec<Recipient> {
    let mut seen = std::collections::HashSet::new();
    let mut recipients = Vec::new();
    for To { text, address, mailboxes } in to {
        let block = trace.block(text, &address.to_string());
        for mailbox in mailboxes.iter().filter(|mailbox| seen.insert(**mailbox)) {
            recipients.push(Recipient { mailbox: *mailbox, rcpt_to: text.clone(), trace: block.clone() });
        }
    }
    recipients
}

fn is_loop(head: &Head, recipients: &[To]) -> bool {
    let delivered = |to: &To| head.delivered_to.contains(&to.address);
    head.received > MAX_HOPS || recipients.iter().any(delivered)
}

/// None if all are stored. A temporary failure of one is one of all: those stored are protected from the retry by their
/// fingerprints. A permanent one is reported at once, since no retry could mend it.
fn refusal(results: &[Accepted], expected: usize) -> Option<Reply> {
    let later = || Reply::new(451, "4.3.0", "Cannot store the message at the moment, try again later");
    if results.len() != expected {
        return Some(later());
    }
    let failures = results.iter().filter_map(|result| match result {
        Accepted::Failed(failure) => Some(failure),
        Accepted::Stored | Accepted::Duplicate => None,
    });
    let (permanent, temporary): (Vec<_>, Vec<_>) = failures.partition(|failure| is_permanent(failure));
    if temporary.is_empty() {
        return permanent.first().map(|failure| match failure.code {
            Code::TooBig => too_big(),
            Code::BadMessage => Reply::new(554, "5.6.0", "Message cannot be stored as it is"),
            _ => Reply::new(554, "5.3.0", "Message refused"),
        });
    }
    // What says most is said, where all fail for want of room: a full disk hides whether there would be quota.
    let codes = temporary.iter().map(|failure| failure.code);
    match codes.reduce(|all, code| if code == all { all } else { less(all, code) }) {
        Some(Code::OverQuota) => Some(Reply::new(452, "4.2.2", "Mailbox is full")),
        Some(Code::NoSpace) => Some(Reply::new(452, "4.3.1", "Insufficient system storage, try again later")),
        _ => Some(later()),
    }
}

/// The one reason for two different ones.
fn less(one: Code, other: Code) -> Code {
    let is_room = |code| matches!(code, Code::OverQuota | Code::NoSpace);
    if is_room(one) && is_room(other) { Code::NoSpace } else { Code::Unavailable }
}

/// Only the message itself can be at fault for good. A mailbox that its shard does not know is a matter of time or of a
/// person, never of the sender.
fn is_permanent(failure: &Failure) -> bool {
    let about_the_message = matches!(failure.code, Code::TooBig | Code::BadMessage | Code::Cannot | Code::None);
    failure.class == Class::Invalid && about_the_message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(results: &[Accepted]) -> Option<u16> {
        refusal(results, 2).map(|reply| reply.code)
    }

    fn failed(code: Code) -> Accepted {
        Accepted::Failed(Failure::new(code, "x"))
    }

    #[test]
    fn one_answer_speaks_for_all() {
        use Accepted::{Duplicate, Stored};
        assert_eq!(code(&[Stored, Duplicate]), None);
        assert_eq!(code(&[Stored, failed(Code::Unavailable)]), Some(451));
        assert_eq!(code(&[Stored, failed(Code::OverQuota)]), Some(452));
        assert_eq!(code(&[failed(Code::Unavailable), failed(Code::OverQuota)]), Some(451));
        assert_eq!(code(&[failed(Code::NoSpace), failed(Code::OverQuota)]), Some(452));
        assert_eq!(code(&[failed(Code::NoSpace), failed(Code::Unavailable)]), Some(451));
        let text = |code| {
            let mut out = String::new();
            refusal(&[failed(code), Stored], 2).unwrap().write(&mut out);
            out
        };
        assert!(text(Code::NoSpace).starts_with("452 4.3.1 ") && text(Code::OverQuota).starts_with("452 4.2.2 "));
        assert_eq!(code(&[failed(Code::TooBig), failed(Code::OverQuota)]), Some(452));
        assert_eq!(code(&[failed(Code::TooBig), failed(Code::TooBig)]), Some(552));
        assert_eq!(code(&[failed(Code::BadMessage), Stored]), Some(554));
        assert_eq!(code(&[failed(Code::ServerBug), Stored]), Some(451));
        assert_eq!(code(&[failed(Code::NonExistent), failed(Code::NoPerm)]), Some(451), "absence is never removal");
        assert_eq!(code(&[Stored]), Some(451), "a result is missing");
    }
}
