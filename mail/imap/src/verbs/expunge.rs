//! EXPUNGE (RFC 3501 section 6.4.3) and UID EXPUNGE (RFC 4315).

use model::verbs::{Answer, Request};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::ImapError;
use crate::backend::Accounts;
use crate::parse::Sequence;
use crate::reply::{Reply, Stop};
use crate::session::Session;

impl<S: AsyncRead + AsyncWrite + Unpin + Send, A: Accounts> Session<S, A> {
    pub(crate) async fn expunge(&mut self, only: Option<Sequence>) -> Result<Reply, Stop> {
        let seq = self.next_seq()?;
        let folder = self.selected()?;
        if folder.read_only {
            return Ok(Reply::no("Mailbox is read-only").code("NOPERM"));
        }
        let view = folder.view();
        let only = only.map(|set| folder.resolve_leniently(&set, true));
        let ask = Request::Expunge { seq, view, only, silent: false };
        let Answer::Expunged(expunged) = self.ask(ask).await? else {
            return Err(ImapError::Answer("Expunge").into());
        };
        let folder = self.selected()?;
        folder.absorb(expunged.delta);
        folder.vanish(&expunged.uids);
        folder.since = folder.since.max(expunged.modseq);
        self.announce(true)?;
        Ok(Reply::ok("Expunge completed"))
    }
}
