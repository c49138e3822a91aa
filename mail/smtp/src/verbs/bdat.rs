//! BDAT (RFC 3030 section 2). Content is kept as sent, whatever its line ends; only NUL is refused.
//!
//! The octets of a chunk are read whatever the answer, so that they are never taken for commands.

use bytes::Buf;
use tokio::time::timeout;

use crate::body::Body;
use crate::data::Faults;
use crate::reply::{Reply, bad_sequence, too_big};
use crate::session::Session;
use crate::verbs::data;
use crate::{Delivery, SmtpError};

impl<D: Delivery> Session<D> {
    pub(crate) async fn bdat(&mut self, size: u64, last: bool) -> Result<Reply, SmtpError> {
        let limit = self.state.config.timeouts.content;
        timeout(limit, self.chunk(size, last)).await.map_err(|_| SmtpError::TimedOut)?
    }

    async fn chunk(&mut self, size: u64, last: bool) -> Result<Reply, SmtpError> {
        let directory = self.state.delivery.directory();
        let largest = self.state.max_message_size(directory.as_deref());
        if let Some(reply) = self.out_of_place() {
            return if size > largest { Ok(reply.closing()) } else { self.skip(size, reply).await };
        }
        let budget = self.state.config.budget.clone();
        let Some(transaction) = &mut self.state.transaction else { return Ok(bad_sequence("Give the sender first")) };
        let limit = transaction.limit;
        let mut body = transaction.chunks.take().unwrap_or_else(|| Body::new(limit, budget));
        if size > body.room() {
            transaction.broken = true;
            // Freed before its rest is waited for.
            drop(body);
            return if size > limit { Ok(too_big().closing()) } else { self.skip(size, too_big()).await };
        }
        let nul = self.read_chunk(size, &mut body).await?;
        let refusal = data::refusal(body.overflow(), Faults { bare: false, nul });
        let Some(mut transaction) = self.state.transaction.take() else { return Ok(bad_sequence("No transaction")) };
        if refusal.is_none() && last {
            return Ok(self.accept(transaction, body).await);
        }
        transaction.broken = refusal.is_some();
        transaction.chunks = Some(body).filter(|_| refusal.is_none());
        self.state.transaction = Some(transaction);
        Ok(refusal.unwrap_or_else(|| Reply::new(250, "2.0.0", format!("{size} octets received"))))
    }

    /// Why no chunk is wanted now.
    fn out_of_place(&self) -> Option<Reply> {
        match &self.state.transaction {
            None => Some(bad_sequence("Give sender and recipients first")),
            Some(transaction) if transaction.broken => Some(bad_sequence("A chunk was refused, say RSET")),
            Some(transaction) if transaction.recipients.is_empty() => Some(data::no_recipients()),
            Some(_) => None,
        }
    }

    async fn skip(&mut self, size: u64, reply: Reply) -> Result<Reply, SmtpError> {
        self.link.skip(size).await?;
        Ok(reply)
    }

    /// True if there was a NUL.
    async fn read_chunk(&mut self, mut size: u64, body: &mut Body) -> Result<bool, SmtpError> {
        let mut nul = false;
        while size > 0 {
            let input = self.link.content().await?;
            let now = size.min(input.len() as u64) as usize;
            nul |= memchr::memchr(0, &input[..now]).is_some();
            body.push(&input[..now]);
            input.advance(now);
            size -= now as u64;
        }
        Ok(nul)
    }
}
