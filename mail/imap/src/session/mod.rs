//! The life of a connection.

mod append;
mod dispatch;
mod wait;

pub(crate) use wait::Event;

use std::collections::VecDeque;
use std::io::Write;
use std::sync::Arc;

use model::verbs::{Answer, Request};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::backend::{Accounts, Mailbox, Notice};
use crate::folder::Folder;
use crate::io::Io;
use crate::reply::{Reply, Stop};
use crate::{Client, Config, ImapError, Security, capability};

/// How [`run`] ended.
#[derive(Debug)]
pub enum Outcome<S> {
    /// The connection is over.
    Closed,
    /// STARTTLS was answered: shake hands on the stream, and run again with [`Security::Upgraded`].
    StartTls(S),
}

/// Speaks IMAP on a stream until one side leaves, `shutdown` is cancelled (the client is told), or TLS is asked for.
pub async fn run<S, A>(
    stream: S,
    client: Client,
    config: Arc<Config>,
    accounts: A,
    shutdown: CancellationToken,
) -> Result<Outcome<S>, ImapError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    A: Accounts,
{
    let io = Io::new(stream, config.limits.line, config.limits.stalled);
    let mut session = Session {
        io,
        client,
        config,
        accounts,
        shutdown,
        login: None,
        folder: None,
        condstore: false,
        bad: 0,
        appends: VecDeque::new(),
    };
    let stop = session.serve().await;
    match stop {
        Stop::Upgrade => {
            session.io.flush().await?;
            Ok(Outcome::StartTls(session.io.into_stream()))
        }
        Stop::Broken(error) => Err(error),
        Stop::Bye(text) => {
            let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            let _ = write!(session.io.out, "* BYE {text}\r\n");
            session.io.close().await?;
            Ok(Outcome::Closed)
        }
        Stop::Gone | Stop::Answer(_) => {
            session.io.flush().await?;
            Ok(Outcome::Closed)
        }
    }
}

/// What a login gave.
pub(crate) struct Login<M> {
    pub mailbox: Arc<M>,
    pub hints: watch::Receiver<Notice>,
}

/// One connection's state. The verbs are its methods, one file each in `verbs`.
pub(crate) struct Session<S, A: Accounts> {
    pub io: Io<S>,
    pub client: Client,
    pub config: Arc<Config>,
    pub accounts: A,
    pub shutdown: CancellationToken,
    pub login: Option<Login<A::Mailbox>>,
    pub folder: Option<Folder>,
    /// The client has said a CONDSTORE enabling command (RFC 7162 section 3.1).
    pub condstore: bool,
    /// BAD answers in a row.
    bad: u32,
    appends: VecDeque<append::InFlight>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send, A: Accounts> Session<S, A> {
    async fn serve(&mut self) -> Stop {
        if self.client.security != Security::Upgraded {
            let list = capability::list(self.client.security, false, &self.config.limits);
            let _ = write!(self.io.out, "* OK [CAPABILITY {list}] {} ready\r\n", self.config.hostname);
        }
        loop {
            if let Err(stop) = self.step().await {
                return stop;
            }
        }
    }

    /// The mailbox; only for verbs that dispatch admits after login.
    pub fn mailbox(&self) -> Result<Arc<A::Mailbox>, Stop> {
        match &self.login {
            Some(login) => Ok(Arc::clone(&login.mailbox)),
            None => Err(Reply::bad("Log in first").into()),
        }
    }

    /// The selected folder; only for verbs that dispatch admits with one.
    pub fn selected(&mut self) -> Result<&mut Folder, Stop> {
        self.folder.as_mut().ok_or_else(|| Reply::bad("No mailbox selected").into())
    }

    /// One round trip.
    pub async fn ask(&self, request: Request) -> Result<Answer, Stop> {
        Ok(self.mailbox()?.request(request).await?)
    }

    /// The next number for a request that must not be repeated.
    pub fn next_seq(&self) -> Result<u64, Stop> {
        Ok(self.mailbox()?.next_seq())
    }

    /// Tells what is pending of the selected folder. Ends the session if the folder is gone.
    pub fn announce(&mut self, expunge: bool) -> Result<(), Stop> {
        let Some(folder) = &mut self.folder else { return Ok(()) };
        if folder.deleted {
            return Err(Stop::Bye("The selected mailbox was deleted".to_owned()));
        }
        folder.announce(&mut self.io.out, expunge, self.condstore);
        Ok(())
    }

    /// Asks what others did, and tells it.
    pub async fn sync(&mut self, expunge: bool) -> Result<(), Stop> {
        let Some(folder) = &self.folder else { return Ok(()) };
        match self.ask(Request::Sync(folder.view())).await? {
            Answer::Synced(delta) => self.selected()?.absorb(delta),
            _ => return Err(ImapError::Answer("Sync").into()),
        }
        self.announce(expunge)
    }

    /// The same, if a hint says that there is something: for verbs that speak of no folder.
    pub async fn sync_if_hinted(&mut self) -> Result<(), Stop> {
        let (Some(login), Some(folder)) = (&mut self.login, &self.folder) else { return Ok(()) };
        if !login.hints.has_changed().unwrap_or(false) {
            return Ok(());
        }
        let notice = *login.hints.borrow_and_update();
        if notice.modseq.is_some_and(|modseq| modseq <= folder.since) { Ok(()) } else { self.sync(true).await }
    }
}
