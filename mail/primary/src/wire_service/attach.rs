//! Keysets for logins, and keys for sessions.
//!
//! An attach is accepted only if all of this holds: the mailbox is ours and open to its owner; the keyset still has the
//! slot and is the one that was unlocked; the slot's scopes include IMAP; the hand-over was sealed for exactly this
//! attach at this start of this shard; the DEK is the one that the keyset vouches for; and it opens the database.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use crypto::{Dek, HandoverAad, ShieldedDek};
use model::verbs::{Attach, Attached, Code, Failure, KeysetReply, Scope};
use model::{Address, MailboxEntry, MailboxId, MailboxState, Protocol};
use serde_bytes::ByteBuf;
use store::{Mailbox, StoreError};
use tls::Role;
use wire::LinkId;

use super::push;
use crate::keysets::Known;
use crate::sessions::{NewSession, Refused};
use crate::shard::Shard;

/// The keyset that a login for `address` is to be checked with. With a network it is an attempt, which may be delayed or
/// refused.
pub async fn keyset(
    shard: &Shard,
    role: Role,
    address: &Address,
    network: Option<IpAddr>,
) -> Result<KeysetReply, Failure> {
    let directory = shard.routes.current().ok_or_else(|| Failure::unavailable("this shard has no directory yet"))?;
    let owner = directory.mailbox_of(address);
    if let Some((_, entry)) = owner.filter(|(_, entry)| entry.shard != shard.id) {
        return Err(Failure::new(Code::WrongShard, format!("shard {} owns that mailbox", entry.shard)));
    }
    // Not from its files, which may be away: nobody is told of a wrong password.
    owner.map_or(Ok(()), |(id, _)| shard.usable(id).map(drop))?;
    let protocol = if role == Role::Submission { Protocol::Submission } else { Protocol::Imap };
    let owner = owner.map(|(id, entry)| (id, is_allowed(entry, protocol)));
    let admitted = network.map(|network| shard.guesses().admit(network, address, Instant::now()));
    if admitted == Some(None) {
        return Err(Failure::new(Code::Limit, "too many attempts to log in"));
    }
    let mut reply = shard.keysets.answer(address, owner).await?;
    if let Some(admitted) = admitted.flatten() {
        (reply.wait_ms, reply.suspect) = (admitted.wait.as_millis() as u64, admitted.suspect);
    }
    if role == Role::Submission {
        let keyset = crypto::Keyset::from_json(&reply.keys);
        let keyset = keyset.map_err(|_| Failure::new(Code::ServerBug, "a keyset does not parse"))?;
        reply.keys = ByteBuf::from(keyset.strip_wraps().to_json());
    }
    Ok(reply)
}

/// True where the owner may come in that way now.
pub fn is_allowed(entry: &MailboxEntry, protocol: Protocol) -> bool {
    let is_open = matches!(entry.state, MailboxState::Active | MailboxState::ReadOnly);
    is_open && entry.access.contains(&protocol)
}

/// Attaches a session; again after every reconnect.
pub async fn attach(shard: &Arc<Shard>, link: LinkId, request: Attach) -> Result<Attached, Failure> {
    let id = request.mailbox;
    let entry = shard.usable(id)?;
    if !is_allowed(&entry, Protocol::Imap) {
        return Err(Failure::new(Code::NoPerm, "IMAP is not allowed for this mailbox"));
    }
    let known = shard.keysets.of(id).await?.ok_or_else(revoked)?;
    let slot = known.admits(request.slot, request.keys_version).ok_or_else(revoked)?;
    if !slot.scopes().contains(&Scope::Imap) {
        return Err(Failure::new(Code::NoPerm, "this password is not for IMAP"));
    }
    files::fault::point("attach.open.before");
    let dek = open(shard, &request, known.clone()).await?;
    files::fault::point("attach.open.after");
    let shielded = ShieldedDek::new(&dek);
    let mailbox = shard.mailboxes.attach(id, dek).await.map_err(|error| refusal(id, error))?;
    mailbox.set_policy(entry.quota, entry.state == MailboxState::ReadOnly);
    let new = NewSession { session: request.session, mailbox: id, slot: request.slot, link };
    let hints = mailbox.hints();
    let first = shard.sessions().attach(&new, mailbox.clone(), shielded, Instant::now());
    if let Some(over) = first.map_err(refused)? {
        push::follow_hints(shard, id, hints, over);
    }
    recheck(shard, &new, request.keys_version, &mailbox).await?;
    files::fault::point("attach.session.after");
    let waiting = schedule_drain(shard, id, &mailbox).await;
    Ok(Attached { waiting, shard: shard.id, term: shard.term, boot: shard.boot })
}

