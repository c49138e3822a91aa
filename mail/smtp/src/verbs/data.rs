//! DATA (RFC 5321 section 4.1.1.4).

use bytes::Buf;
use tokio::time::timeout;

use crate::body::{Body, Overflow};
use crate::data::{DataReader, Faults};
use crate::reply::{Reply, bad_sequence, too_big};
use crate::session::Session;
use crate::{Delivery, SmtpError};

impl<D: Delivery> Session<D> {
    pub(crate) async fn data(&mut self) -> Result<Reply, SmtpError> {
        let Some(transaction) = self.state.transaction.take() else {
            return Ok(bad_sequence("Give sender and recipients first"));
        };
        if transaction.chunks.is_some() || transaction.broken {
            self.state.transaction = Some(transaction);
            return Ok(bad_sequence("Content has begun with BDAT"));
        }
        if transaction.recipients.is_empty() {
            self.state.transaction = Some(transaction);
            return Ok(no_recipients());
        }
        let lockstep = !self.link.is_pipelined().await;
        self.link.reply(&Reply::new(354, "", "End with <CRLF>.<CRLF>")).await?;
        let body = Body::new(transaction.limit, self.state.config.budget.clone());
        let limit = self.state.config.timeouts.content;
        let (body, faults) = timeout(limit, self.read(body, lockstep)).await.map_err(|_| SmtpError::TimedOut)??;
        Ok(match refusal(body.overflow(), faults) {
            Some(reply) => reply,
            None => self.accept(transaction, body).await,
        })
    }

    async fn read(&mut self, mut body: Body, lockstep: bool) -> Result<(Body, Faults), SmtpError> {
        let mut reader = DataReader::new();
        loop {
            let input = self.link.content().await?;
            let (used, end) = reader.feed(input, |octets| body.push(octets));
            input.advance(used);
            if lockstep {
                self.settle(true);
            }
            if end {
                return Ok((body, reader.faults));
            }
        }
    }
}

/// All RCPTs of a pipeline failed (RFC 2920 section 3.1).
pub(super) fn no_recipients() -> Reply {
    Reply::new(554, "5.5.1", "No valid recipients")
}

/// Why content that was read to its end is not taken.
pub(super) fn refusal(overflow: Option<Overflow>, faults: Faults) -> Option<Reply> {
    match (overflow, faults) {
        (Some(Overflow::Size), _) => Some(too_big()),
        (_, Faults { nul: true, .. }) => Some(Reply::new(554, "5.6.0", "Message contains NUL")),
        (_, Faults { bare: true, .. }) => Some(Reply::new(554, "5.6.0", "Message contains a bare CR or LF")),
        (Some(Overflow::Memory), _) => Some(Reply::new(452, "4.3.1", "Out of memory, try again later")),
        (None, _) => None,
    }
}
