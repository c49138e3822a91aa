//! The answer to a FETCH as it comes.

use std::sync::Arc;

use model::SessionId;
use model::verbs::{Failure, Fetch, FetchEvent, Resume};

use super::lane::{FetchStep, Ticket, Waiting};
use super::{Attempt, Link, Lost, ShardClient};
use crate::limits::STALL;
use crate::proto::{Call, ToPrimary};
use crate::window::{Inbox, inbox};

/// Events in order. Dropped before its end, it is cancelled.
#[derive(Debug)]
pub struct FetchStream {
    client: ShardClient,
    session: SessionId,
    call: Call,
    attempt: Attempt,
    open: Option<Open>,
    begun: bool,
    over: bool,
}

#[derive(Debug)]
struct Open {
    link: Arc<Link>,
    ticket: Ticket,
    inbox: Inbox<FetchStep>,
}

impl ShardClient {
    /// Starts a FETCH. Nothing is sent before the first event is asked for.
    pub fn fetch(&self, session: SessionId, fetch: Fetch) -> FetchStream {
        self.stream(session, Call::Fetch { session, fetch })
    }

    /// Goes on in the middle of a large section, after a stream broke there.
    pub fn resume(&self, session: SessionId, resume: Resume) -> FetchStream {
        self.stream(session, Call::Resume { session, resume })
    }

    fn stream(&self, session: SessionId, call: Call) -> FetchStream {
        FetchStream {
            client: self.clone(),
            session,
            call,
            attempt: Attempt::default(),
            open: None,
            begun: false,
            over: false,
        }
    }
}

impl FetchStream {
    /// The next event; none after a complete answer. An error is the last item: before the first event the stream has
    /// waited and tried again by itself, later the caller resumes from what it has. May be dropped and called again.
    pub async fn next(&mut self) -> Option<Result<FetchEvent, Failure>> {
        if self.over {
            return None;
        }
        match self.step().await {
            Ok(Some(event)) => Some(Ok(event)),
            Ok(None) => self.finish(None),
            Err(failure) => self.finish(Some(Err(failure))),
        }
    }

    fn finish(&mut self, last: Option<Result<FetchEvent, Failure>>) -> Option<Result<FetchEvent, Failure>> {
        self.over = true;
        self.open = None;
        last
    }

    async fn step(&mut self) -> Result<Option<FetchEvent>, Failure> {
        loop {
            let Some(open) = self.open.as_mut() else {
                self.open = self.start().await?;
                continue;
            };
            let next = tokio::time::timeout(STALL, open.inbox.next()).await;
            let Ok(next) = next else { return Err(Failure::unavailable("the answer of the shard stands still")) };
            let Some((step, grant)) = next else {
                self.broken()?;
                continue;
            };
            if let Some(bytes) = grant {
                open.ticket.lane().urgent(&ToPrimary::Credit { id: open.ticket.id(), bytes });
            }
            match step {
                FetchStep::Event(event) => {
                    self.begun = true;
                    return Ok(Some(event));
                }
                FetchStep::End(Ok(())) => return Ok(None),
                FetchStep::End(Err(failure)) if self.begun => return Err(failure),
                FetchStep::End(Err(failure)) => {
                    let link = open.link.clone();
                    self.open = None;
                    self.client.reattach(&mut self.attempt, &link, Some(self.session), failure).await?;
                }
            }
        }
    }

    /// The link broke: again from the start, if nothing was given out yet.
    fn broken(&mut self) -> Result<(), Failure> {
        self.open = None;
        if self.begun {
            return Err(Failure::unavailable("the link to the shard broke"));
        }
        self.client.lost(&mut self.attempt)
    }

    /// Sends the call; none where the link broke under it.
    async fn start(&mut self) -> Result<Option<Open>, Failure> {
        let link = self.client.link(&mut self.attempt).await?;
        let (sender, inbox) = inbox();
        let ticket = match link.bulk.open(Waiting::Fetch(sender), true).await {
            Ok(ticket) => ticket,
            Err(opening) => match opening.failed() {
                Ok(failure) => return Err(failure),
                Err(Lost) => return self.client.lost(&mut self.attempt).map(|()| None),
            },
        };
        match ticket.request(self.call.clone()).await {
            Ok(Ok(())) => Ok(Some(Open { link, ticket, inbox })),
            Ok(Err(failure)) => Err(failure),
            Err(Lost) => self.client.lost(&mut self.attempt).map(|()| None),
        }
    }
}
