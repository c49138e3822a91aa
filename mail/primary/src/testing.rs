//! A volume in a temporary folder, with the mailboxes ann (keyed, 1 MB) and bob (awaiting its owner).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crypto::{Argon2Cost, Dek, HandoverAad, Keyset, NewKeyset, Secret};
use files::LockFile;
use jiff::Timestamp;
use model::verbs::Attach;
use model::{
    Address, Directory, Entry, Generation, MailboxEntry, MailboxId, MailboxState, Protocol, ServerId, SessionId,
    ShardId, SlotId, Term,
};
use serde_bytes::ByteBuf;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Tuning};
use crate::shard::Shard;
use crate::start;

pub struct Volume {
    folder: tempfile::TempDir,
    pub ann: MailboxId,
    pub bob: MailboxId,
    keyset: Keyset,
    dek: Dek,
    lock: Mutex<Option<LockFile>>,
}

impl Volume {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("shard.key"), [7; 32]).unwrap();
        std::fs::write(folder.path().join("server.secret"), [8; 32]).unwrap();
        let (ann, bob) = (MailboxId::from_random([1; 17]), MailboxId::from_random([2; 17]));
        let new = NewKeyset {
            address: &"ann@example.org".parse().unwrap(),
            password: &Secret::new("sesame"),
            recovery: None,
            cost: Argon2Cost::CHEAPEST,
            created: Timestamp::UNIX_EPOCH,
        };
        let (keyset, dek) = Keyset::create(&new).unwrap();
        Self { folder, ann, bob, keyset, dek, lock: Mutex::default() }
    }

    fn config(&self) -> Config {
        let path = |name: &str| self.folder.path().join(name);
        let none = PathBuf::new();
        Config {
            server: ServerId("s".into()),
            shard: ShardId(0),
            term: Term(1),
            data: path("data"),
            listen: ([127, 0, 0, 1], 0).into(),
            identity: tls::IdentityFiles { certificate: none.clone(), key: none.clone(), ca: none },
            shard_key: path("shard.key"),
            server_secret: path("server.secret"),
            sidecar: None,
            tuning: Tuning { floor_percent: 0, floor_bytes: 0, ..Tuning::default() },
        }
    }

    /// A start of the shard, without listeners.
    pub async fn open(&self) -> Arc<Shard> {
        let config = self.config();
        let opened = tokio::task::spawn_blocking(move || start::open(&config, &CancellationToken::new()));
        let (shard, lock) = opened.await.unwrap().unwrap();
        *self.lock.lock().unwrap() = Some(lock);
        shard.tasks.spawn({
            let (mailboxes, stop) = (shard.mailboxes.clone(), shard.stop.clone());
            async move { mailboxes.run(stop).await }
        });
        if shard.routes.current().is_none() {
            let push = control::operator::Push { directory: self.directory(), bindings: model::Bindings::default() };
            shard.routes.push(push, Timestamp::now()).await.unwrap();
        }
        if shard.keysets.install(self.ann, self.keyset.to_json()).await.is_ok() {
            shard.routes.keyed(self.ann).await;
        }
        shard
    }

    /// The end of that start.
    pub async fn close(&self, shard: Arc<Shard>) {
        let ended = shard.sessions().clear();
        shard.end(ended);
        shard.stop.cancel();
        shard.tasks.close();
        shard.tasks.wait().await;
        *self.lock.lock().unwrap() = None;
    }

    /// An attach as a secondary makes it after ann's login.
    pub fn attach(&self, shard: &Shard, session: SessionId) -> Attach {
        self.attach_with(shard, session, &self.dek)
    }

    pub fn attach_with(&self, shard: &Shard, session: SessionId, dek: &Dek) -> Attach {
        let nonce = [3; 16];
        let aad =
            HandoverAad { shard: shard.id, term: shard.term, boot: shard.boot, mailbox: self.ann, session, nonce };
        let sealed = shard.handover.public().seal_dek(dek, &aad).unwrap();
        Attach {
            session,
            mailbox: self.ann,
            slot: self.slot(),
            keys_version: self.keyset.version(),
            nonce,
            sealed_dek: ByteBuf::from(sealed),
        }
    }

    fn slot(&self) -> SlotId {
        self.keyset.slots()[0].id()
    }

    fn directory(&self) -> Directory {
        let name = |text: &str| text.parse::<Address>().unwrap();
        let mailbox = |address: &str| MailboxEntry {
            address: name(address),
            shard: ShardId(0),
            state: MailboxState::Active,
            access: BTreeSet::from([Protocol::Imap]),
            quota: Some(1_000_000),
            keyed: false,
            fenced: false,
        };
        let entry = |id| Entry { mailbox: Some(id), alias: None };
        Directory {
            server: ServerId("s".into()),
            hostname: "mx.example.org".into(),
            generation: Generation { epoch: 1, seq: 1 },
            domains: BTreeSet::from(["example.org".parse().unwrap()]),
            max_message_size: 50 << 20,
            entries: BTreeMap::from([
                (name("ann@example.org"), entry(self.ann)),
                (name("bob@example.org"), entry(self.bob)),
            ]),
            mailboxes: BTreeMap::from([(self.ann, mailbox("ann@example.org")), (self.bob, mailbox("bob@example.org"))]),
            removed: BTreeMap::new(),
        }
    }

    /// True where no file of the volume holds these bytes.
    pub fn has_nowhere(&self, needle: &[u8]) -> bool {
        fn search(folder: &Path, needle: &[u8]) -> bool {
            std::fs::read_dir(folder).unwrap().all(|entry| {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    return search(&path, needle);
                }
                !std::fs::read(&path).unwrap().windows(needle.len()).any(|found| found == needle)
            })
        }
        search(&self.folder.path().join("data"), needle)
    }
}
