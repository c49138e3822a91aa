//! Waiting for the client, and for what may end the session meanwhile.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::timeout;

use super::Session;
use crate::backend::{Accounts, Ended, Notice};
use crate::reply::Stop;

/// What happened first.
pub(crate) enum Event {
    /// Input came.
    Input,
    /// The mailbox hinted at a change.
    Hint,
    /// The oldest APPEND in flight was answered.
    Appended,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send, A: Accounts> Session<S, A> {
    /// Sends all output and waits. `watching`: hints count, as they do in IDLE.
    pub(crate) async fn wait(&mut self, watching: bool) -> Result<Event, Stop> {
        self.io.flush().await?;
        let limits = &self.config.limits;
        let patience = if self.login.is_some() { limits.idle } else { limits.before_login };
        let mut hints = self.login.as_ref().map(|login| login.hints.clone());
        let appending = !self.appends.is_empty();
        let event = async {
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => Err(Stop::Bye("Server is shutting down".to_owned())),
                stop = ended(&mut hints, watching) => stop,
                () = super::append::oldest(&mut self.appends), if appending => Ok(Event::Appended),
                more = self.io.fill() => match more {
                    Ok(true) => Ok(Event::Input),
                    Ok(false) => Err(Stop::Gone),
                    Err(error) => Err(error.into()),
                },
            }
        };
        let Ok(event) = timeout(patience, event).await else {
            return Err(Stop::Bye("Disconnected for inactivity".to_owned()));
        };
        if let (Ok(Event::Hint), Some(login)) = (&event, &mut self.login) {
            login.hints.mark_unchanged();
        }
        event
    }
}

/// Resolves when the session has to end, or, if wanted, at a hint. For ever pending without a login.
async fn ended(hints: &mut Option<watch::Receiver<Notice>>, watching: bool) -> Result<Event, Stop> {
    let Some(hints) = hints else { return std::future::pending().await };
    loop {
        match hints.borrow().ended {
            Some(Ended::Revoked) => return Err(Stop::Bye("Your session was ended; log in again".to_owned())),
            Some(Ended::Unavailable) => return Err(Stop::Bye("[UNAVAILABLE] Mailbox is not reachable".to_owned())),
            None => {}
        }
        if watching && hints.has_changed().unwrap_or(false) {
            return Ok(Event::Hint);
        }
        if hints.changed().await.is_err() {
            // Whoever gave hints has gone without a word; requests will tell.
            return std::future::pending().await;
        }
        if watching {
            return match hints.borrow().ended {
                None => Ok(Event::Hint),
                Some(_) => continue,
            };
        }
    }
}