/// What happened while the mailbox was being opened, before there was a session that it could have been done to.
async fn recheck(shard: &Arc<Shard>, new: &NewSession, version: u64, mailbox: &Mailbox) -> Result<(), Failure> {
    if !shard.links().contains_key(&new.link) {
        shard.sessions().lost(new.link);
    }
    let entry = shard.entry(new.mailbox)?;
    if entry.fenced {
        let evicted = shard.sessions().evict(new.mailbox, None);
        shard.end(evicted.into_iter().map(|(ended, _)| ended));
        return Err(StoreError::Fenced.into_failure());
    }
    mailbox.set_policy(entry.quota, entry.state == MailboxState::ReadOnly);
    if !is_allowed(&entry, Protocol::Imap) {
        push::revoke(shard, new.mailbox, None);
        return Err(Failure::new(Code::NoPerm, "IMAP is not allowed for this mailbox"));
    }
    let known = shard.keysets.of(new.mailbox).await?;
    if known.is_none_or(|known| known.admits(new.slot, version).is_none()) {
        push::revoke(shard, new.mailbox, Some(new.slot));
        return Err(revoked());
    }
    Ok(())
}

fn refused(why: Refused) -> Failure {
    match why {
        Refused::Elsewhere => Failure::new(Code::NoPerm, "that session has another mailbox"),
        Refused::Full => Failure::new(Code::Limit, "the mailbox has too many sessions"),
    }
}

/// Opens the hand-over and proves the key against the keyset, which works also before there is a database.
async fn open(shard: &Arc<Shard>, request: &Attach, known: Arc<Known>) -> Result<Dek, Failure> {
    let aad = HandoverAad {
        shard: shard.id,
        term: shard.term,
        boot: shard.boot,
        mailbox: request.mailbox,
        session: request.session,
        nonce: request.nonce,
    };
    let (own, sealed) = (shard.clone(), request.sealed_dek.clone());
    let opened = tokio::task::spawn_blocking(move || {
        // Sealed for an earlier start of this shard, usually: the secondary says Hello again and attaches anew.
        let dek = own.handover.open_dek(&sealed, &aad).map_err(|_| not_attached("the hand-over does not open"))?;
        known.keyset.verify_mac(&dek).map_err(|_| revoked())?;
        Ok(dek)
    });
    opened.await.map_err(|_| Failure::new(Code::ServerBug, "a hand-over could not be opened"))?
}

/// The session is registered already, so mail that comes from now on goes straight in or schedules a drain itself.
async fn schedule_drain(shard: &Arc<Shard>, id: MailboxId, mailbox: &Mailbox) -> u64 {
    let spool = shard.spools.of(id);
    match spool.state().await {
        Ok(state) => {
            mailbox.reserve(state.bytes);
            // Also without waiting mail there may be settled transactions to tell the mailbox of.
            if state.waiting > 0 || state.settles > 0 {
                shard.drain(id);
            }
            state.waiting
        }
        Err(error) => {
            tracing::error!(mailbox = %id, %error, "the spool cannot be read");
            shard.drain(id);
            0
        }
    }
}

/// The key was proved before, so a file that it does not open is damaged or foreign: never a wrong password.
fn refusal(mailbox: MailboxId, error: StoreError) -> Failure {
    if matches!(error, StoreError::Fenced) {
        return error.into_failure();
    }
    tracing::error!(%mailbox, %error, "the mailbox does not open");
    error.into_failure()
}

fn revoked() -> Failure {
    Failure::new(Code::Revoked, "that password was changed or revoked")
}

fn not_attached(text: &str) -> Failure {
    Failure::new(Code::NotAttached, text)
}
