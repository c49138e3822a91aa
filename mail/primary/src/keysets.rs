//! The keysets of this shard's mailboxes: read from `keys.json`, cached, installed once.
//!
//! Invariants:
//! * Installing is create-only: a mailbox that has keys keeps them, whatever is pushed.
//! * An unknown address gets a keyset too, made from the server secret: the same one each time, on every shard, of the
//!   same form. It is made for known addresses as well and thrown away, so that both take the same time.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use crypto::{Argon2Cost, CryptoError, Keyset, SealingPublic, Slot};
use model::verbs::{Failure, KeysetReply};
use model::{Address, MailboxId, SlotId};
use serde_bytes::ByteBuf;
use store::{KeysFile, Layout, StoreError};
use zeroize::Zeroizing;

/// A keyset, parsed once.
pub struct Known {
    /// What is in `keys.json`.
    pub keyset: Keyset,
    /// What mail is sealed to.
    pub sealing: SealingPublic,
    /// As it goes to secondaries.
    json: ByteBuf,
}

impl Known {
    fn parse(json: &[u8]) -> Result<Self, CryptoError> {
        let keyset = Keyset::from_json(json)?;
        let sealing = keyset.sealing_public()?;
        let json = ByteBuf::from(keyset.to_json());
        Ok(Self { keyset, sealing, json })
    }

    /// The slot, if a login with it, made when the keyset had `version`, may attach: it is still there and has not got
    /// another secret since. What happened to other slots is no concern of it. A version from the future belongs to a
    /// keyset that was replaced.
    pub fn admits(&self, slot: SlotId, version: u64) -> Option<&Slot> {
        let slot = self.keyset.slot(slot).filter(|_| version <= self.keyset.version())?;
        Some(slot).filter(|slot| slot.is_unchanged_since(version))
    }
}

/// Why keys were not installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// They are no keyset.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// The mailbox has keys already ([`StoreError::KeysExist`]), or they could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// All keysets of the shard.
pub struct Keysets {
    layout: Layout,
    server_secret: Zeroizing<[u8; 32]>,
    cache: Mutex<HashMap<MailboxId, Arc<Known>>>,
}

impl Keysets {
    /// The keysets of a volume.
    pub fn new(layout: Layout, server_secret: Zeroizing<[u8; 32]>) -> Self {
        Self { layout, server_secret, cache: Mutex::default() }
    }

    /// Which of these mailboxes have keys. Blocking.
    pub fn scan(&self, mailboxes: impl Iterator<Item = MailboxId>) -> BTreeSet<MailboxId> {
        mailboxes.filter(|id| self.layout.keys(*id).exists()).collect()
    }

    /// The keyset of a mailbox, if it has one.
    pub async fn of(&self, mailbox: MailboxId) -> Result<Option<Arc<Known>>, Failure> {
        if let Some(known) = self.cached(mailbox) {
            return Ok(Some(known));
        }
        let file = KeysFile::new(self.layout.keys(mailbox));
        let read = tokio::task::spawn_blocking(move || -> Result<Option<Known>, InstallError> {
            let Some(json) = file.read()? else { return Ok(None) };
            Ok(Some(Known::parse(&json)?))
        });
        match read.await {
            Ok(Ok(Some(known))) => Ok(Some(self.remember(mailbox, known))),
            Ok(Ok(None)) => Ok(None),
            Ok(Err(error)) => {
                tracing::error!(%mailbox, %error, "keys.json cannot be used");
                Err(Failure::unavailable("the keys of this mailbox cannot be read"))
            }
            Err(_) => Err(Failure::unavailable("shutting down")),
        }
    }

    /// Installs the first keyset of a mailbox, durably.
    pub async fn install(&self, mailbox: MailboxId, json: Vec<u8>) -> Result<(), InstallError> {
        let file = KeysFile::new(self.layout.keys(mailbox));
        let installed = tokio::task::spawn_blocking(move || {
            let known = Known::parse(&json)?;
            file.create(&known.json)?;
            Ok::<_, InstallError>(known)
        });
        let known = installed.await.map_err(|_| StoreError::Stopped)??;
        self.remember(mailbox, known);
        Ok(())
    }

