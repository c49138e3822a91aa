//! From input to verbs: which command comes next, whether the state admits it, and its tagged answer.

use tokio::io::{AsyncRead, AsyncWrite};

use super::Session;
use super::wait::Event;
use crate::backend::Accounts;
use crate::frame::{Frame, Literal};
use crate::parse::{self, Command, Verb};
use crate::reply::{Reply, Status, Stop};

/// The state a verb needs (RFC 3501 section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nothing,
    NoLogin,
    Login,
    Folder,
}

fn needs(verb: &Verb) -> Needs {
    match verb {
        Verb::Capability | Verb::Noop | Verb::Logout | Verb::Id => Needs::Nothing,
        Verb::StartTls | Verb::Authenticate { .. } | Verb::Login { .. } => Needs::NoLogin,
        Verb::Check
        | Verb::Close
        | Verb::Unselect
        | Verb::Expunge { .. }
        | Verb::Search(_)
        | Verb::Fetch(_)
        | Verb::Store(_)
        | Verb::Copy { .. } => Needs::Folder,
        _ => Needs::Login,
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send, A: Accounts> Session<S, A> {
    /// Takes the next piece of input.
    pub(super) async fn step(&mut self) -> Result<(), Stop> {
        match self.io.frame() {
            Frame::Command(command) => {
                self.settle().await?;
                self.command(&command).await?;
                self.io.spill().await?;
                Ok(())
            }
            Frame::Literal(literal) => self.literal(literal).await,
            Frame::TooLong => {
                self.settle().await?;
                Err(Stop::Bye("[TOOBIG] Command line is too long".to_owned()))
            }
            Frame::More => match self.wait(false).await? {
                Event::Appended => self.settle_oldest().await,
                Event::Input | Event::Hint => Ok(()),
            },
        }
    }

    async fn literal(&mut self, literal: Literal) -> Result<(), Stop> {
        if let Some(head) = parse::append_head(self.io.framer().partial()) {
            self.io.framer().reset();
            return Box::pin(self.append(head, literal)).await;
        }
        let limits = &self.config.limits;
        let limit = if self.login.is_some() { limits.literals } else { limits.literals_before_login };
        if self.io.framer().literal_octets().saturating_add(literal.size) > limit {
            let tag = parse::tag_of(self.io.framer().partial());
            self.io.framer().reset();
            self.settle().await?;
            self.skip(literal).await?;
            return self.answer(tag.as_deref().unwrap_or("*"), &Reply::no("Literal is too large").code("TOOBIG"));
        }
        if literal.sync {
            self.settle().await?;
            self.io.out.extend_from_slice(b"+ OK\r\n");
        }
        self.io.framer().accept();
        Ok(())
    }

    async fn command(&mut self, command: &[u8]) -> Result<(), Stop> {
        let (tag, verb) = match parse::parse(command) {
            Ok(Command { tag, verb }) => (tag, verb),
            Err(error) => return self.answer(error.tag.as_deref().unwrap_or("*"), &Reply::bad(error.text)),
        };
        let after = match verb {
            Verb::Logout => {
                self.io.out.extend_from_slice(b"* BYE Logging out\r\n");
                Some(Stop::Gone)
            }
            Verb::StartTls => Some(Stop::Upgrade),
            _ => None,
        };
        let reply = match Box::pin(self.perform(verb)).await {
            Ok(reply) | Err(Stop::Answer(reply)) => reply,
            Err(stop) => return Err(stop),
        };
        self.answer(&tag, &reply)?;
        match after {
            Some(stop) if reply.status == Status::Ok => Err(stop),
            _ => Ok(()),
        }
    }

    /// Writes a tagged answer; ends the session of a client that only says nonsense.
    pub(crate) fn answer(&mut self, tag: &str, reply: &Reply) -> Result<(), Stop> {
        reply.render(tag, &mut self.io.out);
        self.bad = if reply.status == Status::Bad { self.bad + 1 } else { 0 };
        if self.bad >= self.config.limits.bad_commands {
            return Err(Stop::Bye("Too many bad commands".to_owned()));
        }
        Ok(())
    }

    async fn perform(&mut self, verb: Verb) -> Result<Reply, Stop> {
        let needs = needs(&verb);
        match needs {
            Needs::NoLogin if self.login.is_some() => return Ok(Reply::bad("Already logged in")),
            Needs::Login | Needs::Folder if self.login.is_none() => return Ok(Reply::bad("Log in first")),
            Needs::Folder if self.folder.is_none() => return Ok(Reply::bad("No mailbox selected")),
            _ => {}
        }
        match verb {
            Verb::Capability => Ok(self.capability()),
            Verb::Noop | Verb::Check => self.noop().await,
            Verb::Logout => Ok(Reply::ok("Logout completed")),
            Verb::Id => Ok(self.id()),
            Verb::StartTls => Ok(self.starttls()),
            Verb::Authenticate { mechanism, initial } => self.authenticate(&mechanism, initial).await,
            Verb::Login { user, password } => self.log_in(user, password).await,
            Verb::Enable(names) => Ok(self.enable(&names)),
            Verb::Select { name, read_only, condstore } => self.select(&name, read_only, condstore).await,
            Verb::Idle => self.idle().await,
            Verb::Close => self.close().await,
            Verb::Unselect => Ok(self.unselect()),
            Verb::Expunge { only } => self.expunge(only).await,
            Verb::Search(search) => self.search(search).await,
            Verb::Fetch(fetch) => self.fetch(fetch).await,
            Verb::Store(store) => self.store(store).await,
            Verb::Copy { uid, set, target, remove } => self.copy(uid, &set, &target, remove).await,
            other => {
                let reply = self.perform_on_folders(other).await?;
                self.sync_if_hinted().await?;
                Ok(reply)
            }
        }
    }

    async fn perform_on_folders(&mut self, verb: Verb) -> Result<Reply, Stop> {
        match verb {
            Verb::Create { name, uses } => self.create(&name, &uses).await,
            Verb::Delete { name } => self.delete(&name).await,
            Verb::Rename { from, to } => self.rename(&from, &to).await,
            Verb::Subscribe { name, on } => self.subscribe(&name, on).await,
            Verb::List(list) => self.list(&list).await,
            Verb::Lsub { reference, pattern } => self.lsub(&reference, &pattern).await,
            Verb::Namespace => Ok(self.namespace()),
            Verb::Status { name, items } => self.status(&name, &items).await,
            _ => Ok(Reply::bad("Unknown command")),
        }
    }
}
