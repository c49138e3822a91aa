//! Login: from an address and a password to an attached session.
//!
//! An unreachable shard is never an unknown user or a wrong password, and an unknown user is answered like a wrong
//! password: same words, same work (a fake keyset, equal on all shards).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::imap::LoginError;
use crypto::{CachedLogin, Keyset, LoginCache, Secret, ShieldedDek};
use model::verbs::{Code, Failure, KeysetReply, Scope};
use model::{Address, ShardId};
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
const CACHE_LIFE: Duration = Duration::from_secs(5 * 60);

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
        let network = crate::listener::network(peer.ip());
        let delay = self.0.failures.delay(network, user, Instant::now());
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let result = self.0.login(user, &password, network).await;
        match &result {
            Ok(_) => self.0.failures.succeeded(network, user),
            Err(LoginError::Rejected) => self.0.failures.failed(network, user, Instant::now()),
            Err(_) => {}
        }
        result
    }
}

impl Inner {
    async fn login(&self, user: &str, password: &[u8], _network: IpAddr) -> Result<RemoteMailbox, LoginError> {
        let secret = std::str::from_utf8(password).map(Secret::new).map_err(|_| LoginError::Rejected)?;
        let Ok(address) = user.parse::<Address>() else { return Err(LoginError::Rejected) };
        let shard = self.shard_of(&address)?;
        let client = self.shards.get(shard).ok_or(LoginError::Unavailable)?;
        let reply = client.keyset(address.clone()).await.map_err(|failure| explain(&failure))?;
        let opened = self.open(&address, secret, reply).await?;
        let live = Live::open(opened, client.clone(), &self.sessions).await;
        let live = live.map_err(|failure| {
            self.cache.forget(&address);
            explain(&failure)
        })?;
        Ok(RemoteMailbox::new(live))
    }

    /// Which shard knows the address; unknown ones are asked of the first, which answers with a fake.
    fn shard_of(&self, address: &Address) -> Result<ShardId, LoginError> {
        let directory = self.routes.current().ok_or(LoginError::Unavailable)?;
        Ok(directory.mailbox_of(address).map_or(ShardId(0), |(_, mailbox)| mailbox.shard))
    }

    async fn open(&self, address: &Address, secret: Secret, reply: KeysetReply) -> Result<Opened, LoginError> {
        let keyset = Keyset::from_json(&reply.keys).map_err(|error| broken(&error))?;
        let now = Instant::now();
        let cached = self.cache.get(address, &secret, now);
        let fresh = cached.filter(|c| c.keys_version == keyset.version() && c.mailbox == reply.mailbox);
        let login = match fresh {
            Some(login) => login,
            None => self.unlock(address, keyset, secret, &reply, now).await?,
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
        reply: &KeysetReply,
        now: Instant,
    ) -> Result<CachedLogin, LoginError> {
        let unlocked = self.pool.unlock(keyset, secret.clone()).await.map_err(|failed| match failed {
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
        self.cache.insert(address, &secret, login.clone(), now);
        Ok(login)
    }
}

fn explain(failure: &Failure) -> LoginError {
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