    /// The answer to a keyset query for `address`, which stands for `owner`'s mailbox if for any.
    pub async fn answer(&self, address: &Address, owner: Option<(MailboxId, bool)>) -> Result<KeysetReply, Failure> {
        let fake = self.fake(address).await?;
        let Some((mailbox, allowed)) = owner else { return Ok(fake) };
        match self.of(mailbox).await? {
            Some(known) => Ok(KeysetReply { mailbox, keys: known.json.clone(), allowed }),
            None => Ok(fake),
        }
    }

    async fn fake(&self, address: &Address) -> Result<KeysetReply, Failure> {
        let (secret, address) = (self.server_secret.clone(), address.clone());
        let made = tokio::task::spawn_blocking(move || {
            let name = crypto::hmac_sha256(secret.as_slice(), format!("sealpost/fake-mailbox/v1 {address}").as_bytes());
            let mut id = [0; 17];
            id.copy_from_slice(&name[..17]);
            let keyset = crypto::fake_keyset(&secret, &address, Argon2Cost::default())?;
            let keys = ByteBuf::from(keyset.to_json());
            Ok::<_, CryptoError>(KeysetReply { mailbox: MailboxId::from_random(id), keys, allowed: true })
        });
        match made.await {
            Ok(Ok(reply)) => Ok(reply),
            _ => Err(Failure::unavailable("a keyset cannot be given now")),
        }
    }

    fn cached(&self, mailbox: MailboxId) -> Option<Arc<Known>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).get(&mailbox).cloned()
    }

    fn remember(&self, mailbox: MailboxId, known: Known) -> Arc<Known> {
        let known = Arc::new(known);
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).insert(mailbox, known.clone());
        known
    }
}

#[cfg(test)]
mod tests {
    use crypto::{NewKeyset, NewSlot, Secret, SlotKind};
    use jiff::Timestamp;
    use model::verbs::Scope;

    use super::*;

    #[test]
    fn a_login_outlives_changes_of_other_slots_and_ends_with_its_own() {
        let new = NewKeyset {
            address: &"ann@example.org".parse().unwrap(),
            password: &Secret::new("sesame"),
            recovery: None,
            cost: Argon2Cost::CHEAPEST,
            created: Timestamp::UNIX_EPOCH,
        };
        let (mut keyset, dek) = Keyset::create(&new).unwrap();
        let (password, first) = (keyset.slots()[0].id(), keyset.version());
        let parse = |keyset: &Keyset| Known::parse(&keyset.to_json()).unwrap();
        assert!(parse(&keyset).admits(password, first).is_some());
        assert!(parse(&keyset).admits(password, first + 1).is_none(), "a version that never was");

        let secret = Secret::mint(&keyset.tags());
        let (kind, scopes) = (SlotKind::AppPassword, BTreeSet::from([Scope::Imap]));
        let device = NewSlot { secret: &secret, kind, scopes, created: Timestamp::UNIX_EPOCH };
        let device = keyset.add_slot(&dek, &device).unwrap();
        let second = keyset.version();
        assert!(parse(&keyset).admits(password, first).is_some(), "another slot came");

        keyset.change_password(&dek, password, &Secret::new("changed"), Timestamp::UNIX_EPOCH).unwrap();
        let known = parse(&keyset);
        assert!(known.admits(password, second).is_none(), "its secret is another one");
        assert!(known.admits(password, keyset.version()).is_some());
        assert!(known.admits(device, second).is_some(), "another slot changed");

        keyset.remove_slot(device).unwrap();
        let known = parse(&keyset);
        assert!(known.admits(device, second).is_none(), "it is gone");
        assert!(known.admits(password, keyset.version() - 1).is_some());
    }
}
