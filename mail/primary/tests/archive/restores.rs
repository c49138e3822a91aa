//! Snapshots, restores, and what stays in the spool until it is archived: a whole primary, over the sidecar's socket.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use crate::world::{Reply, SESSION, Told, World, message, messages, within};
use control::{Adopt, AdoptMode, Database};
use hyper::StatusCode;
use model::verbs::{Accepted, Answer, Request};
use model::{MailboxId, SessionId};
use wire::ShardClient;

const SOON: Duration = Duration::from_secs(20);

async fn log_in(world: &World, mailbox: MailboxId) -> (ShardClient, Told) {
    let (imap, events) = world.secondary_of(tls::Role::Imap, mailbox);
    events.sessions(&[SESSION]);
    imap.attach(|hello| Ok(events.attach(SESSION, crypto::random(), hello))).await.unwrap();
    (imap, events)
}

/// UIDNEXT and UIDs of INBOX, after the drain.
async fn inbox(imap: &ShardClient, session: SessionId) -> (u32, Vec<u32>) {
    let select = Request::Select { name: "INBOX".into(), read_only: true };
    let Answer::Selected(selected) = imap.request(session, select).await.unwrap() else { panic!() };
    (selected.uidnext.0, selected.uids.iter().map(|uid| uid.0).collect())
}

fn staged(world: &World, folder: &str, files: &[(&str, &[u8])]) {
    let folder = world.layout().staging().join(folder);
    std::fs::create_dir_all(&folder).unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
}

fn adopt(run: &str, mailbox: MailboxId, mode: AdoptMode, commit: u64) -> Adopt {
    Adopt { run: format!("ns/{run}/1"), folder: run.into(), mailbox, mode, commit }
}

fn status<T: std::fmt::Debug>(told: Reply<T>) -> StatusCode {
    told.unwrap_err().0
}

/// How many files of staging begin like that.
fn in_staging(world: &World, start: &str) -> usize {
    let names = std::fs::read_dir(world.layout().staging()).into_iter().flatten().flatten();
    names.filter(|entry| entry.file_name().to_string_lossy().starts_with(start)).count()
}

