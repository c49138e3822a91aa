//! The key query: mail has come, no key is here, but a secondary may have a live session.
//!
//! A secondary that reported a session of the mailbox is asked, and only it. Right after the start reports have not all
//! come in: then every connected IMAP secondary is asked. The answer is an attach like any other, so the session is
//! attached afterwards and what waits in the spool is drained.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use model::MailboxId;
use store::Mailbox;
use tls::Role;

use crate::shard::Shard;
use crate::wire_service::{Link, attach};

/// How long mail waits for a key before it is sealed.
const DEADLINE: Duration = Duration::from_millis(250);

/// Gets the mailbox opened by a live session of it, if there is one.
pub async fn ask(shard: &Arc<Shard>, mailbox: MailboxId) -> Option<Arc<Mailbox>> {
    let links = whom(shard, mailbox);
    let mut answers: FuturesUnordered<_> = links.into_iter().map(|link| one(shard, link, mailbox)).collect();
    let first = async {
        while let Some(answer) = answers.next().await {
            if answer.is_some() {
                return answer;
            }
        }
        None
    };
    tokio::time::timeout(DEADLINE, first).await.ok().flatten()
}

fn whom(shard: &Shard, mailbox: MailboxId) -> Vec<Arc<Link>> {
    let links = shard.links();
    let reported: Vec<_> = links.values().filter(|link| link.has(mailbox)).take(1).cloned().collect();
    let is_early = shard.started.elapsed() < Duration::from_millis(shard.tuning.ask_all_ms);
    if reported.is_empty() && is_early {
        return links.values().filter(|link| link.caller.peer.role == Role::Imap).cloned().collect();
    }
    reported
}

async fn one(shard: &Arc<Shard>, link: Arc<Link>, mailbox: MailboxId) -> Option<Arc<Mailbox>> {
    files::fault::point("query.ask.before");
    let answer = link.push.key_query(mailbox, crypto::random(), DEADLINE).await?;
    match attach(shard, link.caller.link, answer).await {
        Ok(_) => shard.attached(mailbox),
        Err(failure) => {
            tracing::warn!(%mailbox, %failure, "the answer to a key query does not open the mailbox");
            None
        }
    }
}
