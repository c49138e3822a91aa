//! One method per verb with a small answer.

use std::net::IpAddr;
use std::sync::Arc;

use model::verbs::{Answer, Attach, Attached, Code, Failure, KeysetReply, Request, Settle};
use model::{Address, Directory, SessionId};

use super::{Attempt, Link, Lost, ShardClient};
use crate::limits::{CALL_LIMIT, PATIENCE};
use crate::proto::{Call, HelloReply, Outcome};

impl ShardClient {
    /// The keyset of an address; a fake one where the shard does not know it. With the network of a client it counts as an
    /// attempt to log in: [`Code::Limit`] where there were too many.
    pub async fn keyset(&self, address: Address, network: Option<IpAddr>) -> Result<KeysetReply, Failure> {
        match self.call(None, Call::Keyset { address, network }).await? {
            Outcome::Keyset(reply) => Ok(reply),
            _ => Err(unexpected()),
        }
    }

    /// Tells how an attempt ended. One that does not arrive is one failure less that counts.
    pub async fn login_outcome(&self, address: Address, network: IpAddr, accepted: bool) {
        let Some(link) = super::live(self.shared.link.borrow().as_ref()) else { return };
        let _ = link.control.ask(Call::LoginOutcome { address, network, accepted }, PATIENCE).await;
    }

    /// Attaches a session. `seal` is asked for each link anew: a hand-over is bound to one start of the primary.
    pub async fn attach(
        &self,
        seal: impl Fn(&HelloReply) -> Result<Attach, Failure> + Send + Sync,
    ) -> Result<Attached, Failure> {
        let mut attempt = Attempt::default();
        loop {
            let link = self.link(&mut attempt).await?;
            match attach_on(&link, seal(&link.hello)?).await {
                Ok(answer) => return answer,
                Err(Lost) => self.lost(&mut attempt)?,
            }
        }
    }

    /// The session is over. Without a link there is nothing to say: its lease ends by itself.
    pub async fn detach(&self, session: SessionId) {
        let Some(link) = super::live(self.shared.link.borrow().as_ref()) else { return };
        // The same: whatever goes wrong, the lease ends.
        let _ = link.control.ask(Call::Detach { session }, PATIENCE).await;
    }

    /// A command with a small answer, by a session that is attached or can be again.
    pub async fn request(&self, session: SessionId, request: Request) -> Result<Answer, Failure> {
        match self.call(Some(session), Call::Request { session, request }).await? {
            Outcome::Answer(answer) => Ok(*answer),
            _ => Err(unexpected()),
        }
    }

    /// Tells that the sender of these knows they were taken.
    pub async fn settle(&self, settle: Settle) -> Result<(), Failure> {
        match self.call(None, Call::Settle(settle)).await? {
            Outcome::Done => Ok(()),
            _ => Err(unexpected()),
        }
    }

    /// Asks for the directory; none where the shard has none yet.
    pub async fn directory(&self) -> Result<Option<Arc<Directory>>, Failure> {
        match self.call(None, Call::Directory).await? {
            Outcome::Done => Ok(self.shared.directory()),
            _ => Err(unexpected()),
        }
    }

    async fn call(&self, session: Option<SessionId>, call: Call) -> Result<Outcome, Failure> {
        let mut attempt = Attempt::default();
        loop {
            let link = self.link(&mut attempt).await?;
            match link.control.ask(call.clone(), CALL_LIMIT).await {
                Ok(Ok(outcome)) => return Ok(outcome),
                Ok(Err(failure)) => self.reattach(&mut attempt, &link, session, failure).await?,
                Err(Lost) => self.lost(&mut attempt)?,
            }
        }
    }
}

/// Attaches over that very link.
pub(super) async fn attach_on(link: &Link, attach: Attach) -> Result<Result<Attached, Failure>, Lost> {
    Ok(match link.control.ask(Call::Attach(attach), PATIENCE).await? {
        Ok(Outcome::Attached(attached)) => Ok(attached),
        Ok(_) => Err(unexpected()),
        Err(failure) => Err(failure),
    })
}

pub(super) fn unexpected() -> Failure {
    Failure::new(Code::ServerBug, "the shard gave the answer to another question")
}