fn sha256(path: &Path) -> String {
    crypto::sha256(&std::fs::read(path).unwrap()).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_a_whole_proved_copy_and_none_is_made_of_what_did_not_change() {
    let mut world = World::ready().await;
    world.back_up().await;
    let sidecar = world.sidecar();
    assert_eq!(status(sidecar.snapshot(world.ann, None).await), StatusCode::LOCKED);
    let (_imap, _events) = log_in(&world, world.ann).await;
    let (mx, _mx_events) = world.secondary(tls::Role::Mx);
    for n in 1..=3 {
        assert_eq!(world.deliver(&mx, n, message(n.into())).await, [Accepted::Stored]);
    }
    let made = sidecar.snapshot(world.ann, None).await.unwrap();
    let path = world.layout().staging().join(made.file.as_ref().unwrap());
    assert_eq!((made.messages, made.size), (3, path.metadata().unwrap().len()));
    assert_eq!(made.sha256, sha256(&path));
    assert_eq!(in_staging(&world, "snapshot-"), 1, "nothing beside it");
    assert_ne!(&std::fs::read(&path).unwrap()[..6], b"SQLite", "encrypted");
    let same = sidecar.snapshot(world.ann, Some(made.commit)).await.unwrap();
    assert_eq!((same.file, same.commit), (None, made.commit));
    // What is not archived stays in the WAL; what is was folded in first.
    let wal = || std::fs::metadata(world.layout().mailbox(world.ann).with_extension("sqlite-wal")).unwrap().len();
    assert!(wal() > 0);
    sidecar.archived(world.ann, Database::Mailbox, made.commit).await.unwrap();
    let folded = sidecar.snapshot(world.ann, None).await.unwrap();
    assert!(wal() == 0 && folded.commit == made.commit);
    world.restart().await;
    assert_eq!(in_staging(&world, "snapshot-"), 0, "a start removes what nobody will fetch");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn drained_mail_stays_in_the_spool_until_its_commit_is_archived() {
    let world = World::ready().await;
    world.back_up().await;
    let (sidecar, (mx, _mx_events)) = (world.sidecar(), world.secondary(tls::Role::Mx));
    assert_eq!(world.deliver(&mx, 1, large()).await, [Accepted::Stored]);
    let (imap, _events) = log_in(&world, world.ann).await;
    assert_eq!(messages(&imap).await, 1);
    assert_eq!(world.status().await.mailboxes[0].waiting, 0);
    let size = async || sidecar.whole(&world.layout(), world.ann, Database::Spool).await.0.len();
    let kept = size().await;
    let hold = sidecar.hold(world.ann, Database::Mailbox, 500).await.unwrap();
    sidecar.release(&hold.token).await.unwrap();
    sidecar.archived(world.ann, Database::Mailbox, hold.commit).await.unwrap();
    assert!(size().await < kept, "the sealed message is gone");
    assert_eq!(messages(&imap).await, 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_in_place_brings_back_that_moment_with_all_mail_that_waits_and_no_uid_comes_twice() {
    let world = World::ready().await;
    world.back_up().await;
    let (sidecar, layout) = (world.sidecar(), world.layout());
    let (mx, _mx_events) = world.secondary(tls::Role::Mx);
    let (imap, events) = log_in(&world, world.ann).await;
    assert_eq!(world.deliver(&mx, 1, message(1)).await, [Accepted::Stored]);
    let (mailbox, commit) = sidecar.whole(&layout, world.ann, Database::Mailbox).await;
    assert_eq!(world.deliver(&mx, 2, message(2)).await, [Accepted::Stored]);
    let (uidnext, uids) = inbox(&imap, SESSION).await;
    assert_eq!((uidnext, uids.len()), (3, 2));
    imap.detach(SESSION).await;
    events.sessions(&[]);
    drop((imap, events));
    // Two wait, and one of them is drained after the moment that is restored.
    assert_eq!(world.deliver(&mx, 3, message(3)).await, [Accepted::Stored]);
    let (spool, _) = sidecar.whole(&layout, world.ann, Database::Spool).await;
    let (imap, _events) = log_in(&world, world.ann).await;
    assert_eq!(messages(&imap).await, 3);

    let keys = world.keys();
    staged(&world, "r1", &[("mailbox.sqlite", &mailbox), ("spool.sqlite", &spool), ("keys.json", &keys)]);
    let asked = adopt("r1", world.ann, AdoptMode::InPlace, commit);
    let foreign = crypto_keys();
    staged(&world, "r2", &[("mailbox.sqlite", &mailbox), ("keys.json", &foreign)]);
    assert_eq!(status(sidecar.adopt(&adopt("r2", world.ann, AdoptMode::InPlace, commit)).await), StatusCode::CONFLICT);
    assert_eq!(
        status(sidecar.adopt(&adopt("r1", world.ann, AdoptMode::NewMailbox, commit)).await),
        StatusCode::CONFLICT
    );
    let up = Adopt { folder: "../x".into(), ..asked.clone() };
    assert_eq!(status(sidecar.adopt(&up).await), StatusCode::BAD_REQUEST);
    let adopted = sidecar.adopt(&asked).await.unwrap();
    assert_eq!(sidecar.adopt(&asked).await.unwrap(), adopted, "once");
    drop(imap);
    assert_eq!(world.deliver(&mx, 4, message(4)).await, [Accepted::Stored]);

    let (imap, _events) = log_in(&world, world.ann).await;
    let (next, uids) = inbox(&imap, SESSION).await;
    assert_eq!(uids.len(), 3, "1 was there, 3 and 4 waited; 2 is in what was replaced");
    assert!(uids[0] == 1 && uids[1..].iter().all(|uid| *uid > 1 << 20) && next > 1 << 20);
    let replaced = layout.data().join(adopted.replaced.unwrap());
    assert!(replaced.join("mailbox.sqlite").exists() && replaced.join("keys.json").exists());
    let mark = layout.mailbox(world.ann).with_extension("restored.json");
    within(SOON, async {
        while mark.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert_eq!(world.status().await.findings, Vec::<String>::new());
    assert!(!layout.staging().join("r1").exists());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_to_a_new_mailbox_brings_keys_mail_and_what_waits_and_takes_no_other_place() {
    let world = World::ready().await;
    world.back_up().await;
    let (sidecar, layout, bob) = (world.sidecar(), world.layout(), world.add_bob().await);
    let (mx, _mx_events) = world.secondary(tls::Role::Mx);
    let (imap, events) = log_in(&world, world.ann).await;
    assert_eq!(world.deliver(&mx, 1, message(1)).await, [Accepted::Stored]);
    let (mailbox, commit) = sidecar.whole(&layout, world.ann, Database::Mailbox).await;
    imap.detach(SESSION).await;
    drop((imap, events));
    assert_eq!(world.deliver(&mx, 2, message(2)).await, [Accepted::Stored]);
    let (spool, _) = sidecar.whole(&layout, world.ann, Database::Spool).await;
    let keys = world.keys();
    staged(&world, "r1", &[("mailbox.sqlite", &mailbox), ("spool.sqlite", &spool)]);
    let asked = adopt("r1", bob, AdoptMode::NewMailbox, commit);
    assert_eq!(status(sidecar.adopt(&asked).await), StatusCode::CONFLICT, "without keys");
    staged(&world, "r1", &[("keys.json", &keys)]);
    assert_eq!(sidecar.adopt(&asked).await.unwrap().replaced, None);
    let keyed: BTreeSet<_> = world.status().await.mailboxes.iter().filter(|m| m.keyed).map(|m| m.id).collect();
    assert_eq!(keyed, [world.ann, bob].into());
    let (imap, _events) = log_in(&world, bob).await;
    assert_eq!(messages(&imap).await, 2);
    staged(&world, "r2", &[("mailbox.sqlite", &mailbox), ("keys.json", &keys)]);
    assert_eq!(status(sidecar.adopt(&adopt("r2", bob, AdoptMode::NewMailbox, commit)).await), StatusCode::CONFLICT);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_mailbox_with_a_damaged_page_is_found_at_its_first_unlock_and_told() {
    let world = World::ready().await;
    world.back_up().await;
    let (sidecar, layout) = (world.sidecar(), world.layout());
    let (imap, events) = log_in(&world, world.ann).await;
    let (mx, _mx_events) = world.secondary(tls::Role::Mx);
    assert_eq!(world.deliver(&mx, 1, large()).await, [Accepted::Stored]);
    let (mut mailbox, commit) = sidecar.whole(&layout, world.ann, Database::Mailbox).await;
    // Inside a page that nothing but the message needs.
    let middle = mailbox.len() - 10 * 4096 + 100;
    mailbox[middle] ^= 1;
    staged(&world, "r1", &[("mailbox.sqlite", &mailbox), ("keys.json", &world.keys())]);
    sidecar.adopt(&adopt("r1", world.ann, AdoptMode::InPlace, commit)).await.unwrap();
    drop((imap, events));
    let (_imap, _events) = log_in(&world, world.ann).await;
    within(SOON, async {
        while !world.status().await.findings.iter().any(|finding| finding.contains(&world.ann.to_string())) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    world.stop().await;
}

/// A message of some 300 KB that nothing makes smaller.
fn large() -> Vec<u8> {
    let lines = (0..3000).flat_map(|_| format!("{:?}\r\n", crypto::random::<32>()).into_bytes());
    message(1).into_iter().chain(lines).collect()
}

/// The keys of somebody else.
fn crypto_keys() -> Vec<u8> {
    let new = crypto::NewKeyset {
        address: &"eve@example.org".parse().unwrap(),
        password: &crypto::Secret::new("another"),
        recovery: None,
        cost: crypto::Argon2Cost::CHEAPEST,
        created: jiff::Timestamp::UNIX_EPOCH,
    };
    crypto::Keyset::create(&new).unwrap().0.to_json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_is_removed_only_when_the_directory_has_given_it_up_and_then_nothing_of_it_is_left() {
    let mut world = World::ready().await;
    let (sidecar, layout, ann) = (world.sidecar(), world.layout(), world.ann);
    let (mx, _mx_events) = world.secondary(tls::Role::Mx);
    assert_eq!(world.deliver(&mx, 1, message(1)).await, [Accepted::Stored]);
    let (_imap, _events) = log_in(&world, ann).await;
    assert_eq!(world.deliver(&mx, 2, message(2)).await, [Accepted::Stored]);
    let asked = control::Purge { run: "ns/gone/1".into(), mailbox: ann };
    assert_eq!(status(sidecar.post::<control::Purged>("/v1/purge", &asked).await), StatusCode::CONFLICT);
    assert!(layout.keys(ann).exists() && layout.mailbox(ann).exists());

    let mut push: serde_json::Value = serde_json::from_slice(&world.directory(2)).unwrap();
    let address = push["directory"]["entries"][0][0].clone();
    push["directory"]["entries"] = serde_json::json!([]);
    push["directory"]["mailboxes"] = serde_json::json!([]);
    push["directory"]["removed"] = serde_json::json!([[address, "2030-01-01T00:00:00Z"]]);
    let refused = world.operator(hyper::Method::PUT, "/v1/directory", serde_json::to_vec(&push).unwrap()).await;
    assert_eq!(refused.0, StatusCode::CONFLICT, "absence is not removal: {}", refused.1);
    push["bindings"]["purged"] = serde_json::json!({ann.as_str(): {"shard": 0, "asked": "2030-01-01T00:00:00Z"}});
    let taken = world.operator(hyper::Method::PUT, "/v1/directory", serde_json::to_vec(&push).unwrap()).await;
    assert_eq!(taken.0, StatusCode::NO_CONTENT, "{}", taken.1);

    // A session is still there, or its end is on the way.
    let purged: control::Purged = sidecar.post("/v1/purge", &asked).await.unwrap();
    assert!(purged.files >= 3 && purged.bytes > 0, "{purged:?}");
    assert!(!layout.mailbox_dir(ann).exists() && layout.purged(ann).exists());
    assert_eq!(sidecar.post::<control::Purged>("/v1/purge", &asked).await.unwrap(), purged, "it was done before");
    let answer = world.deliver(&mx, 3, message(3)).await;
    assert!(matches!(answer.as_slice(), [Accepted::Failed(_)]), "{answer:?}");
    let keys = world.operator(hyper::Method::PUT, &format!("/v1/keys/{ann}"), world.keys()).await;
    assert_eq!(keys.0, StatusCode::NOT_FOUND);
    world.restart().await;
    assert!(!layout.mailbox_dir(ann).exists() && world.status().await.mailboxes.is_empty());
    world.stop().await;
}
