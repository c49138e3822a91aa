//! The primary is killed at every step of HOLD, CHECKPOINT, SNAPSHOT, ARCHIVED and ADOPT, one after the other: nothing that was
//! acknowledged is lost or doubled, and no WAL begins anew before its end was copied.

use std::time::Duration;

use crate::world::{SESSION, Told, World, message, within};
use control::{Adopt, AdoptMode, Adopted, Checkpointed, Database, Hold, WalPosition, WalRecord};
use files::fault::ARCHIVE_POINTS;
use hyper::{Method, StatusCode};
use model::MailboxId;
use model::verbs::{Accepted, Answer, Request};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wire::ShardClient;

const SOON: Duration = Duration::from_mins(5);

/// One primary, one mailbox of ann's, and a small archiver that notices gaps.
struct Story {
    world: World,
    mx: ShardClient,
    _mx_events: Told,
    imap: ShardClient,
    events: Told,
    /// Messages that were acknowledged.
    sent: u8,
    /// Where the last copy of each database's WAL ended.
    copied: [Option<WalPosition>; 2],
    kills: usize,
}

impl Story {
    async fn begin() -> Self {
        let world = World::start_apart().await;
        world.install().await;
        world.back_up().await;
        let (mx, mx_events) = world.secondary(tls::Role::Mx);
        let (imap, events) = world.secondary(tls::Role::Imap);
        Self { world, mx, _mx_events: mx_events, imap, events, sent: 0, copied: [None; 2], kills: 0 }
    }

    async fn revive(&mut self) {
        self.kills += usize::from(self.world.revive().await);
    }

    /// A call that is made again until it is answered; the primary may be killed meanwhile.
    async fn call<T: DeserializeOwned>(&mut self, path: &str, body: &impl Serialize) -> Result<T, StatusCode> {
        let body = serde_json::to_vec(body).unwrap();
        loop {
            match self.world.sidecar().try_call(Method::POST, path, body.clone()).await {
                Some((status, _)) if status == StatusCode::NO_CONTENT => {
                    return Ok(serde_json::from_str("null").unwrap());
                }
                Some((status, text)) if status.is_success() => return Ok(serde_json::from_str(&text).unwrap()),
                Some((status, _)) => return Err(status),
                None => self.revive().await,
            }
        }
    }

    /// A message that is sent again until it is acknowledged.
    async fn deliver(&mut self) {
        self.sent += 1;
        let (n, ann) = (self.sent, self.world.ann);
        loop {
            match self.world.try_deliver_to(&self.mx, ann, n, message(n.into())).await.as_deref() {
                Ok([Accepted::Stored | Accepted::Duplicate]) => return,
                _ => self.revive().await,
            }
        }
    }

    async fn log_in(&mut self) {
        self.events.sessions(&[SESSION]);
        let attached = async |story: &Self| {
            story.imap.attach(|hello| Ok(story.events.attach(SESSION, crypto::random(), hello))).await
        };
        while attached(self).await.is_err() {
            self.revive().await;
        }
    }

    async fn log_out(&mut self) {
        self.events.sessions(&[]);
        self.imap.detach(SESSION).await;
    }

    /// Messages in INBOX.
    async fn count(&mut self) -> u64 {
        loop {
            let select = Request::Select { name: "INBOX".into(), read_only: true };
            if let Ok(Answer::Selected(selected)) = self.imap.request(SESSION, select).await {
                return selected.uids.len();
            }
            self.revive().await;
            self.log_in().await;
        }
    }

    fn record(&self, database: Database) -> Option<WalRecord> {
        let name = format!("{}.wal.json", database.name());
        let json = std::fs::read(self.world.layout().mailbox_dir(self.world.ann).join(name)).ok()?;
        Some(serde_json::from_slice(&json).unwrap())
    }

    /// HOLD, a copy, CHECKPOINT; the whole database and its commit number.
    async fn archive(&mut self, database: Database) -> (Vec<u8>, u64) {
        let (ann, layout) = (self.world.ann, self.world.layout());
        loop {
            let asked = control::HoldRequest { mailbox: ann, database, deadline_ms: 2000 };
            let hold: Hold = match self.call("/v1/hold", &asked).await {
                Ok(hold) => hold,
                Err(StatusCode::LOCKED) => {
                    self.log_in().await;
                    continue;
                }
                Err(status) => panic!("{database:?}: {status}"),
            };
            self.check_no_gap(database, hold.end);
            let path = if database == Database::Spool { layout.spool(ann) } else { layout.mailbox(ann) };
            let wal = std::fs::read(path.with_extension("sqlite-wal")).unwrap();
            assert!(wal.len() >= (hold.end.frame as usize).min(1) * 32 + hold.end.frame as usize * 4120);
            self.copied[usize::from(database == Database::Spool)] = Some(hold.end);
            let checkpoint = control::Checkpoint { token: hold.token, end: hold.end };
            match self.call::<Checkpointed>("/v1/checkpoint", &checkpoint).await {
                Ok(done) if done.done => return (std::fs::read(path).unwrap(), hold.commit),
                // A reader was in the way, or the hold went with the process that was killed.
                Ok(_) | Err(StatusCode::CONFLICT) => {}
                Err(status) => panic!("{database:?}: {status}"),
            }
        }
    }

