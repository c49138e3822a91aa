//! IDLE (RFC 2177): what others do is told as soon as the mailbox hints at it.

use std::time::Duration;

use model::Class;
use model::verbs::{Answer, Request};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::ImapError;
use crate::backend::{Accounts, Mailbox};
use crate::frame::Frame;
use crate::reply::{Reply, Stop};
use crate::session::{Event, Session};

/// After a sync that failed for a passing reason, the next one waits this long.
const PAUSE: Duration = Duration::from_secs(1);

impl<S: AsyncRead + AsyncWrite + Unpin + Send, A: Accounts> Session<S, A> {
    pub(crate) async fn idle(&mut self) -> Result<Reply, Stop> {
        self.io.out.extend_from_slice(b"+ idling\r\n");
        let mut behind = true;
        loop {
            if behind {
                behind = !self.sync_in_idle().await?;
            }
            match self.io.frame() {
                Frame::Command(line) if line.eq_ignore_ascii_case(b"DONE") => return Ok(Reply::ok("Idle completed")),
                Frame::Command(_) | Frame::Literal(_) => {
                    self.io.framer().reset();
                    return Ok(Reply::bad("Expected DONE"));
                }
                Frame::TooLong => return Err(Stop::Bye("Expected DONE".to_owned())),
                Frame::More => {}
            }
            // Not inside the timeout: output must not be cut off half way.
            self.io.flush().await?;
            let event = if behind {
                match tokio::time::timeout(PAUSE, self.wait(false)).await {
                    Ok(event) => event?,
                    Err(_) => continue,
                }
            } else {
                self.wait(true).await?
            };
            behind |= matches!(event, Event::Hint) && self.is_news();
        }
    }

    /// False where the hint speaks of what this session knows, which is mostly its own doing.
    fn is_news(&self) -> bool {
        let (Some(login), Some(folder)) = (&self.login, &self.folder) else { return false };
        login.hints.borrow().modseq.is_none_or(|modseq| modseq > folder.since)
    }

    /// False if the mailbox is away for now: the client need not hear of that.
    async fn sync_in_idle(&mut self) -> Result<bool, Stop> {
        let Some(view) = self.folder.as_ref().map(crate::folder::Folder::view) else { return Ok(true) };
        match self.mailbox()?.request(Request::Sync(view)).await {
            Ok(Answer::Synced(delta)) => self.selected()?.absorb(delta),
            Ok(_) => return Err(ImapError::Answer("Sync").into()),
            Err(failure) if failure.class == Class::Transient => return Ok(false),
            Err(failure) => {
                return Err(match Stop::from(failure) {
                    Stop::Answer(reply) => Stop::Bye(reply.said()),
                    stop => stop,
                });
            }
        }
        self.announce(true)?;
        Ok(true)
    }
}
