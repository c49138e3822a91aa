//! MAIL (RFC 5321 section 4.1.1.2).

use crate::Delivery;
use crate::command::MailParams;
use crate::path::Path;
use crate::reply::{Reply, bad_sequence, too_big};
use crate::session::State;
use crate::verbs::Transaction;

impl<D: Delivery> State<D> {
    pub(crate) fn mail(&mut self, from: Path, params: &MailParams) -> Reply {
        if self.client.is_none() {
            return bad_sequence("Say EHLO first");
        }
        if self.transaction.is_some() {
            return bad_sequence("Sender already given");
        }
        if !params.utf8 && !from.text().is_ascii() {
            return not_ascii();
        }
        let limit = self.max_message_size(self.delivery.directory().as_deref());
        if params.size.is_some_and(|size| size > limit) {
            return too_big();
        }
        self.transaction = Some(Transaction {
            from,
            utf8: params.utf8,
            recipients: Vec::new(),
            limit,
            directory: None,
            chunks: None,
            broken: false,
        });
        Reply::new(250, "2.1.0", "Sender ok")
    }
}

/// RFC 6531 section 3.5.
pub(super) fn not_ascii() -> Reply {
    Reply::new(553, "5.6.7", "Such an address needs SMTPUTF8")
}
