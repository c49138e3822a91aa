//! One connection: greeting, commands in order, goodbye.
//!
//! * Verbs (`verbs/`) change the state and return a reply; only DATA, BDAT and STARTTLS touch the link themselves.
//! * A stored message is settled when the client proves that it read the 250: by its next octets, if it was waiting
//!   for the answer; by content sent after a later 354, if it pipelined. In doubt it stays unsettled, which costs nothing
//!   but a longer memory of its fingerprint.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use model::{Directory, MailboxId, TxId};
use tokio_util::sync::CancellationToken;

use crate::command::{self, Command};
use crate::link::{BoxStream, Line, Link, Stream, TlsUpgrade};
use crate::reply::{self, Reply};
use crate::verbs::{Transaction, vrfy};
use crate::{Config, Delivery, SmtpError};

/// Serves one connection to its end. `tls` is what STARTTLS does; without it, it is not offered. `shutdown` ends the
/// connection with 421 as soon as nothing is under way.
pub async fn run<S, D>(
    stream: S,
    peer: SocketAddr,
    config: Arc<Config>,
    delivery: D,
    tls: Option<TlsUpgrade>,
    shutdown: CancellationToken,
) -> Result<(), SmtpError>
where
    S: Stream + 'static,
    D: Delivery,
{
    let link = Link::new(Box::new(stream) as BoxStream, config.timeouts);
    let state = State {
        config,
        delivery,
        peer: peer.ip().to_canonical(),
        can_tls: tls.is_some(),
        secured: false,
        client: None,
        transaction: None,
        refused: 0,
    };
    let mut session = Session { state, link, tls, shutdown, unsettled: None, errors: 0, commands: 0 };
    let result = session.serve().await;
    if let Err(error @ (SmtpError::TimedOut | SmtpError::Tls(_))) = &result {
        tracing::debug!(%error, "connection ended");
    }
    if matches!(result, Err(SmtpError::TimedOut)) {
        // Best effort: the client may not be reading either.
        let _ = session.link.reply(&Reply::new(421, "4.4.2", "Timed out, closing connection").closing()).await;
    }
    session.link.close().await;
    result
}

/// The client's EHLO or HELO.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub name: String,
    pub extended: bool,
}

/// What verbs work on.
pub(crate) struct State<D> {
    pub config: Arc<Config>,
    pub delivery: D,
    pub peer: IpAddr,
    pub can_tls: bool,
    pub secured: bool,
    pub client: Option<Client>,
    pub transaction: Option<Transaction>,
    /// Recipients refused for good in this connection.
    pub refused: u32,
}

impl<D: Delivery> State<D> {
    /// Our name: the directory's, if there is one.
    pub(crate) fn hostname(&self, directory: Option<&Directory>) -> String {
        directory.map_or_else(|| self.config.hostname.clone(), |d| d.hostname.clone())
    }

    pub(crate) fn max_message_size(&self, directory: Option<&Directory>) -> u64 {
        directory.map_or(self.config.max_message_size, |d| d.max_message_size)
    }
}

/// A 250 that the client may not have read.
pub(crate) struct Unsettled {
    pub txid: TxId,
    pub mailboxes: Vec<MailboxId>,
    /// The client had sent more before the 250 was written: only content after a 354 proves anything.
    pub pipelined: bool,
}

pub(crate) struct Session<D> {
    pub state: State<D>,
    pub link: Link,
    pub tls: Option<TlsUpgrade>,
    shutdown: CancellationToken,
    pub unsettled: Option<Unsettled>,
    errors: u32,
    /// Since the last stored message.
    pub commands: u32,
}

impl<D: Delivery> Session<D> {
    async fn serve(&mut self) -> Result<(), SmtpError> {
        let directory = self.state.delivery.directory();
        let host = self.state.hostname(directory.as_deref());
        self.link.reply(&Reply::new(220, "", format!("{host} ESMTP"))).await?;
        loop {
            if self.shutdown.is_cancelled() && self.state.transaction.is_none() {
                return self.link.reply(&shutting_down()).await;
            }
            let answer = match self.link.line(&self.shutdown).await? {
                Line::End => return Ok(()),
                Line::Shutdown => Some(shutting_down()),
                line => {
                    self.settle(false);
                    self.answer(line).await?
                }
            };
            let Some(reply) = answer else { continue };
            let reply = self.within_limits(reply);
            self.link.reply(&reply).await?;
            if reply.close {
                return Ok(());
            }
        }
    }

    async fn answer(&mut self, line: Line) -> Result<Option<Reply>, SmtpError> {
        self.commands += 1;
        let text = match line {
            Line::Text(text) => text,
            Line::TooLong => return Ok(Some(Reply::new(500, "5.5.2", "Line too long"))),
            Line::BareCr => return Ok(Some(Reply::new(500, "5.5.2", "Bare CR in a command"))),
            // What follows may be somebody's injection into somebody else's line.
            Line::BareLf | Line::End | Line::Shutdown => {
                return Ok(Some(Reply::new(500, "5.5.2", "Lines end with CR LF").closing()));
            }
        };
        match command::command(&text) {
            Ok(command) => self.dispatch(command).await,
            Err(reply) => Ok(Some(reply)),
        }
    }

    /// The reply; none where it was given already.
    async fn dispatch(&mut self, command: Command) -> Result<Option<Reply>, SmtpError> {
        let state = &mut self.state;
        Ok(Some(match command {
            Command::Hello { name, extended } => state.hello(name, extended),
            Command::Mail { from, params } => state.mail(from, &params),
            Command::Rcpt { to } => state.rcpt(&to),
            Command::Data => self.data().await?,
            Command::Bdat { size, last } => self.bdat(size, last).await?,
            Command::Rset => state.rset(),
            Command::Noop => reply::ok(),
            Command::Quit => state.quit(),
            Command::StartTls => return self.start_tls().await,
            Command::Vrfy => vrfy::vrfy(),
            Command::Expn | Command::Auth => vrfy::not_implemented(),
            Command::Help => vrfy::help(),
        }))
    }

    /// Tells the delivery that the 250 was read, if this is a proof of it.
    pub(crate) fn settle(&mut self, content_after_354: bool) {
        if let Some(done) = self.unsettled.take_if(|done| content_after_354 || !done.pipelined) {
            self.state.delivery.settle(done.txid, &done.mailboxes);
        }
    }

    /// Turns the error that is one too many into the last.
    fn within_limits(&mut self, reply: Reply) -> Reply {
        let config = &self.state.config;
        self.errors += u32::from(matches!(reply.code, 500..=503 | 555));
        let stop = self.errors >= config.max_errors
            || self.state.refused >= config.max_refused
            || self.commands >= config.max_commands;
        if stop && !reply.close {
            return Reply::new(421, "4.7.0", "Too many errors or commands, closing connection").closing();
        }
        reply
    }
}

fn shutting_down() -> Reply {
    Reply::new(421, "4.3.2", "Shutting down, try again later").closing()
}
