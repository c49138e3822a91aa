//! The keysets of this shard's mailboxes: read from `keys.json`, cached, installed once.
//!
//! Invariants:
//! * Installing is create-only: a mailbox that has keys keeps them, whatever is pushed.
//! * An unknown address gets a keyset too, made from the server secret: the same one each time, on every shard, of the
//!   same form. It is made for known addresses as well and thrown away, so that both take the same time.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use control::{Commit, Database};
use crypto::{Argon2Cost, CryptoError, Keyset, SealingPublic, Slot};
use jiff::Timestamp;
use model::verbs::{Failure, KeysetReply};
use model::{Address, MailboxId, SlotId};
use serde_bytes::ByteBuf;
use store::{Archive, KeysFile, Layout, StoreError};
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
    /// Who is told of changes.
    archive: Arc<Archive>,
    cache: Mutex<HashMap<MailboxId, (Arc<Known>, Instant)>>,
}

/// A keyset that nobody has asked for so long is read again when it is needed.
const KEPT: Duration = Duration::from_mins(5);

fn reply(mailbox: MailboxId, allowed: bool) -> KeysetReply {
    KeysetReply { mailbox, keys: ByteBuf::new(), allowed, wait_ms: 0, suspect: false }
}

impl Keysets {
    /// The keysets of a volume.
    pub fn new(layout: Layout, server_secret: Zeroizing<[u8; 32]>, archive: Arc<Archive>) -> Self {
        Self { layout, server_secret, archive, cache: Mutex::default() }
    }

    /// Which of these mailboxes have keys. Blocking.
    /// A file that cannot be looked at is an error: a mailbox without keys would be given others.
    pub fn scan(&self, mailboxes: impl Iterator<Item = MailboxId>) -> std::io::Result<BTreeSet<MailboxId>> {
        let looked = mailboxes.map(|id| Ok((id, self.layout.keys(id).try_exists()?)));
        let keyed = looked.filter_map(|looked| looked.map(|(id, is_there)| is_there.then_some(id)).transpose());
        keyed.collect()
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
        let (layout, file) = (self.layout.clone(), KeysFile::new(self.layout.keys(mailbox)));
        let installed = tokio::task::spawn_blocking(move || {
            let known = Known::parse(&json)?;
            layout.create_mailbox_dir(mailbox)?;
            file.create(&known.json)?;
            Ok::<_, InstallError>(known)
        });
        let known = installed.await.map_err(|_| StoreError::Stopped)??;
        self.tell(mailbox, &self.remember(mailbox, known));
        Ok(())
    }

    /// A keyset came into its place by other means.
    pub async fn installed(&self, mailbox: MailboxId) {
        // What cannot be read is said where it is asked for.
        if let Ok(Some(known)) = self.of(mailbox).await {
            self.tell(mailbox, &known);
        }
    }

    /// Tells whoever archives the volume.
    fn tell(&self, mailbox: MailboxId, known: &Known) {
        let commit = Commit { frame: 0, commit: known.keyset.version(), time: Timestamp::now() };
        self.archive.notices().note(mailbox, Database::Keys, None, commit);
    }

