//! Login: from an address and a password to an attached session.
//!
//! An unreachable shard is never an unknown user or a wrong password, and an unknown user is answered like a wrong
//! password: same words, same work (a fake keyset, equal on all shards). How often one may guess is the shard's decision;
//! here its delays are kept, and the slow unlocking is shared fairly between networks.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::imap::LoginError;
use crypto::{CachedLogin, Keyset, LoginCache, Secret, ShieldedDek, Unlocked};
use model::verbs::{Code, Failure, KeysetReply, Scope};
use model::{Address, MailboxId};
use wire::ShardClient;
use zeroize::Zeroizing;

use super::live::{Live, Opened, Sessions};
use super::mailbox::RemoteMailbox;
use super::unlock::{self, UnlockFailed, UnlockPool};
use crate::directory::Routes;
use crate::shards::Shards;

/// Logins remembered: phones reconnect all day.
const CACHED: usize = 20_000;
/// For how long: each one is still subject to revocation at attach.
const CACHE_LIFE: Duration = Duration::from_mins(5);

/// Opens mailboxes. Clones share everything.
#[derive(Clone)]
pub struct Logins(Arc<Inner>);

struct Inner {
    shards: Shards,
    routes: Routes,
    sessions: Sessions,
    cache: LoginCache,
    pool: UnlockPool,
}

impl Logins {
    /// Logins through these shards.
    pub fn new(shards: Shards, routes: Routes, sessions: Sessions) -> Self {
        let cache = LoginCache::new(CACHED, CACHE_LIFE);
        Self(Arc::new(Inner { shards, routes, sessions, cache, pool: UnlockPool::default() }))
    }
}

impl ::imap::Accounts for Logins {
    type Mailbox = RemoteMailbox;

    async fn login(
        &self,
        user: &str,
        password: Zeroizing<Vec<u8>>,
        peer: SocketAddr,
    ) -> Result<RemoteMailbox, LoginError> {
        // What is no address is nobody's, here as anywhere.
        let Ok(address) = user.parse::<Address>() else { return Err(LoginError::Rejected) };
        self.0.login(&address, &password, crate::listener::network(peer.ip())).await
    }
}

impl Inner {
    async fn login(&self, address: &Address, password: &[u8], network: IpAddr) -> Result<RemoteMailbox, LoginError> {
        let secret = std::str::from_utf8(password).map(Secret::new).map_err(|_| LoginError::Rejected)?;
        let client = self.shard_of(address)?;
        let reply = client.keyset(address.clone(), Some(network)).await.map_err(|failure| unknown(&failure))?;
        if reply.wait_ms > 0 {
            tokio::time::sleep(Duration::from_millis(reply.wait_ms)).await;
        }
        let suspect = reply.suspect;
        let opened = self.open(address, secret, network, reply).await;
        match &opened {
            // Before the answer, so that the next guess finds it counted.
            Err(LoginError::Rejected) => client.login_outcome(address.clone(), network, false).await,
            Ok(_) if suspect => client.login_outcome(address.clone(), network, true).await,
            _ => {}
        }
        let opened = opened?;
        let live = Live::open(opened, client.clone(), &self.sessions).await;
        let live = live.map_err(|failure| {
            self.cache.forget(address);
            refused(&failure)
        })?;
        Ok(RemoteMailbox::new(live))
    }

    /// The shard that knows the address; unknown ones are asked of the first, which answers with a fake.
    fn shard_of(&self, address: &Address) -> Result<&ShardClient, LoginError> {
        let directory = self.routes.current().ok_or(LoginError::Unavailable)?;
        let shard = match directory.mailbox_of(address) {
            Some((_, mailbox)) => self.shards.get(mailbox.shard),
            None => self.shards.first(),
        };
        shard.ok_or(LoginError::Unavailable)
    }

    async fn open(
        &self,
        address: &Address,
        secret: Secret,
        network: IpAddr,
        reply: KeysetReply,
    ) -> Result<Opened, LoginError> {
        let keyset = Keyset::from_json(&reply.keys).map_err(|error| broken(&error))?;
        let version = keyset.version();
        let known = || {
            let cached = self.cache.get(address, &secret, Instant::now());
            cached.filter(|c| c.keys_version == version && c.mailbox == reply.mailbox)
        };
        let login = match known() {
            Some(login) => login,
            None if secret.is_minted() => {
                let unlocked = unlock::unlock_minted(&keyset, &secret).map_err(unopened)?;
                self.remember(address, &secret, reply.mailbox, unlocked)
            }
            None => {
                let turn = self.pool.turn(network).await.ok_or(LoginError::Unavailable)?;
                // Of several devices that come at once, the first has done the work for all.
                if let Some(login) = known() {
                    login
                } else {
                    let unlocked = turn.unlock(keyset, secret.clone()).await.map_err(unopened)?;
                    self.remember(address, &secret, reply.mailbox, unlocked)
                }
            }
        };
        if !reply.allowed || !login.scopes.contains(&Scope::Imap) {
            return Err(LoginError::NotAllowed);
        }
        let CachedLogin { mailbox, slot, keys_version, dek, .. } = login;
        Ok(Opened { mailbox, slot, keys_version, dek })
    }

    fn remember(&self, address: &Address, secret: &Secret, mailbox: MailboxId, unlocked: Unlocked) -> CachedLogin {
        let login = CachedLogin {
            mailbox,
            slot: unlocked.slot,
            scopes: unlocked.scopes,
            keys_version: unlocked.keys_version,
            dek: ShieldedDek::new(&unlocked.dek),
        };
        self.cache.insert(address, secret, login.clone(), Instant::now());
        login
    }
}

fn unopened(failed: UnlockFailed) -> LoginError {
    match failed {
        UnlockFailed::Wrong => LoginError::Rejected,
        UnlockFailed::Full => LoginError::Unavailable,
        UnlockFailed::Broken(error) => broken(&error),
    }
}

/// No keyset came: nothing is known of the address or the password.
fn unknown(failure: &Failure) -> LoginError {
    if failure.code == Code::Limit { LoginError::Limited } else { LoginError::Unavailable }
}

/// The password was right, but there is no session.
fn refused(failure: &Failure) -> LoginError {
    match failure.code {
        Code::Limit => LoginError::Limited,
        Code::NoPerm => LoginError::NotAllowed,
        // The slot was changed between keyset and attach: a second try will know.
        _ => LoginError::Unavailable,
    }
}

fn broken(error: &crypto::CryptoError) -> LoginError {
    tracing::error!(%error, "a keyset cannot be used: restore its keys.json");
    LoginError::Unavailable
}
