//! COPY, UID COPY (RFC 3501 section 6.4.7, RFC 4315), MOVE and UID MOVE (RFC 6851).

use std::fmt::Write as _;
use std::io::Write as _;

use model::verbs::{Answer, Copied, Copy as Ask, Request};
use model::{Uid, UidSet};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::ImapError;
use crate::backend::Accounts;
use crate::parse::Sequence;
use crate::reply::{Reply, Stop};
use crate::session::Session;

impl<S: AsyncRead + AsyncWrite + Unpin + Send, A: Accounts> Session<S, A> {
    pub(crate) async fn copy(&mut self, uid: bool, set: &Sequence, target: &[u8], remove: bool) -> Result<Reply, Stop> {
        let target = super::folder_name(target)?;
        let seq = self.next_seq()?;
        let folder = self.selected()?;
        if remove && folder.read_only {
            return Ok(Reply::no("Mailbox is read-only").code("NOPERM"));
        }
        let Ok(wanted) = folder.resolve(set, uid) else { return Ok(Reply::bad("No such message")) };
        let uids = wanted.minus(folder.held());
        if uids.len() < wanted.len() && !uid {
            self.sync(true).await?;
            return Ok(Self::expunge_issued());
        }
        if uids.is_empty() {
            self.sync(true).await?;
            return Ok(Reply::ok("No messages found"));
        }
        let ask = Ask { seq, view: folder.view(), uids, target, remove };
        let Answer::Copied(copied) = self.ask(Request::Copy(ask)).await? else {
            return Err(ImapError::Answer("Copy").into());
        };
        let code = (!copied.from.is_empty())
            .then(|| format!("COPYUID {} {} {}", copied.uidvalidity, runs(&copied.from), runs(&copied.to)));
        self.take_copied(copied, remove)?;
        let reply = match (code, remove) {
            (None, _) => Self::expunge_issued(),
            (Some(code), false) => Reply::ok("Copy completed").code(code),
            (Some(code), true) => {
                // Before the EXPUNGEs, so that the client knows where the messages went (RFC 6851 section 4.3).
                let _ = write!(self.io.out, "* OK [{code}] Moved\r\n");
                Reply::ok("Move completed")
            }
        };
        self.announce(true)?;
        Ok(reply)
    }

    fn take_copied(&mut self, copied: Copied, remove: bool) -> Result<(), Stop> {
        let folder = self.selected()?;
        folder.absorb(copied.delta);
        if remove {
            folder.vanish(&copied.from.iter().copied().map(Uid).collect::<UidSet>());
        }
        folder.appear(&copied.appeared);
        folder.since = folder.since.max(copied.modseq);
        Ok(())
    }
}

/// As a UID set in the given order: both sides of COPYUID correspond one to one.
fn runs(uids: &[u32]) -> String {
    let mut text = String::new();
    let mut rest = uids;
    while let Some(&first) = rest.first() {
        let n = rest.iter().zip(first..).take_while(|(uid, next)| *uid == next).count().max(1);
        let comma = if text.is_empty() { "" } else { "," };
        let _ = match n {
            1 => write!(text, "{comma}{first}"),
            _ => write!(text, "{comma}{first}:{}", rest[n - 1]),
        };
        rest = &rest[n..];
    }
    text
}