    /// What a WAL builds on was copied: its life goes on, or it is recorded to have ended where the last copy did.
    fn check_no_gap(&self, database: Database, end: WalPosition) {
        let Some(copied) = self.copied[usize::from(database == Database::Spool)] else { return };
        if end.salts == copied.salts {
            assert!(end.frame >= copied.frame, "{database:?} lost frames");
        } else if copied.frame > 0 {
            let record = self.record(database).unwrap();
            assert!(record.copied && record.end == copied, "{database:?}: a gap, {record:?} after {copied:?}");
        }
    }

    fn stage(&self, folder: &str, mailbox: &[u8], spool: &[u8]) {
        let folder = self.world.layout().staging().join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        let keys = self.world.keys();
        let files = [("mailbox.sqlite", mailbox), ("spool.sqlite", spool), ("keys.json", &keys[..])];
        for (name, bytes) in files {
            std::fs::write(folder.join(name), bytes).unwrap();
        }
    }

    async fn adopt(&mut self, run: &str, mailbox: MailboxId, mode: AdoptMode, commit: u64) -> Adopted {
        let asked = Adopt { run: run.into(), folder: run.into(), mailbox, mode, commit };
        self.call("/v1/adopt", &asked).await.unwrap()
    }

    /// Mail comes, is archived, copied and put back; everything is there once, whatever happens on the way.
    async fn go_round(&mut self, round: usize) {
        self.deliver().await;
        let (spool, _) = self.archive(Database::Spool).await;
        self.log_in().await;
        self.deliver().await;
        assert_eq!(self.count().await, u64::from(self.sent));
        let (mailbox, commit) = self.archive(Database::Mailbox).await;
        let snapshot = control::SnapshotRequest { mailbox: self.world.ann, unless: None };
        loop {
            match self.call::<control::Snapshot>("/v1/snapshot", &snapshot).await {
                Ok(made) => break assert_eq!(made.messages, u64::from(self.sent)),
                Err(status) => assert_eq!(status, StatusCode::LOCKED),
            }
            self.log_in().await;
        }
        let archived = control::Archived { mailbox: self.world.ann, database: Database::Mailbox, commit };
        self.call::<()>("/v1/archived", &[archived]).await.unwrap();
        self.stage(&format!("in{round}"), &mailbox, &spool);
        let adopted = self.adopt(&format!("in{round}"), self.world.ann, AdoptMode::InPlace, commit).await;
        assert!(self.world.layout().data().join(adopted.replaced.unwrap()).join("mailbox.sqlite").exists());
        // A life of another timeline.
        self.copied[0] = None;
        self.log_in().await;
        assert_eq!(self.count().await, u64::from(self.sent), "round {round}");
        self.sound().await;
        self.log_out().await;
    }

    /// Waits until what was restored has been looked at.
    async fn sound(&mut self) {
        let mark = self.world.layout().mailbox(self.world.ann).with_extension("restored.json");
        within(SOON, async {
            while mark.exists() {
                if self.world.revive().await {
                    self.kills += 1;
                    self.log_in().await;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_killed_at_any_step_of_archiving_and_restoring_loses_doubles_and_skips_nothing() {
    let mut story = Story::begin().await;
    let bob = story.world.add_bob().await;
    story.go_round(0).await;
    let (spool, _) = story.archive(Database::Spool).await;
    story.log_in().await;
    let (mailbox, commit) = story.archive(Database::Mailbox).await;
    story.log_out().await;
    for (round, point) in (1..).zip(ARCHIVE_POINTS) {
        let before = story.kills;
        story.world.arm(point.name);
        if point.name == "adopt.keyed.after" {
            story.stage("new", &mailbox, &spool);
            let adopted = story.adopt("new", bob, AdoptMode::NewMailbox, commit).await;
            assert_eq!(adopted.replaced, None);
            assert!(story.world.layout().keys(bob).exists() && story.world.layout().mailbox(bob).exists());
        } else {
            within(SOON, story.go_round(round)).await;
        }
        assert!(story.world.was_hit(point.name) && story.kills == before + 1, "{} was not passed", point.name);
    }
    story.world.stop().await;
}
