//! Login: from an address and a password to an attached session.
//!
//! An unreachable shard is never an unknown user or a wrong password, and an unknown user is answered like a wrong
//! password: same words, same work (a fake keyset, equal on all shards).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::imap::LoginError;
use crypto::{CachedLogin, Keyset, LoginCache, Secret, ShieldedDek};
use model::Address;
use model::verbs::{Code, Failure, KeysetReply, Scope};
use wire::ShardClient;
use zeroize::Zeroizing;

use super::live::{Live, Opened, Sessions};
use super::mailbox::RemoteMailbox;
use super::unlock::{UnlockFailed, UnlockPool};
use crate::directory::Routes;
use crate::limits::Failures;
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
    failures: Failures,
}

impl Logins {
    /// Logins through these shards.
    pub fn new(shards: Shards, routes: Routes, sessions: Sessions) -> Self {
        let cache = LoginCache::new(CACHED, CACHE_LIFE);
        let (pool, failures) = (UnlockPool::default(), Failures::default());
        Self(Arc::new(Inner { shards, routes, sessions, cache, pool, failures }))
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
        let (inner, network) = (&self.0, crate::listener::network(peer.ip()));
        let wait = inner.failures.admit(network, &address, Instant::now()).ok_or(LoginError::Limited)?;
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        let result = inner.login(&address, &password, network).await;
        match &result {
            Ok(_) => inner.failures.succeeded(network, &address),
            Err(LoginError::Rejected) => inner.failures.failed(network, &address, Instant::now()),
            Err(_) => {}
        }
        result
    }
}

impl Inner {
    async fn login(&self, address: &Address, password: &[u8], network: IpAddr) -> Result<RemoteMailbox, LoginError> {
        let secret = std::str::from_utf8(password).map(Secret::new).map_err(|_| LoginError::Rejected)?;
        let client = self.shard_of(address)?;
        let reply = client.keyset(address.clone()).await.map_err(|failure| unknown(&failure))?;
        let opened = self.open(address, secret, network, reply).await?;
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
        let cached = self.cache.get(address, &secret, Instant::now());
        let fresh = cached.filter(|c| c.keys_version == keyset.version() && c.mailbox == reply.mailbox);
        let login = match fresh {
            Some(login) => login,
            None => self.unlock(address, keyset, secret, network, &reply).await?,
        };
        if !reply.allowed || !login.scopes.contains(&Scope::Imap) {
            return Err(LoginError::NotAllowed);
        }
        let CachedLogin { mailbox, slot, keys_version, dek, .. } = login;
        Ok(Opened { mailbox, slot, keys_version, dek })
    }

    async fn unlock(
        &self,
        address: &Address,
        keyset: Keyset,
        secret: Secret,
        network: IpAddr,
        reply: &KeysetReply,
    ) -> Result<CachedLogin, LoginError> {
        let unlocked = self.pool.unlock(network, keyset, secret.clone()).await.map_err(|failed| match failed {
            UnlockFailed::Wrong => LoginError::Rejected,
            UnlockFailed::Full => LoginError::Limited,
            UnlockFailed::Broken(error) => broken(&error),
        })?;
        let login = CachedLogin {
            mailbox: reply.mailbox,
            slot: unlocked.slot,
            scopes: unlocked.scopes,
            keys_version: unlocked.keys_version,
            dek: ShieldedDek::new(&unlocked.dek),
        };
        self.cache.insert(address, &secret, login.clone(), Instant::now());
        Ok(login)
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