    /// The answer to a keyset query for `address`, which stands for `owner`'s mailbox if for any.
    pub async fn answer(&self, address: &Address, owner: Option<(MailboxId, bool)>) -> Result<KeysetReply, Failure> {
        let fake = self.fake(address).await?;
        let Some((mailbox, allowed)) = owner else { return Ok(fake) };
        match self.of(mailbox).await? {
            Some(known) => Ok(KeysetReply { keys: known.json.clone(), ..reply(mailbox, allowed) }),
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
            Ok::<_, CryptoError>(KeysetReply { keys, ..reply(MailboxId::from_random(id), true) })
        });
        match made.await {
            Ok(Ok(reply)) => Ok(reply),
            _ => Err(Failure::unavailable("a keyset cannot be given now")),
        }
    }

    fn cached(&self, mailbox: MailboxId) -> Option<Arc<Known>> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, used) = cache.get_mut(&mailbox)?;
        *used = Instant::now();
        Some(known.clone())
    }

    /// Reads the keyset of a mailbox again when it is needed: its file may have been replaced, or be gone for good.
    pub fn forget(&self, mailbox: MailboxId) {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).remove(&mailbox);
    }

    /// Forgets what was not asked for lately.
    pub fn shrink(&self, now: Instant) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.retain(|_, (_, used)| now.saturating_duration_since(*used) < KEPT);
        let kept = cache.len();
        cache.shrink_to(2 * kept);
    }

    /// Removes a slot, durably; false where there is none of that id. Copies of the file from before still open with it.
    pub async fn remove_slot(&self, mailbox: MailboxId, slot: SlotId) -> Result<bool, InstallError> {
        let file = KeysFile::new(self.layout.keys(mailbox));
        let removed = tokio::task::spawn_blocking(move || {
            let Some(json) = file.read()? else { return Ok(None) };
            let mut known = Known::parse(&json)?;
            if known.keyset.slot(slot).is_none() {
                return Ok(None);
            }
            let version = known.keyset.version();
            known.keyset.remove_slot(slot)?;
            let json = known.keyset.to_json();
            file.update(version, &json)?;
            Ok::<_, InstallError>(Some(Known::parse(&json)?))
        });
        let Some(known) = removed.await.map_err(|_| StoreError::Stopped)?? else { return Ok(false) };
        self.tell(mailbox, &self.remember(mailbox, known));
        Ok(true)
    }

    /// Puts a keyset into the cache, and answers what is there now: who has read the file before it changed, and comes later,
    /// does not bring back what was removed from it.
    fn remember(&self, mailbox: MailboxId, known: Known) -> Arc<Known> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let (id, version) = (known.keyset.keyset_id(), known.keyset.version());
        if let Some((newer, used)) = cache.get_mut(&mailbox)
            && newer.keyset.keyset_id() == id
            && newer.keyset.version() > version
        {
            *used = Instant::now();
            return newer.clone();
        }
        let known = Arc::new(known);
        cache.insert(mailbox, (known.clone(), Instant::now()));
        known
    }
}

#[cfg(test)]
mod tests {
    use crypto::{NewKeyset, NewSlot, Secret, SlotKind};
    use model::verbs::Scope;

    use super::*;

    fn create() -> (Keyset, crypto::Dek) {
        let new = NewKeyset {
            address: &"ann@example.org".parse().unwrap(),
            password: &Secret::new("sesame"),
            recovery: None,
            cost: Argon2Cost::CHEAPEST,
            created: Timestamp::UNIX_EPOCH,
        };
        Keyset::create(&new).unwrap()
    }

    #[test]
    fn who_reads_a_keyset_late_does_not_bring_back_a_slot_that_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let keysets = Keysets::new(Layout::new(folder.path()), Zeroizing::new([1; 32]), Arc::new(Archive::new(0)));
        let (mut keyset, dek) = create();
        let secret = Secret::mint(&keyset.tags());
        let (kind, scopes) = (SlotKind::AppPassword, BTreeSet::from([Scope::Imap]));
        let device = NewSlot { secret: &secret, kind, scopes, created: Timestamp::UNIX_EPOCH };
        let device = keyset.add_slot(&dek, &device).unwrap();
        let read_before = Known::parse(&keyset.to_json()).unwrap();
        keyset.remove_slot(device).unwrap();
        let mailbox = MailboxId::from_random([1; 17]);
        keysets.remember(mailbox, Known::parse(&keyset.to_json()).unwrap());
        assert!(keysets.remember(mailbox, read_before).keyset.slot(device).is_none());
        assert!(keysets.cached(mailbox).unwrap().keyset.slot(device).is_none());
        let other = Known::parse(&create().0.to_json()).unwrap();
        let id = other.keyset.keyset_id();
        assert_eq!(keysets.remember(mailbox, other).keyset.keyset_id(), id, "another keyset takes its place");
    }

    #[test]
    fn a_login_outlives_changes_of_other_slots_and_ends_with_its_own() {
        let (mut keyset, dek) = create();
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
