//! APPEND: the one command whose literal is not collected with it, and of which several may be in flight, so that a
//! client that pipelines them has its messages committed together.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use model::verbs::{Append, Appended, Failure};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;

use super::Session;
use crate::backend::{Accounts, Body, Mailbox};
use crate::frame::{Literal, announced};
use crate::parse::{AppendHead, name};
use crate::reply::{Reply, Stop};

/// Most APPENDs in flight.
const IN_FLIGHT: usize = 16;
/// Larger bodies stream.
const WHOLE: u64 = 1 << 20;
/// Pieces of a streamed body that may wait for the mailbox.
const PIECES: usize = 4;

type Done = Result<Result<Appended, Failure>, JoinError>;

/// An APPEND that waits for its answer.
pub(crate) struct InFlight {
    tag: String,
    folder: String,
    task: AbortOnDropHandle<Result<Appended, Failure>>,
    done: Option<Done>,
}

/// Waits until the oldest has its answer. Loses nothing when dropped.
pub(super) async fn oldest(appends: &mut VecDeque<InFlight>) {
    match appends.front_mut() {
        Some(append) if append.done.is_none() => append.done = Some((&mut append.task).await),
        _ => {}
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send, A: Accounts> Session<S, A> {
    /// Answers all APPENDs in flight.
    pub(crate) async fn settle(&mut self) -> Result<(), Stop> {
        while !self.appends.is_empty() {
            self.settle_oldest().await?;
        }
        Ok(())
    }

    /// Answers the oldest.
    pub(crate) async fn settle_oldest(&mut self) -> Result<(), Stop> {
        oldest(&mut self.appends).await;
        let Some(append) = self.appends.pop_front() else { return Ok(()) };
        let reply = match append.done {
            Some(Ok(Ok(appended))) => {
                let code = format!("APPENDUID {} {}", appended.uidvalidity, appended.uid);
                if let (Some(folder), Some(delta)) = (&mut self.folder, appended.delta) {
                    folder.absorb(delta);
                }
                self.announce(true)?;
                Reply::ok("Append completed").code(code)
            }
            Some(Ok(Err(failure))) => match Stop::from(failure) {
                Stop::Answer(reply) => reply,
                stop => return Err(stop),
            },
            Some(Err(_)) | None => Reply::no("Append failed").code("SERVERBUG"),
        };
        self.answer(&append.tag, &reply)
    }

    /// Takes an APPEND whose message literal was just announced.
    pub(super) async fn append(
        &mut self,
        head: Result<AppendHead, (String, &'static str)>,
        literal: Literal,
    ) -> Result<(), Stop> {
        let (tag, admitted) = match head {
            Err((tag, wrong)) => (tag, Err(Reply::bad(wrong))),
            Ok(head) => (head.tag.clone(), self.admit(head, literal.size)),
        };
        let append = match admitted {
            Ok(append) => append,
            Err(reply) => {
                self.settle().await?;
                self.skip(literal).await?;
                return self.answer(&tag, &reply);
            }
        };
        while self.appends.len() >= IN_FLIGHT || self.appends.front().is_some_and(|a| a.folder != append.folder) {
            self.settle_oldest().await?;
        }
        if literal.sync {
            self.settle().await?;
            self.io.out.extend_from_slice(b"+ OK\r\n");
        }
        if literal.size <= WHOLE { self.append_whole(tag, append).await } else { self.append_stream(tag, append).await }
    }

    fn admit(&self, head: AppendHead, size: u64) -> Result<Append, Reply> {
        let Some(login) = &self.login else { return Err(Reply::bad("Log in first")) };
        if size == 0 {
            return Err(Reply::no("A message cannot be empty"));
        }
        if size > self.config.limits.append {
            return Err(Reply::no("Message is too large").code("TOOBIG"));
        }
        let Some(folder) = name::folder(&head.name) else {
            return Err(Reply::no("Invalid mailbox name").code("CANNOT"));
        };
        Ok(Append {
            seq: login.mailbox.next_seq(),
            folder,
            flags: head.flags,
            internal_date: head.date,
            size,
            view: None,
        })
    }

    async fn append_whole(&mut self, tag: String, append: Append) -> Result<(), Stop> {
        let mut body = self.io.literal(append.size).await?.ok_or(Stop::Gone)?;
        if (body.len() as u64) < append.size {
            let mut whole = BytesMut::with_capacity(append.size as usize);
            whole.extend_from_slice(&body);
            while (whole.len() as u64) < append.size {
                let left = append.size - whole.len() as u64;
                whole.extend_from_slice(&self.io.literal(left).await?.ok_or(Stop::Gone)?);
            }
            body = whole.freeze();
        }
        match self.end_of_append().await? {
            Ok(()) => self.launch(tag, append, Body::Whole(body)),
            Err(reply) => {
                self.settle().await?;
                self.answer(&tag, &reply)
            }
        }
    }

    /// The last piece is held back until the command has ended as it must: without it nothing is stored.
    async fn append_stream(&mut self, tag: String, append: Append) -> Result<(), Stop> {
        let (pieces, body) = mpsc::channel(PIECES);
        let mut left = append.size;
        self.launch(tag, append, Body::Stream(body))?;
        let mut held: Option<Bytes> = None;
        while left > 0 {
            let piece = self.io.literal(left).await?.ok_or(Stop::Gone)?;
            left -= piece.len() as u64;
            if let Some(before) = held.replace(piece) {
                // A mailbox that has refused the message does not listen any more; the rest is read out.
                let _ = pieces.send(before).await;
            }
        }
        match self.end_of_append().await? {
            Ok(()) => {
                if let Some(last) = held {
                    let _ = pieces.send(last).await;
                }
                Ok(())
            }
            Err(reply) => {
                let Some(broken) = self.appends.pop_back() else { return Ok(()) };
                self.settle().await?;
                self.answer(&broken.tag, &reply)
            }
        }
    }

    fn launch(&mut self, tag: String, mut append: Append, body: Body) -> Result<(), Stop> {
        let mailbox = self.mailbox()?;
        append.view = self.folder.as_ref().map(crate::folder::Folder::view);
        let folder = append.folder.clone();
        let mut appending = Box::pin(async move { mailbox.append(append, body).await });
        // Begun here, not whenever the task gets its turn: messages go out in the order of their commands.
        let begun = appending.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let task = tokio::spawn(async move {
            match begun {
                Poll::Ready(result) => result,
                Poll::Pending => appending.await,
            }
        });
        self.appends.push_back(InFlight { tag, folder, task: AbortOnDropHandle::new(task), done: None });
        Ok(())
    }

    /// Reads the line end after the message.
    async fn end_of_append(&mut self) -> Result<Result<(), Reply>, Stop> {
        let line = self.io.line(self.config.limits.line).await?.ok_or(Stop::Gone)?;
        if line.iter().all(|&b| b == b' ') {
            return Ok(Ok(()));
        }
        if let Some((literal, _)) = announced(&line) {
            self.skip(literal).await?;
        }
        Ok(Err(Reply::bad("One message for each APPEND")))
    }

    /// Reads out what a refused command still sends; a client that waits for a continuation sends nothing.
    pub(super) async fn skip(&mut self, literal: Literal) -> Result<(), Stop> {
        let mut next = Some(literal);
        while let Some(literal) = next.filter(|literal| !literal.sync) {
            if literal.size > self.config.limits.append.saturating_mul(4) {
                return Err(Stop::Bye("[TOOBIG] That literal is far too large".to_owned()));
            }
            let mut left = literal.size;
            while left > 0 {
                left -= self.io.literal(left).await?.ok_or(Stop::Gone)?.len() as u64;
            }
            let line = self.io.line(self.config.limits.line).await?.ok_or(Stop::Gone)?;
            next = announced(&line).map(|(literal, _)| literal);
        }
        Ok(())
    }
}
