//! EHLO and HELO (RFC 5321 section 4.1.1.1).

use crate::Delivery;
use crate::reply::Reply;
use crate::session::{Client, State};

impl<D: Delivery> State<D> {
    /// Also resets the transaction.
    pub(crate) fn hello(&mut self, name: String, extended: bool) -> Reply {
        self.transaction = None;
        let directory = self.delivery.directory();
        let host = self.hostname(directory.as_deref());
        self.client = Some(Client { name, extended });
        if !extended {
            return Reply::new(250, "", host);
        }
        let mut lines = vec![host.into(), "PIPELINING".into()];
        lines.push(format!("SIZE {}", self.max_message_size(directory.as_deref())).into());
        if self.can_tls && !self.secured {
            lines.push("STARTTLS".into());
        }
        lines.extend(["ENHANCEDSTATUSCODES", "8BITMIME", "SMTPUTF8", "CHUNKING"].map(Into::into));
        Reply::lines(250, lines)
    }
}
